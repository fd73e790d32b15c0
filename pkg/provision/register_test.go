package provision

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakeclient "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// What a comparison plans is what the policy Correct has an operation for.
func TestAComparisonFindsANodeThatSomebodyDeleted(t *testing.T) {
	filled := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")}}}
	for name, test := range map[string]struct {
		nodes []client.Object
		says  string
	}{
		"a node that is gone is a difference":                      {nil, "the node is not registered: somebody deleted it"},
		"so is one that its kubelet has not filled in":             {[]client.Object{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}}}, "its kubelet has not filled it in"},
		"one that is there and that its kubelet filled in is none": {[]client.Object{filled}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := &execution{kube: &kube{config: &rest.Config{}, client: fakeclient.NewClientBuilder().WithObjects(test.nodes...).Build()}}
			step := x.bindAction(plan.Register{}, nil)
			step.ID, step.Hosts = plan.StepRegister, []string{"w1"}
			result, err := engine.Run(t.Context(), engine.Graph{Steps: []engine.Step{step}}, engine.Options{Mode: engine.ModePlan})
			if err != nil {
				t.Fatal(err)
			}
			found := changes(result)
			if (len(found) == 1) != (test.says != "") {
				t.Fatalf("it plans %+v", found)
			}
			if test.says != "" && (found[0].Host != "w1" || found[0].Step != plan.StepRegister || !strings.Contains(found[0].Why, test.says)) {
				t.Errorf("it plans %+v, want %q on w1", found, test.says)
			}
		})
	}
}
