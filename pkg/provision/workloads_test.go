package provision

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

func TestWorkloadsAreThereWhenTheirPodsSaySoToo(t *testing.T) {
	app := map[string]string{"app": "one"}
	pod := func(name string, change func(*corev1.Pod)) client.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: app}}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		if change != nil {
			change(p)
		}
		return p
	}
	set := func(desired, available, updated int32) client.Object {
		return &appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "one"}, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: app}},
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: desired, NumberAvailable: available, UpdatedNumberScheduled: updated},
		}
	}
	two := int32(2)
	deployment := func(change func(*appsv1.Deployment)) client.Object {
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "one"}, Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: app}},
			Status: appsv1.DeploymentStatus{AvailableReplicas: 2, UpdatedReplicas: 2},
		}
		if change != nil {
			change(d)
		}
		return d
	}
	ends := func(p *corev1.Pod) {
		now := metav1.Now()
		p.DeletionTimestamp, p.Finalizers = &now, []string{"test/kept"}
	}
	notReady := func(p *corev1.Pod) {
		p.Status.Conditions = nil
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
	}
	endsUnready := func(p *corev1.Pod) {
		ends(p)
		p.Status.Conditions = nil
	}
	for name, test := range map[string]struct {
		kind    string
		objects []client.Object
		says    string
		// exchanged tells that older pods must have gone as well.
		exchanged bool
	}{
		"a DaemonSet with all its pods":                               {"DaemonSet", []client.Object{set(2, 2, 2), pod("a", nil), pod("b", nil)}, "", false},
		"a DaemonSet that counts the pods of nodes that have gone":    {"DaemonSet", []client.Object{set(3, 3, 3), pod("a", nil), pod("b", nil)}, "2 of 3 available", false},
		"a DaemonSet of which a pod is of the old version":            {"DaemonSet", []client.Object{set(2, 2, 1), pod("a", nil), pod("b", nil)}, "1 of 2 available", false},
		"a DaemonSet that nobody has looked at":                       {"DaemonSet", []client.Object{set(0, 0, 0)}, "0 of 1 available", false},
		"a Deployment with all its pods":                              {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", nil)}, "", false},
		"a Deployment that counts a pod that ends":                    {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", ends)}, "1 of 2 available", false},
		"a Deployment that counts a pod that is not Ready any more":   {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", notReady)}, "1 of 2 available: pod b on : CrashLoopBackOff", false},
		"a Deployment whose newest version its controller has to see": {"Deployment", []client.Object{deployment(func(d *appsv1.Deployment) { d.Generation = 2 }), pod("a", nil), pod("b", nil)}, "its controller has not seen the newest version yet", false},
		"a Deployment that is not there":                              {"Deployment", nil, "not found", false},
		"an exchanged Deployment with no other pods than its own":     {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", nil)}, "", true},
		"an exchanged Deployment of which an older pod ends":          {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", nil), pod("old", ends)}, "1 of its older pods still answer", true},
		"an exchanged Deployment of which an older pod runs":          {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", nil), pod("old", nil)}, "1 of its older pods still answer", true},
		"an exchanged Deployment whose older pod's node has died":     {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", nil), pod("old", endsUnready)}, "", true},
		"a Deployment whose older pods matter to nobody":              {"Deployment", []client.Object{deployment(nil), pod("a", nil), pod("b", nil), pod("old", ends)}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := &kube{config: &rest.Config{}, client: fakeclient.NewClientBuilder().WithObjects(test.objects...).Build()}
			verdict, err := k.awaitWorkloads(t.Context(), plan.AwaitWorkloads{
				Workloads: []plan.Workload{{Kind: test.kind, Namespace: "kube-system", Name: "one"}}, Exchanged: test.exchanged,
			})
			if err != nil || (verdict.State == engine.Done) != (test.says == "") {
				t.Fatalf("got %+v, %v", verdict, err)
			}
			if test.says != "" && !strings.HasSuffix(verdict.Why[0], test.says) {
				t.Errorf("it says %q, want %q", verdict.Why[0], test.says)
			}
		})
	}
}
