package provision

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// awaitWorkloads is done when every wanted replica is up to date and available.
func (k *kube) awaitWorkloads(ctx context.Context, a plan.AwaitWorkloads) (engine.Verdict, error) {
	objects, err := k.objects()
	if err != nil {
		return unknown(err), nil
	}
	verdict := engine.Verdict{State: engine.Done}
	for _, w := range a.Workloads {
		why, err := unavailable(ctx, objects, w, a.Exchanged)
		if err != nil {
			why = err.Error()
		}
		if why != "" {
			verdict.State = engine.Unknown
			verdict.Why = append(verdict.Why, fmt.Sprintf("%s %s/%s: %s", w.Kind, w.Namespace, w.Name, why))
		}
	}
	return verdict, nil
}

// unavailable says what a workload lacks; empty when it lacks nothing. What its controller tells of it may be of a time before nodes and
// pods went, as long as no controller manager leads; so the pods are counted too, whose readiness comes from their own nodes. When it has
// to be exchanged, a pod too many that is Ready is one of those it replaces: told to end already or not, it still answers.
func unavailable(ctx context.Context, objects client.Client, w plan.Workload, exchanged bool) (string, error) {
	key := client.ObjectKey{Namespace: w.Namespace, Name: w.Name}
	var want, have, observed, generation int64
	var selector *metav1.LabelSelector
	if w.Kind == "DaemonSet" {
		var d appsv1.DaemonSet
		if err := objects.Get(ctx, key, &d); err != nil {
			return "", err
		}
		want, have = int64(d.Status.DesiredNumberScheduled), int64(min(d.Status.NumberAvailable, d.Status.UpdatedNumberScheduled))
		observed, generation, selector = d.Status.ObservedGeneration, d.Generation, d.Spec.Selector
		if want == 0 {
			want = 1
		}
	} else {
		var d appsv1.Deployment
		if err := objects.Get(ctx, key, &d); err != nil {
			return "", err
		}
		want, have = 1, int64(min(d.Status.AvailableReplicas, d.Status.UpdatedReplicas))
		if d.Spec.Replicas != nil {
			want = int64(*d.Spec.Replicas)
		}
		observed, generation, selector = d.Status.ObservedGeneration, d.Generation, d.Spec.Selector
	}
	if observed < generation {
		return "its controller has not seen the newest version yet", nil
	}
	pods, err := podsOf(ctx, objects, w.Namespace, selector)
	if err != nil {
		return "", err
	}
	stay, end := ready(pods)
	if have = min(have, stay); have < want {
		text := fmt.Sprintf("%d of %d available", have, want)
		if why := podTrouble(pods); why != "" {
			text += ": " + why
		}
		return text, nil
	}
	if older := stay + end - want; exchanged && older > 0 {
		return fmt.Sprintf("%d of its older pods still answer", older), nil
	}
	return "", nil
}

func podsOf(ctx context.Context, objects client.Client, namespace string, selector *metav1.LabelSelector) ([]corev1.Pod, error) {
	labels, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, fmt.Errorf("read its selector: %w", err)
	}
	var pods corev1.PodList
	if err := objects.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: labels}); err != nil {
		return nil, fmt.Errorf("list its pods: %w", err)
	}
	return pods.Items, nil
}

// ready counts the pods that are Ready: those that stay, and those that have been told to end.
func ready(pods []corev1.Pod) (stay, end int64) {
	for i := range pods {
		switch {
		case !isReady(&pods[i]):
		case pods[i].DeletionTimestamp == nil:
			stay++
		default:
			end++
		}
	}
	return stay, end
}

// podTrouble says of the first pod that does not run why it does not, as its node tells; empty when none says anything.
func podTrouble(pods []corev1.Pod) string {
	for i := range pods {
		p := &pods[i]
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if c.State.Waiting == nil || c.State.Waiting.Reason == "ContainerCreating" || c.State.Waiting.Reason == "PodInitializing" {
				continue
			}
			text := fmt.Sprintf("pod %s on %s: %s", p.Name, p.Spec.NodeName, c.State.Waiting.Reason)
			if last := c.LastTerminationState.Terminated; last != nil {
				text += fmt.Sprintf(", ended %d times, last with exit code %d (%s)", c.RestartCount, last.ExitCode, last.Reason)
			}
			return text
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return fmt.Sprintf("pod %s: %s", p.Name, c.Message)
			}
		}
	}
	return ""
}

// awaitAPIService is done when an aggregated API is available.
func (k *kube) awaitAPIService(ctx context.Context, a plan.AwaitAPIService) (engine.Verdict, error) {
	objects, err := k.objects()
	if err != nil {
		return unknown(err), nil
	}
	service := &unstructured.Unstructured{}
	service.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	if err := objects.Get(ctx, client.ObjectKey{Name: a.Name}, service); err != nil {
		return unknown(fmt.Errorf("read APIService %s: %w", a.Name, err)), nil
	}
	conditions, _, err := unstructured.NestedSlice(service.Object, "status", "conditions")
	if err != nil {
		return unknown(fmt.Errorf("read the conditions of APIService %s: %w", a.Name, err)), nil
	}
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Available" {
			if m["status"] == "True" {
				return engine.Verdict{State: engine.Done}, nil
			}
			return unknown(fmt.Errorf("APIService %s is not available: %v", a.Name, m["message"])), nil
		}
	}
	return unknown(fmt.Errorf("APIService %s has not been looked at yet", a.Name)), nil
}
