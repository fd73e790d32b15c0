package provision

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

func TestAWebhookThatCannotAnswerIsNamedBeforeStaticPodsAreTouched(t *testing.T) {
	ignore, ready, notReady := admissionv1.Ignore, true, false
	slice := func(name string, ready *bool) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "policy", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "judge"}},
			Endpoints:  []discoveryv1.Endpoint{{Conditions: discoveryv1.EndpointConditions{Ready: ready}}},
		}
	}
	for name, c := range map[string]struct {
		edit    func(*admissionv1.ValidatingWebhook)
		objects []runtime.Object
		named   bool
	}{
		"its Service has nobody behind it":       {named: true},
		"those behind its Service are not ready": {objects: []runtime.Object{slice("a", &notReady)}, named: true},
		"one behind its Service is ready":        {objects: []runtime.Object{slice("a", &notReady), slice("b", &ready)}},
		"one behind its Service does not say":    {objects: []runtime.Object{slice("a", nil)}},
		"it may be passed over":                  {edit: func(w *admissionv1.ValidatingWebhook) { w.FailurePolicy = &ignore }},
		"it is not about pods":                   {edit: func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Resources = []string{"services"} }},
		"it is about everything": {edit: func(w *admissionv1.ValidatingWebhook) {
			w.Rules[0].Resources, w.Rules[0].APIGroups = []string{"*"}, []string{"*"}
		}, named: true},
		"it is about changes only": {edit: func(w *admissionv1.ValidatingWebhook) {
			w.Rules[0].Operations = []admissionv1.OperationType{admissionv1.Update}
		}},
		"its namespaceSelector leaves kube-system out": {edit: func(w *admissionv1.ValidatingWebhook) {
			w.NamespaceSelector = notIn(corev1.LabelMetadataName, "kube-system")
		}},
		"its namespaceSelector leaves another one out": {edit: func(w *admissionv1.ValidatingWebhook) {
			w.NamespaceSelector = notIn(corev1.LabelMetadataName, "policy")
		}, named: true},
		"its objectSelector leaves the control plane out": {edit: func(w *admissionv1.ValidatingWebhook) { w.ObjectSelector = notIn("tier", "control-plane") }},
		"it has conditions that nobody here can judge": {edit: func(w *admissionv1.ValidatingWebhook) {
			w.MatchConditions = []admissionv1.MatchCondition{{Name: "x", Expression: "true"}}
		}},
		"it is reached at a URL": {edit: func(w *admissionv1.ValidatingWebhook) {
			url := "https://judge.example.com"
			w.ClientConfig = admissionv1.WebhookClientConfig{URL: &url}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			hook := admissionv1.ValidatingWebhook{
				Name:         "pods.example.com",
				ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "policy", Name: "judge"}},
				Rules: []admissionv1.RuleWithOperations{{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				}},
			}
			if c.edit != nil {
				c.edit(&hook)
			}
			objects := append(c.objects,
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", Labels: map[string]string{corev1.LabelMetadataName: "kube-system"}}},
				&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "judge"}, Webhooks: []admissionv1.ValidatingWebhook{hook}})
			problems, err := deadWebhooks(t.Context(), fake.NewClientset(objects...))
			if err != nil {
				t.Fatal(err)
			}
			if (len(problems) == 1) != c.named {
				t.Fatalf("it is named: %q", problems)
			}
			if c.named && !strings.Contains(problems[0], "webhook pods.example.com of ValidatingWebhookConfiguration judge") {
				t.Errorf("it says %q", problems[0])
			}
		})
	}
}

func notIn(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: []string{value}}}}
}
