package capi

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Patcher writes what changed in an object's status since it was made, in one request, and nothing when nothing changed. Cluster
// API's own helper writes conditions first and the rest of the status in a second request; with it an object would be seen Ready
// before the fields that Ready speaks of are there.
type Patcher struct {
	client client.Client
	before Object
}

// NewPatcher remembers the object as it is.
func NewPatcher(object Object, c client.Client) *Patcher {
	return &Patcher{client: c, before: object.DeepCopyObject().(Object)}
}

// Patch writes the status of the object if it changed, against the resource version it had when the Patcher was made: when anybody
// else wrote since, nothing is written and the error is a conflict (apierrors.IsConflict). An object that was deleted and is gone is
// no error.
func (p *Patcher) Patch(ctx context.Context, object Object) error {
	if apiequality.Semantic.DeepEqual(p.before, object) {
		return nil
	}
	after := object.DeepCopyObject().(Object)
	change := client.MergeFromWithOptions(p.before, client.MergeFromWithOptimisticLock{})
	err := p.client.Status().Patch(ctx, after, change)
	if tooLarge(err) {
		return p.sayTooLarge(ctx, err)
	}
	if apierrors.IsNotFound(err) && !object.GetDeletionTimestamp().IsZero() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}
