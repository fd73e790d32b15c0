package cluster

import (
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestWhyAHostThatIsGivenUpMayBeHalfCleaned(t *testing.T) {
	cluster := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "demo-uid"}}
	yes := true
	reset := func(name string, phase v1alpha1.OperationPhase, attempt int32, problems ...v1alpha1.HostProblem) v1alpha1.ClusterOperation {
		return v1alpha1.ClusterOperation{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{{UID: "demo-uid", Controller: &yes}}},
			Spec:       v1alpha1.ClusterOperationSpec{Type: v1alpha1.ResetOperation},
			Status:     v1alpha1.ClusterOperationStatus{Phase: phase, Attempt: attempt, Problems: problems},
		}
	}
	problem := func(host, message string) v1alpha1.HostProblem {
		return v1alpha1.HostProblem{Host: host, Step: "host/reset", Message: message}
	}
	install := reset("demo-install-g1-1", v1alpha1.OperationFailed, 3, problem("w1", "a port is in use"))
	install.Spec.Type = v1alpha1.InstallOperation
	foreign := reset("by-hand", v1alpha1.OperationFailed, 1, problem("w1", "somebody tried"))
	foreign.OwnerReferences = nil
	for name, test := range map[string]struct {
		operations []v1alpha1.ClusterOperation
		step       *v1alpha1.HostStep
		want       string
	}{
		"no Reset was ever asked for": {
			[]v1alpha1.ClusterOperation{install}, &v1alpha1.HostStep{Operation: install.Name, Step: "node/join", Message: "a port is in use"}, "",
		},
		"a Reset was never begun":                         {[]v1alpha1.ClusterOperation{reset("demo-reset-1", v1alpha1.OperationFailed, 0)}, nil, ""},
		"somebody's own Reset is not one of the deletion": {[]v1alpha1.ClusterOperation{foreign}, nil, ""},
		"a Reset failed on the host": {
			[]v1alpha1.ClusterOperation{reset("demo-reset-1", v1alpha1.OperationFailed, 1, problem("cp1", "other"), problem("w1", "busy mount"))}, nil,
			"host/reset of operation demo-reset-1: busy mount",
		},
		"the last one that was begun tells": {
			[]v1alpha1.ClusterOperation{
				reset("demo-reset-3", v1alpha1.OperationFailed, 0), reset("demo-reset-2", v1alpha1.OperationFailed, 1, problem("w1", "no route")),
				reset("demo-reset-1", v1alpha1.OperationFailed, 1, problem("w1", "busy mount")),
			}, nil, "host/reset of operation demo-reset-2: no route",
		},
		"a Reset that succeeded later left nothing": {
			[]v1alpha1.ClusterOperation{
				reset("demo-reset-1", v1alpha1.OperationFailed, 1, problem("w1", "busy mount")), reset("demo-reset-2", v1alpha1.OperationSucceeded, 1),
			}, nil, "",
		},
		"the problem had no room in the status": {
			[]v1alpha1.ClusterOperation{reset("demo-reset-1", v1alpha1.OperationFailed, 1)},
			&v1alpha1.HostStep{Operation: "demo-reset-1", Step: "host/connect", State: v1alpha1.StepFailed, Message: "no route"},
			"host/connect of operation demo-reset-1: no route",
		},
		"nothing is known of the host": {
			[]v1alpha1.ClusterOperation{reset("demo-reset-1", v1alpha1.OperationFailed, 2)}, nil,
			"operation demo-reset-1 ended before it was done with the host",
		},
		"the Reset was stopped and is gone": {
			nil, &v1alpha1.HostStep{Operation: "demo-reset-1", Step: "host/reset", State: v1alpha1.StepRunning},
			"operation demo-reset-1 was stopped before it was done with the host",
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Name: "w1"}, Status: v1alpha1.HostStatus{Step: test.step}}
			gomega.NewWithT(t).Expect(notCleaned(cluster, test.operations, host)).To(gomega.Equal(test.want))
		})
	}
}
