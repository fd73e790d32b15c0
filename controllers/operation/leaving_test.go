package operation

import (
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestWhichHostsOperationsTakeOutOfACluster(t *testing.T) {
	cluster := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"},
		Spec: v1alpha1.ClusterSpec{
			ControlPlane: v1alpha1.ControlPlane{Hosts: []string{"cp1"}},
			Workers:      []v1alpha1.WorkerPool{{Name: "pool", Hosts: []string{"free", "foreign", "missing", "wanted"}}},
		},
	}
	ours, facts := &v1alpha1.HostClaim{ClusterName: "demo", ClusterUID: "now"}, &v1alpha1.HostFacts{}
	host := func(name string, claim *v1alpha1.HostClaim, facts *v1alpha1.HostFacts) v1alpha1.Host {
		return v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1alpha1.HostStatus{Claim: claim, Facts: facts}}
	}
	orphan := host("burnt", ours, facts)
	orphan.Spec.OnRemoval = v1alpha1.OrphanOnRemoval
	all := []v1alpha1.Host{
		host("wanted", ours, nil), host("left", ours, facts), host("left-unused", ours, nil), orphan, host("cp1", ours, facts),
		host("free", nil, facts), host("foreign", &v1alpha1.HostClaim{ClusterName: "other", ClusterUID: "2"}, facts),
		host("older", &v1alpha1.HostClaim{ClusterName: "demo", ClusterUID: "before"}, facts),
	}
	t.Run("a Reset takes all that the cluster holds, in its spec or not, and no other", func(t *testing.T) {
		gomega.NewWithT(t).Expect(held(cluster, all)).To(gomega.Equal([]string{"burnt", "cp1", "left", "left-unused", "wanted"}))
	})
	t.Run("other operations take those that left the spec and were used", func(t *testing.T) {
		gomega.NewWithT(t).Expect(Leaving(cluster, all)).To(gomega.Equal([]string{"burnt", "left"}))
	})
}
