package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/kubewright/kubewright/pkg/engine"
)

// reasonWebhook is the word status shows when a webhook that cannot answer would keep static pods from being exchanged.
const reasonWebhook = "WebhookUnavailable"

// webhook is what counts of a validating or mutating webhook here.
type webhook struct {
	// in names its configuration, for people.
	in               string
	name             string
	config           admissionv1.WebhookClientConfig
	rules            []admissionv1.RuleWithOperations
	policy           *admissionv1.FailurePolicyType
	namespaces, pods *metav1.LabelSelector
	conditional      bool // it has conditions, which nobody but an API server judges
}

// guardWebhooks refuses to exchange static pods while a webhook that has to agree to pods cannot answer: kubelet could not show the new pod in
// the API, and kubeadm, which waits for that, would put the former ones back.
func (x *execution) guardWebhooks(ctx context.Context) error {
	clientset, err := x.kube.typed()
	if err != nil {
		return engine.Retryable(err)
	}
	problems, err := deadWebhooks(ctx, clientset)
	if err != nil {
		return engine.Retryable(fmt.Errorf("see whether webhooks would keep static pods from being exchanged: %w", err))
	}
	if len(problems) == 0 {
		return nil
	}
	return engine.NeedsHuman(engine.WithDetail(fmt.Errorf(
		"static pods are left as they are: %s. Bring the Service back, leave kube-system out by the webhook's namespaceSelector, or delete its configuration; then run the operation again",
		strings.Join(problems, "; ")), engine.Detail{Reason: reasonWebhook}))
}

// deadWebhooks describes the webhooks that have to agree to static pods and whose Service nobody is behind.
func deadWebhooks(ctx context.Context, clientset kubernetes.Interface) ([]string, error) {
	hooks, err := webhooks(ctx, clientset)
	if err != nil {
		return nil, err
	}
	var problems []string
	var namespace labels.Set
	for _, h := range hooks {
		if h.config.Service == nil || h.conditional || h.policy != nil && *h.policy != admissionv1.Fail || !slices.ContainsFunc(h.rules, aboutPods) {
			continue
		}
		if namespace == nil {
			found, err := clientset.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			namespace = labels.Merge(found.Labels, nil)
		}
		if covers, err := h.covers(namespace); err != nil || !covers {
			continue // the API server takes no selector that cannot be read
		}
		service := h.config.Service
		served, err := served(ctx, clientset, service.Namespace, service.Name)
		if err != nil {
			return nil, err
		}
		if !served {
			problems = append(problems, fmt.Sprintf(
				"webhook %s of %s has to agree to pods in %s, and its Service %s/%s has no endpoint that is ready", h.name, h.in, metav1.NamespaceSystem, service.Namespace, service.Name))
		}
	}
	return problems, nil
}

func webhooks(ctx context.Context, clientset kubernetes.Interface) ([]webhook, error) {
	validating, err := clientset.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	mutating, err := clientset.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var all []webhook
	for _, c := range validating.Items {
		for _, w := range c.Webhooks {
			all = append(all, webhook{"ValidatingWebhookConfiguration " + c.Name, w.Name, w.ClientConfig, w.Rules, w.FailurePolicy, w.NamespaceSelector, w.ObjectSelector, len(w.MatchConditions) > 0})
		}
	}
	for _, c := range mutating.Items {
		for _, w := range c.Webhooks {
			all = append(all, webhook{"MutatingWebhookConfiguration " + c.Name, w.Name, w.ClientConfig, w.Rules, w.FailurePolicy, w.NamespaceSelector, w.ObjectSelector, len(w.MatchConditions) > 0})
		}
	}
	return all, nil
}

// aboutPods says whether a rule is about pods that come or go, as those do that kubelet shows static pods by.
func aboutPods(r admissionv1.RuleWithOperations) bool {
	has := func(list []string, one string) bool { return slices.Contains(list, one) || slices.Contains(list, "*") }
	if r.Scope != nil && *r.Scope == admissionv1.ClusterScope {
		return false
	}
	return has(r.APIGroups, "") && has(r.APIVersions, "v1") && has(r.Resources, "pods") &&
		slices.ContainsFunc(r.Operations, func(o admissionv1.OperationType) bool {
			return o == admissionv1.OperationAll || o == admissionv1.Create || o == admissionv1.Delete
		})
}

// covers says whether the selectors let any of the control plane's static pods through to the webhook.
func (h *webhook) covers(namespace labels.Set) (bool, error) {
	of := func(s *metav1.LabelSelector) (labels.Selector, error) {
		if s == nil {
			return labels.Everything(), nil
		}
		return metav1.LabelSelectorAsSelector(s)
	}
	namespaces, err := of(h.namespaces)
	if err != nil {
		return false, err
	}
	pods, err := of(h.pods)
	if err != nil || !namespaces.Matches(namespace) {
		return false, err
	}
	// kubeadm gives its static pods these labels (cmd/kubeadm, staticpod.ComponentPod).
	for _, component := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if pods.Matches(labels.Set{"component": component, "tier": "control-plane"}) {
			return true, nil
		}
	}
	return false, nil
}

// served says whether a Service has an endpoint that is ready.
func served(ctx context.Context, clientset kubernetes.Interface, namespace, name string) (bool, error) {
	slices, err := clientset.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
	if err != nil {
		return false, err
	}
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				return true, nil
			}
		}
	}
	return false, nil
}
