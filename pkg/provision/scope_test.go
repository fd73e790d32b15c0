package provision

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
)

func TestANodeIsFinishedWhenNothingOfItsJoiningIsLeft(t *testing.T) {
	worker := desired.Host{Name: "n1", Role: v1alpha1.WorkerRole, KubeletVersion: "v1.36.3", Labels: map[string]string{"tier": "gold"}}
	controlPlane := desired.Host{Name: "n1", Role: v1alpha1.ControlPlaneRole, KubeletVersion: "v1.36.3"}
	node := func(version string, ready corev1.ConditionStatus, labels map[string]string) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: labels, Annotations: map[string]string{managedAnnotation: `{"labels":["tier"]}`}},
			Status: corev1.NodeStatus{
				NodeInfo:   corev1.NodeSystemInfo{KubeletVersion: version},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
			},
		}
	}
	plain := func(n *corev1.Node) *corev1.Node { n.Annotations = nil; return n }
	drained := func(n *corev1.Node) *corev1.Node {
		n.Annotations[v1alpha1.CordonedByAnnotation] = "demo-upgrade-g2-1"
		return n
	}
	gold, plane := map[string]string{"tier": "gold"}, map[string]string{controlPlaneLabel: ""}
	for _, c := range []struct {
		name string
		node *corev1.Node
		host desired.Host
		want bool
	}{
		{"a worker that is Ready with its pool's labels is", node("v1.36.3", corev1.ConditionTrue, gold), worker, true},
		{"one that waits for its pod network is not", node("v1.36.3", corev1.ConditionFalse, gold), worker, false},
		{"one that lacks a label is not", node("v1.36.3", corev1.ConditionTrue, nil), worker, false},
		{"one at another version is not", node("v1.35.4", corev1.ConditionTrue, gold), worker, false},
		{"one whose kubelet has fallen silent is", node("v1.36.3", corev1.ConditionUnknown, gold), worker, true},
		{"one that has never reported is not", &corev1.Node{Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "v1.36.3"}}}, desired.Host{Role: v1alpha1.WorkerRole, KubeletVersion: "v1.36.3"}, false},
		{"one whose pool's labels are not noted is not", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: gold}, Status: node("v1.36.3", corev1.ConditionTrue, gold).Status}, worker, false},
		{"one that a drain was cut off on is not", drained(node("v1.36.3", corev1.ConditionTrue, gold)), worker, false},
		{"a control plane with kubeadm's label is", plain(node("v1.36.3", corev1.ConditionTrue, plane)), controlPlane, true},
		{"one that was registered before its etcd and API server joined is not", node("v1.36.3", corev1.ConditionTrue, nil), controlPlane, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := finished(c.node, c.host); got != c.want {
				t.Errorf("finished is %t", got)
			}
		})
	}
}
