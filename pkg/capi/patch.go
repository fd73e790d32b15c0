package capi

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// Patch writes the changes and sets status.observedGeneration. An object that is gone meanwhile is no error.
func (p *Patcher) Patch(ctx context.Context, object Object) error {
	err := p.helper.Patch(ctx, object, patch.WithOwnedConditions{Conditions: p.owned}, patch.WithStatusObservedGeneration{})
	if err != nil && !(apierrors.IsNotFound(err) && !object.GetDeletionTimestamp().IsZero()) {
		return fmt.Errorf("write what changed: %w", err)
	}
	return nil
}
