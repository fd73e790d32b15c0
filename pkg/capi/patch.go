package capi

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Patcher writes what changed of an object since it was made, and nothing when nothing changed. Conditions are merged with those
// that others wrote meanwhile; other fields go as a merge patch of only the changed ones.
type Patcher struct {
	helper *patch.Helper
	owned  []string
}

// NewPatcher remembers the object as it is. owned names the condition types of which this caller is the only writer.
func NewPatcher(object Object, c client.Client, owned ...string) (*Patcher, error) {
	helper, err := patch.NewHelper(object, c)
	if err != nil {
		return nil, fmt.Errorf("prepare to patch %s: %w", client.ObjectKeyFromObject(object), err)
	}
	return &Patcher{helper: helper, owned: owned}, nil
}

// Patch writes the changes and sets status.observedGeneration. An object that is gone meanwhile is no error; one that others keep
// writing to is a conflict (apierrors.IsConflict).
func (p *Patcher) Patch(ctx context.Context, object Object) error {
	err := p.helper.Patch(ctx, object, patch.WithOwnedConditions{Conditions: p.owned}, patch.WithStatusObservedGeneration{})
	switch {
	case err == nil, apierrors.IsNotFound(err) && !object.GetDeletionTimestamp().IsZero():
		return nil
	case wait.Interrupted(err) && ctx.Err() == nil:
		// The helper gives up after a few conflicts in a row, which a cache that lags behind brings about.
		return apierrors.NewConflict(schema.GroupResource{Group: v1alpha1.GroupVersion.Group}, object.GetName(), err)
	}
	return fmt.Errorf("write what changed: %w", err)
}
