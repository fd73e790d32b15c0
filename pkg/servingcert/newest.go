package servingcert

import (
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// maxName is how long the name of an object is at most (k8s.io/apimachinery, DNS1123SubdomainMaxLength).
const maxName = 253

// Asked is what counts of a node's request; the request itself, which may be large, is not kept.
type Asked struct {
	// Name of the request.
	Name string
	// Pending says that nobody has decided about it.
	Pending bool
	// Why the node must not be given the certificate; nil when it may.
	Why error

	uid     types.UID
	version string
	at      metav1.Time
}

// Newest holds the newest request of each node. A kubelet asks again every quarter of an hour and forgets the key of the request before, whose
// certificate would be of no use, so only the newest counts.
type Newest map[string]Asked

// Add takes a request in, unless it is of nobody whom Nodes knows or an older one.
func (n Newest) Add(nodes Nodes, r *certificatesv1.CertificateSigningRequest) {
	node, ok := nodes.Requester(r)
	if !ok || len(r.Name) > maxName {
		return
	}
	asked := Asked{Name: r.Name, Pending: pending(r), uid: r.UID, version: r.ResourceVersion, at: r.CreationTimestamp}
	// Times are in seconds. Of two of the same one, one that waits is the later: a kubelet asks again when it was given an answer.
	if had, ok := n[node]; ok && (had.at.After(asked.at.Time) || had.at.Equal(&asked.at) && !asked.Pending) {
		return
	}
	asked.Why = nodes.Judge(r)
	n[node] = asked
}

// Settle is the decision about a request, to be written to its approval subresource, of which the API server takes nothing else.
func (a Asked) Settle() *certificatesv1.CertificateSigningRequest {
	decision := certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue,
		Reason: "KubewrightApproved", Message: "all that it asks for belongs to the node",
	}
	if a.Why != nil {
		decision.Type, decision.Reason, decision.Message = certificatesv1.CertificateDenied, "KubewrightDenied", a.Why.Error()
	}
	r := &certificatesv1.CertificateSigningRequest{
		TypeMeta:   metav1.TypeMeta{APIVersion: certificatesv1.SchemeGroupVersion.String(), Kind: "CertificateSigningRequest"},
		ObjectMeta: metav1.ObjectMeta{Name: a.Name, UID: a.uid, ResourceVersion: a.version},
	}
	r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{decision}
	return r
}
