package plan_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/cni"
)

func TestNodesThatSomebodyTookAwayComeBack(t *testing.T) {
	for name, c := range map[string]struct {
		hands func(*plan.Input)
		// steps are those that bring nodes back, with their hosts.
		steps map[string][]string
	}{
		"all nodes are there": {func(*plan.Input) {}, map[string][]string{}},
		"the nodes of a worker and a control plane were deleted": {func(in *plan.Input) {
			delete(in.State.Nodes, "w1")
			delete(in.State.Nodes, "cp2")
		}, map[string][]string{plan.StepRegister: {"cp2", "w1"}}},
		"a node was made again and its kubelet has not filled it in": {func(in *plan.Input) {
			in.State.Nodes["w1"] = plan.Node{Blank: true}
		}, map[string][]string{plan.StepRegister: {"w1"}}},
		"nobody knows what nodes there are": {func(in *plan.Input) {
			in.State.NodesKnown = false
			in.State.Nodes = nil
		}, map[string][]string{}},
		"a worker was reset by hand": {func(in *plan.Input) {
			in.Facts["w1"].Paths = []hostapi.PathFact{{Path: cni.ConfPath}}
		}, map[string][]string{plan.StepStopped: {"w1"}, plan.StepJoin: {"w1"}}},
		"a worker was reset by hand and its node deleted": {func(in *plan.Input) {
			in.Facts["w1"].Paths = nil
			delete(in.State.Nodes, "w1")
		}, map[string][]string{plan.StepStopped: {"w1"}, plan.StepJoin: {"w1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			in := running(t, "v1.36.3")
			in.State.NodesKnown = true
			c.hands(&in)
			graph, err := plan.Converge(in)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]string{}
			for _, s := range graph.Steps {
				if slices.Contains([]string{plan.StepRegister, plan.StepStopped, plan.StepJoin, plan.StepPrepare, plan.StepInit}, s.ID) {
					got[s.ID] = s.Hosts
				}
			}
			if d := cmp.Diff(c.steps, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestADeletedNodeComesBackAsItsPoolWantsItBeforeAnythingLooksAtIt(t *testing.T) {
	in := running(t, "v1.36.3")
	in.State.NodesKnown, in.State.Nodes = true, map[string]plan.Node{}
	graph, err := plan.Converge(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range graph.Steps {
		if register, ok := s.Action.(plan.Register); ok {
			if _, there := register.Labels["cp1"]["node-role.kubernetes.io/control-plane"]; !there || len(register.Taints["cp1"]) != 1 {
				t.Errorf("cp1 comes back with labels %v and taints %v", register.Labels["cp1"], register.Taints["cp1"])
			}
		}
		if slices.Contains([]string{plan.StepCPUpdate, plan.StepCPNode, plan.StepWorkerDrain, plan.StepWorkerUpdate}, s.ID) &&
			!slices.Contains(s.Needs, engine.Need{Step: plan.StepRegister, Scope: engine.SameHost}) {
			t.Errorf("%s does not wait for the node", s.ID)
		}
	}
}
