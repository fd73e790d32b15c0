package provision

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
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
		why, err := unavailable(ctx, objects, w)
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

func unavailable(ctx context.Context, objects client.Client, w plan.Workload) (string, error) {
	key := client.ObjectKey{Namespace: w.Namespace, Name: w.Name}
	var want, have, observed, generation int64
	if w.Kind == "DaemonSet" {
		var d appsv1.DaemonSet
		if err := objects.Get(ctx, key, &d); err != nil {
			return "", err
		}
		want, have = int64(d.Status.DesiredNumberScheduled), int64(min(d.Status.NumberAvailable, d.Status.UpdatedNumberScheduled))
		observed, generation = d.Status.ObservedGeneration, d.Generation
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
		observed, generation = d.Status.ObservedGeneration, d.Generation
	}
	switch {
	case observed < generation:
		return "its controller has not seen the newest version yet", nil
	case have < want:
		return fmt.Sprintf("%d of %d available", have, want), nil
	}
	return "", nil
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
