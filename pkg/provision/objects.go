package provision

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/engine"
)

// fieldOwner names Kubewright among the managers of an object's fields.
const fieldOwner = client.FieldOwner("kubewright")

// checkObjects asks the API server, without changing anything, what applying would change.
func (k *kube) checkObjects(ctx context.Context, wanted []*unstructured.Unstructured) (engine.Verdict, error) {
	objects, err := k.objects()
	if err != nil {
		return needed(err.Error()), nil //nolint:nilerr // the verdict says it
	}
	verdict := engine.Verdict{State: engine.Done}
	for _, want := range wanted {
		why, err := differs(ctx, objects, k.masked(), want)
		if err != nil {
			return unknown(err), nil
		}
		if why != "" {
			verdict.State = engine.Needed
			verdict.Why = append(verdict.Why, describe(want)+": "+why)
		}
	}
	return verdict, nil
}

func differs(ctx context.Context, objects client.Client, shown masked, want *unstructured.Unstructured) (string, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(want.GroupVersionKind())
	if err := objects.Get(ctx, client.ObjectKeyFromObject(want), live); apierrors.IsNotFound(err) {
		return "does not exist", nil
	} else if err != nil {
		return "", fmt.Errorf("read %s: %w", describe(want), err)
	}
	would := want.DeepCopy()
	if err := objects.Apply(ctx, client.ApplyConfigurationFromUnstructured(would), fieldOwner, client.ForceOwnership, client.DryRunAll); err != nil {
		return "", fmt.Errorf("compare %s: %w", describe(want), err)
	}
	for _, o := range []*unstructured.Unstructured{live, would} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		o.SetGeneration(0)
		unstructured.RemoveNestedField(o.Object, "status")
	}
	if equality.Semantic.DeepEqual(live.Object, would.Object) {
		return "", nil
	}
	lines := []string{"is otherwise than wanted"}
	if want.GetKind() != "Secret" {
		lines = append(lines, shown.valueChanges(live.Object, would.Object, true)...)
	}
	return strings.Join(lines, "\n  "), nil
}

func (k *kube) applyObjects(ctx context.Context, wanted []*unstructured.Unstructured) error {
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	for _, want := range wanted {
		if err := objects.Apply(ctx, client.ApplyConfigurationFromUnstructured(want.DeepCopy()), fieldOwner, client.ForceOwnership); err != nil {
			err = fmt.Errorf("apply %s: %w", describe(want), err)
			if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
				return engine.Permanent(err)
			}
			return engine.Retryable(err)
		}
	}
	return nil
}

func describe(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return o.GetKind() + " " + o.GetName()
	}
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}
