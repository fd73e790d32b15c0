package kubeadm_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/servingcert"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

func TestAKubeletServesForTheNamesThatItsNodeHas(t *testing.T) {
	hosts := map[string]v1alpha1.Host{
		"cp1": {Spec: v1alpha1.HostSpec{Address: "203.0.113.1", InternalAddress: "192.0.2.1"}},
		"w1":  {Spec: v1alpha1.HostSpec{Address: "192.0.2.11"}},
		"w2":  {Spec: v1alpha1.HostSpec{Address: "w2.example.com"}},
	}
	spec := v1alpha1.ClusterSpec{
		ControlPlane: v1alpha1.ControlPlane{Hosts: []string{"cp1"}},
		Workers:      []v1alpha1.WorkerPool{{Name: "a", Hosts: []string{"w1", "w2", "gone"}}},
	}
	spec.Workers[0].Overrides.Kubeadm = &runtime.RawExtension{Raw: []byte(`{"nodeRegistration":{"kubeletExtraArgs":[{"name":"node-ip","value":"198.51.100.11"}]}}`)}
	nodes := desired.Nodes(spec, hosts)
	want := servingcert.Nodes{
		"cp1": {DNS: []string{"cp1"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		"w1":  {DNS: []string{"w1"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("198.51.100.11")}},
	}
	if diff := cmp.Diff(want, kubeadm.ServingNodes(nodes), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("names of nodes (-want +got):\n%s", diff)
	}
	authorities, err := pki.NewAuthorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := kubeadm.KubeletServing(&desired.Cluster{Authorities: authorities}, nodes[1], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pair.Cert)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities.Cluster.Cert)
	for _, name := range []string{"w1", "192.0.2.11", "198.51.100.11"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("the certificate does not hold for %s: %v", name, err)
		}
	}
}
