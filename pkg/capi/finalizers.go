package capi

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/cluster-api/util/finalizers"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// EnsureFinalizer adds a finalizer at once, so that nothing is done for an object which could vanish without being tidied up. An
// object that is being deleted gets none.
func EnsureFinalizer(ctx context.Context, c client.Client, object client.Object, finalizer string) error {
	if _, err := finalizers.EnsureFinalizer(ctx, c, object, finalizer); err != nil {
		return fmt.Errorf("add finalizer %s: %w", finalizer, err)
	}
	return nil
}

// DropFinalizer removes a finalizer at once. An object that is gone already is no error; one that changed meanwhile is a conflict.
func DropFinalizer(ctx context.Context, c client.Client, object client.Object, finalizer string) error {
	if !controllerutil.ContainsFinalizer(object, finalizer) {
		return nil
	}
	after := object.DeepCopyObject().(client.Object)
	controllerutil.RemoveFinalizer(after, finalizer)
	change := client.MergeFromWithOptions(object, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, after, change); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove finalizer %s: %w", finalizer, err)
	}
	return nil
}
