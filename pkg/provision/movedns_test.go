package provision

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDNSLeavesANodeSoThatOnePodIsReadyAllTheTime(t *testing.T) {
	pod := func(node string, ready bool) corev1.Pod {
		p := corev1.Pod{Spec: corev1.PodSpec{NodeName: node}}
		if ready {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		return p
	}
	ending := pod("n2", true)
	ending.DeletionTimestamp = &metav1.Time{}
	for name, test := range map[string]struct {
		pods  []corev1.Pod
		leave int
		done  bool
	}{
		"none is on the node":                        {pods: []corev1.Pod{pod("n2", true), pod("n3", false)}, done: true},
		"another one is Ready elsewhere":             {pods: []corev1.Pod{pod("n1", true), pod("n2", true)}, done: true},
		"the other one is about to be Ready":         {pods: []corev1.Pod{pod("n1", true), pod("n2", false)}},
		"the other one is not placed yet":            {pods: []corev1.Pod{pod("n1", true), pod("", false)}},
		"the other one is Ready and about to end":    {pods: []corev1.Pod{pod("n1", true), ending, pod("n3", false)}},
		"all are on the node":                        {pods: []corev1.Pod{pod("n1", true), pod("n1", true)}, leave: 1},
		"there is only one, and nobody to take over": {pods: []corev1.Pod{pod("n1", true)}, done: true},
		"there is none":                              {done: true},
	} {
		t.Run(name, func(t *testing.T) {
			leave, done := dnsToLeave(test.pods, "n1")
			if len(leave) != test.leave || done != test.done {
				t.Errorf("%d pods leave, done %t; want %d, %t", len(leave), done, test.leave, test.done)
			}
		})
	}
}

func TestANodeTakesPodsWhenItIsReadyAndSchedulable(t *testing.T) {
	node := func(name string, ready corev1.ConditionStatus, cordoned bool) corev1.Node {
		return corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Unschedulable: cordoned},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}},
		}
	}
	for name, test := range map[string]struct {
		nodes []corev1.Node
		want  bool
	}{
		"it is the only one":        {nodes: []corev1.Node{node("n1", corev1.ConditionTrue, false)}},
		"the others are cordoned":   {nodes: []corev1.Node{node("n1", corev1.ConditionTrue, false), node("n2", corev1.ConditionTrue, true)}},
		"the others are not Ready":  {nodes: []corev1.Node{node("n1", corev1.ConditionTrue, false), node("n2", corev1.ConditionUnknown, false)}},
		"another one is in service": {nodes: []corev1.Node{node("n1", corev1.ConditionTrue, true), node("n2", corev1.ConditionTrue, false)}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := slices.ContainsFunc(test.nodes, func(n corev1.Node) bool { return takesPods(&n, "n1") }); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
