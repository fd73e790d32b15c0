package provision

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/servingcert"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

const (
	// requestPage is how many certificate requests are asked for at a time.
	requestPage = 100
	// maxRequests is how many are looked at. Kubernetes collects those that nobody decides about after a day, so that there are more only where a
	// node floods the cluster.
	maxRequests = 2000
)

// servingRequests are the newest requests of nodes for serving certificates, shared by hosts that wait side by side. The zero value was never
// listed.
type servingRequests struct {
	mu     sync.Mutex
	at     time.Time
	newest servingcert.Newest
}

// servingRequest is the newest request of a node for a serving certificate; not there when there is none.
func (k *kube) servingRequest(ctx context.Context, node string) (asked servingcert.Asked, there bool, err error) {
	nodes := kubeadm.ServingNodes(k.cluster.Hosts)
	k.requests.mu.Lock()
	defer k.requests.mu.Unlock()
	if old(k.requests.at, len(nodes), time.Now()) {
		newest, err := k.listServingRequests(ctx, nodes)
		if err != nil {
			return servingcert.Asked{}, false, err
		}
		k.requests.newest, k.requests.at = newest, time.Now()
	}
	asked, there = k.requests.newest[node]
	return asked, there, nil
}

func (k *kube) listServingRequests(ctx context.Context, nodes servingcert.Nodes) (servingcert.Newest, error) {
	clientset, err := k.typed()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	newest := servingcert.Newest{}
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.signerName", servingcert.Signer).String(), Limit: requestPage}
	for seen := 0; seen < maxRequests; {
		page, err := clientset.CertificatesV1().CertificateSigningRequests().List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list requests for serving certificates: %w", err)
		}
		for i := range page.Items {
			newest.Add(nodes, &page.Items[i])
		}
		if seen += len(page.Items); page.Continue == "" || len(page.Items) == 0 {
			break
		}
		options.Continue = page.Continue
	}
	return newest, nil
}

// asksToServe says whether a node's kubelet waits for a serving certificate that it may have, and what people should know of one that it may not
// have or that nobody could find out about.
func (k *kube) asksToServe(ctx context.Context, node string) (asks bool, note string) {
	asked, there, err := k.servingRequest(ctx, node)
	switch {
	case err != nil:
		return false, err.Error()
	case !there:
		return false, ""
	case asked.Why != nil:
		return false, fmt.Sprintf("its kubelet is given no serving certificate for its request %s: %v", asked.Name, asked.Why)
	}
	return asked.Pending, ""
}

// approveServing approves the newest request of a node for a serving certificate, if it waits and names nothing but the node.
func (k *kube) approveServing(ctx context.Context, node string) error {
	asked, there, err := k.servingRequest(ctx, node)
	if err != nil {
		return engine.Retryable(err)
	}
	if !there || asked.Why != nil || !asked.Pending {
		return nil
	}
	clientset, err := k.typed()
	if err != nil {
		return engine.Retryable(err)
	}
	if _, err := clientset.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, asked.Name, asked.Settle(), metav1.UpdateOptions{}); err != nil {
		return engine.Retryable(fmt.Errorf("approve request %s of node %s for a serving certificate: %w", asked.Name, node, err))
	}
	k.requests.mu.Lock()
	defer k.requests.mu.Unlock()
	k.requests.at = time.Time{}
	return nil
}

// asksForCertificate is the verdict on a node whose kubelet waits to be given its serving certificate.
func asksForCertificate() engine.Verdict {
	return needed("its kubelet asks for its serving certificate")
}

// withNote adds what is known of a kubelet's request to why it does not serve.
func withNote(err error, note string) error {
	if err == nil || note == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, note)
}
