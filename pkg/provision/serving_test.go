package provision

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// askToServe creates the request of a kubelet for a certificate for these names, as its node does.
func askToServe(t *testing.T, config *rest.Config, node, name string, names []string, ips ...string) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + node, Groups: []string{"system:nodes", "system:masters"}}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, DNSNames: names}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientset.CertificatesV1().CertificateSigningRequests().Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeletServingSignerName, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// decisions are the conditions of all certificate requests, by name.
func decisions(ctx context.Context, t *testing.T, clientset kubernetes.Interface) map[string][]certificatesv1.RequestConditionType {
	t.Helper()
	list, err := clientset.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]certificatesv1.RequestConditionType{}
	for _, r := range list.Items {
		all[r.Name] = nil
		for _, c := range r.Status.Conditions {
			all[r.Name] = append(all[r.Name], c.Type)
		}
	}
	return all
}

// The API server is a real one, without kubelets.
func TestAnOperationHasAKubeletGivenTheCertificateThatItAsksFor(t *testing.T) {
	environment := testenv.New(t)
	k := &kube{config: environment.Config, cluster: &desired.Cluster{Hosts: []desired.Host{
		{Name: "n1", Address: "192.0.2.1"}, {Name: "n2", Address: "192.0.2.2"}, {Name: "n3", Address: "192.0.2.3"}, {Name: "n4", Address: "192.0.2.4"},
	}}}
	clientset, err := k.typed()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n1", "n2", "n3", "n4"} {
		node, err := clientset.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}
		node.Status.NodeInfo.KubeletVersion = "v1.36.3"
		if _, err := clientset.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	askToServe(t, environment.Config, "n1", "own", []string{"n1"}, "192.0.2.1")
	askToServe(t, environment.Config, "n2", "anothers", []string{"n1"}, "192.0.2.2")
	askToServe(t, environment.Config, "n3", "returning", []string{"n3"}, "192.0.2.3")
	await := plan.AwaitNode{Version: map[string]string{"n1": "v1.36.3", "n2": "v1.36.3", "n3": "v1.36.3", "n4": "v1.36.3"}, NeedReady: true}
	back := plan.Return{Version: await.Version}
	look := func(host string) (awaited, returned engine.Verdict) {
		t.Helper()
		awaited, err := k.awaitNode(t.Context(), await, host, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if returned, err = k.checkReturn(t.Context(), back, host, time.Time{}); err != nil {
			t.Fatal(err)
		}
		return awaited, returned
	}
	for host, want := range map[string]struct {
		state engine.VerdictState
		says  string
	}{
		"n1": {engine.Needed, "its kubelet asks for its serving certificate"},
		"n2": {engine.Unknown, `given no serving certificate for its request anothers: it asks for the name "n1", which is not the node's`},
		"n3": {engine.Needed, "its kubelet asks for its serving certificate"},
		"n4": {engine.Unknown, "its kubelet does not answer"},
	} {
		awaited, returned := look(host)
		for _, verdict := range []engine.Verdict{awaited, returned} {
			if verdict.State != want.state || !strings.Contains(strings.Join(verdict.Why, "; "), want.says) {
				t.Errorf("%s: %s %q, want %s with %q", host, verdict.State, verdict.Why, want.state, want.says)
			}
		}
	}
	for _, host := range []string{"n1", "n2", "n4"} {
		if err := k.applyNode(t.Context(), await, host); err != nil {
			t.Error(err)
		}
	}
	for _, host := range []string{"n2", "n3", "n4"} {
		if err := k.applyReturn(t.Context(), host); err != nil {
			t.Error(err)
		}
	}
	decided := decisions(t.Context(), t, clientset)
	approved := []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved}
	want := map[string][]certificatesv1.RequestConditionType{"own": approved, "anothers": nil, "returning": approved}
	if diff := cmp.Diff(want, decided); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	if awaited, returned := look("n1"); awaited.State != engine.Unknown || returned.State != engine.Unknown {
		t.Errorf("n1 still asks: %v, %v", awaited, returned)
	}
}
