package capi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// ReasonStatusTooLarge is given to an object whose status the API server does not store, because it is too large.
const ReasonStatusTooLarge = "StatusTooLarge"

// tooLarge says whether the API server refused a write for its size. Its own bound has a status of its own; etcd's, on the stored object and on
// the message to etcd, comes as the text of an internal error.
func tooLarge(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return apierrors.IsRequestEntityTooLargeError(err) ||
		strings.Contains(text, "request is too large") || strings.Contains(text, "trying to send message larger than max")
}

// sayTooLarge writes in the object's conditions, and nowhere else, that its status could not be written and why. The error says the same.
func (p *Patcher) sayTooLarge(ctx context.Context, why error) error {
	after := p.before.DeepCopyObject().(Object)
	// The error itself counts bytes, which are others each time.
	const message = "the API server does not store the status, because it is too large (etcd --max-request-bytes); all that is said here, but for this, is of before. " +
		"Remove large annotations, or give etcd a higher limit"
	SetCondition(after, v1alpha1.ReadyCondition, metav1.ConditionFalse, ReasonStatusTooLarge, message)
	SetCondition(after, v1alpha1.ReconcilingCondition, metav1.ConditionFalse, "NotReconciling", "")
	SetCondition(after, v1alpha1.StalledCondition, metav1.ConditionTrue, ReasonStatusTooLarge, message)
	why = fmt.Errorf("write the status: %w", why)
	if apiequality.Semantic.DeepEqual(p.before, after) {
		return why
	}
	change := client.MergeFromWithOptions(p.before, client.MergeFromWithOptimisticLock{})
	if err := p.client.Status().Patch(ctx, after, change); err != nil {
		return errors.Join(why, fmt.Errorf("write why: %w", err))
	}
	return why
}
