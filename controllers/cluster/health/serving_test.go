package health_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubewright/kubewright/controllers/cluster/health"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/servingcert"
	rights "github.com/kubewright/kubewright/pkg/steps/access"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// request creates the request of a node for a certificate of a signer for these names.
func request(t *testing.T, config *rest.Config, node, name, signer string, names ...string) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + node, Groups: []string{"system:nodes", "system:masters"}}
	clientset := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(config))
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, DNSNames: names,
	}, key))
	usage := certificatesv1.UsageServerAuth
	if signer != servingcert.Signer {
		usage = certificatesv1.UsageClientAuth
	}
	must[*certificatesv1.CertificateSigningRequest](t)(clientset.CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage},
		},
	}, metav1.CreateOptions{}))
}

// The API server and its RBAC are real; whose group the look is of is told by impersonation in the first part, and the rest of it is done as the
// cluster's administrator.
func TestALookGivesKubeletsTheirServingCertificatesAndNothingElse(t *testing.T) {
	environment := testenv.New(t)
	for _, object := range rights.Health() {
		if err := environment.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	const clientSigner = certificatesv1.KubeAPIServerClientKubeletSignerName
	request(t, environment.Config, "w1", "own", servingcert.Signer, "w1")
	request(t, environment.Config, "w2", "anothers", servingcert.Signer, "w2", "w1")
	request(t, environment.Config, "w1", "client", clientSigner)
	request(t, environment.Config, "x1", "foreign", servingcert.Signer, "x1")
	admin := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(environment.Config))

	narrow := rest.CopyConfig(environment.Config)
	narrow.Impersonate = rest.ImpersonationConfig{UserName: "kubewright-health", Groups: []string{rights.HealthGroup, "system:authenticated"}}
	look := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(narrow))
	decide := func(name string, options metav1.UpdateOptions) error {
		r := must[*certificatesv1.CertificateSigningRequest](t)(admin.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{}))
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
		_, err := look.CertificatesV1().CertificateSigningRequests().UpdateApproval(t.Context(), name, r, options)
		return err
	}
	if err := decide("client", metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the look's identity approves the request of another signer: %v", err)
	}
	if err := decide("own", metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Errorf("it cannot approve a request for a serving certificate: %v", err)
	}
	if _, err := look.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("it cannot list requests: %v", err)
	}
	if _, err := look.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("it reads Secrets: %v", err)
	}

	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: environment.Config.Host, CertificateAuthorityData: environment.Config.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: environment.Config.CertData, ClientKeyData: environment.Config.KeyData}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	checker := &health.API{
		Secrets: oneSecret{secret: capi.KubeconfigSecret("fleet", "demo", must[[]byte](t)(clientcmd.Write(*config)), metav1.OwnerReference{})},
		Timeout: 10 * time.Second, Addresses: addresses.Local(),
	}
	target := demo
	target.Nodes = servingcert.Nodes{"w1": {DNS: []string{"w1"}}, "w2": {DNS: []string{"w2"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}}
	const denied = `the kubelet of w2 is denied a serving certificate: it asks for the name "w1", which is not the node's`
	for range 2 { // what was said once is said as long as it is so
		nodes, err := checker.Check(t.Context(), target)
		if err != nil || nodes.Denied != denied || nodes.Notes() != denied {
			t.Fatalf("found %+v, %v", nodes, err)
		}
	}
	for name, want := range map[string]certificatesv1.RequestConditionType{"own": certificatesv1.CertificateApproved, "anothers": certificatesv1.CertificateDenied, "client": "", "foreign": ""} {
		r := must[*certificatesv1.CertificateSigningRequest](t)(admin.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{}))
		if want == "" && len(r.Status.Conditions) > 0 || want != "" && !slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
			return c.Type == want && c.Status == corev1.ConditionTrue && strings.HasPrefix(c.Reason, "Kubewright")
		}) {
			t.Errorf("request %s: %+v, want %q", name, r.Status.Conditions, want)
		}
	}
}
