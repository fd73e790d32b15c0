package claims

import (
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestWhetherAHostMayHaveBeenChanged(t *testing.T) {
	at := func(state v1alpha1.StepState) *v1alpha1.HostStep {
		return &v1alpha1.HostStep{Step: "connect", State: state}
	}
	for name, test := range map[string]struct {
		status v1alpha1.HostStatus
		want   bool
	}{
		"a new host was not":                            {v1alpha1.HostStatus{}, false},
		"a host whose facts were read may have":         {v1alpha1.HostStatus{Facts: &v1alpha1.HostFacts{}}, true},
		"a host on which a step ended well may have":    {v1alpha1.HostStatus{Step: at(v1alpha1.StepChanged)}, true},
		"a host in the middle of a step may have":       {v1alpha1.HostStatus{Step: at(v1alpha1.StepRunning)}, true},
		"a host on which its first step failed was not": {v1alpha1.HostStatus{Step: at(v1alpha1.StepFailed)}, false},
		"a host that was blocked was not":               {v1alpha1.HostStatus{Step: at(v1alpha1.StepBlocked)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			gomega.NewWithT(t).Expect(WasTouched(&v1alpha1.Host{Status: test.status})).To(gomega.Equal(test.want))
		})
	}
}

func TestWhichHostsAreOnTheirWayOut(t *testing.T) {
	cluster := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"},
		Spec:       v1alpha1.ClusterSpec{ControlPlane: v1alpha1.ControlPlane{Hosts: []string{"kept"}}},
	}
	ours := v1alpha1.HostClaim{ClusterName: "demo", ClusterUID: "now"}
	touched := &v1alpha1.HostFacts{}
	for name, test := range map[string]struct {
		host   string
		claim  *v1alpha1.HostClaim
		facts  *v1alpha1.HostFacts
		leaves bool
	}{
		"one that left the spec is":                       {"gone", &ours, touched, true},
		"one that stands in the spec is not":              {"kept", &ours, touched, false},
		"one that was never reached only loses its claim": {"gone", &ours, nil, false},
		"one that nobody holds is not":                    {"gone", nil, touched, false},
		"one of an earlier cluster of the name is not":    {"gone", &v1alpha1.HostClaim{ClusterName: "demo", ClusterUID: "before"}, touched, false},
		"one of another cluster is not":                   {"gone", &v1alpha1.HostClaim{ClusterName: "other", ClusterUID: "now"}, touched, false},
	} {
		t.Run(name, func(t *testing.T) {
			host := &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Name: test.host}, Status: v1alpha1.HostStatus{Claim: test.claim, Facts: test.facts}}
			gomega.NewWithT(t).Expect(IsLeaving(cluster, host)).To(gomega.Equal(test.leaves))
		})
	}
}
