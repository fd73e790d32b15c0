package plan_test

import (
	"reflect"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

func TestASummarySaysWhoBecomesWhatAndWhatIsRestarted(t *testing.T) {
	change := func(step, host, why string) v1alpha1.PlannedChange {
		return v1alpha1.PlannedChange{Step: step, Host: host, Why: why}
	}
	blobs := "blob/aa: " + hostapi.BlobMissing(100) + "\nblob/bb: " + hostapi.BlobMissing(23)
	for name, c := range map[string]struct {
		changes []v1alpha1.PlannedChange
		want    plan.Summary
	}{
		"a first installation restarts nothing": {
			[]v1alpha1.PlannedChange{
				change(plan.StepContent, "n1", blobs), change(plan.StepKubelet, "n1", "unit/kubelet: unit kubelet.service is not loaded (not-found)"),
				change(plan.StepInit, "n1", "command/kubeadm-init: it has not run yet"), change(plan.StepPrepare, "n2", ""), change(plan.StepControlPlane, "n2", ""),
				change(plan.StepKubeProxyStart, "n1", "it comes with the cluster"), change(plan.StepJoin, "n3", ""),
			},
			plan.Summary{Begins: "n1", Joins: []string{"n2"}, Workers: []string{"n3"}, ContentBytes: map[string]int64{"n1": 123}},
		},
		"a host joins a cluster that is changed": {
			[]v1alpha1.PlannedChange{
				change(plan.StepCPUpdate, "n1", "command/x: it was done for other inputs"), change(plan.StepKubeProxyStart, "n1", ""),
				change(plan.StepWorkerDrain, "n2", ""), change("worker/update", "n2", "unit/kubelet: unit kubelet.service runs with other inputs\n"+
					"unit/containerd: the inputs of unit containerd.service are not recorded yet"),
				change(plan.StepKubelet, "n3", "unit/kubelet: unit kubelet.service is not loaded (not-found)"), change(plan.StepJoin, "n3", ""),
				change(plan.StepLeaveNode, "n4", ""),
			},
			plan.Summary{
				Workers: []string{"n3"}, Drained: []string{"n2"}, Leaving: []string{"n4"}, ContentBytes: map[string]int64{},
				Restarts: []plan.Restart{{What: "static pods of the control plane", Hosts: []string{"n1"}}, {What: "kube-proxy"}, {What: "kubelet", Hosts: []string{"n2"}}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plan.Summarise(c.changes); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
