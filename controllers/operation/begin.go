package operation

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// begin starts an attempt. The number of the attempt is stored before anything runs, against the resource version that was read, so
// that no two executions have the same. An operation found in phase Running without an execution was left behind by a process that
// is gone, and begins its next attempt in the same way.
func begin(ctx context.Context, s *scope) (phase.Next, error) {
	key := client.ObjectKeyFromObject(s.operation)
	manifest := s.cluster.Spec.OfflineManifestRef.Name
	s.bundleWaiters.add(manifest, key)
	lease, open := s.Bundles.Acquire(manifest)
	if !open {
		s.standing = phase.Working(ReasonWaitingForBundle,
			fmt.Sprintf("waiting until the bundle of OfflineManifest %s is verified", manifest))
		return phase.Stop(), nil
	}
	s.bundleWaiters.remove(manifest, key)
	started := false
	defer func() {
		if !started {
			lease.Release()
		}
	}()
	request, err := s.gather(ctx)
	if stop, ok := errors.AsType[*failure](err); ok {
		return s.fail(stop), nil
	}
	if err != nil {
		return phase.Stop(), err
	}
	slot, ok := s.executor.reserve(key)
	if !ok {
		s.standing = phase.Working(ReasonQueued, "waiting for other operations to end")
		return phase.Stop(), nil
	}
	defer func() {
		if !started {
			slot.giveBack()
		}
	}()
	if err := s.storeAttempt(ctx); err != nil {
		return phase.Stop(), err
	}
	request.Bundle = lease.Bundle
	request.Attempt = int(s.operation.Status.Attempt)
	request.Operation = *s.operation.DeepCopy()
	s.executor.start(slot, request, lease.Release)
	started = true
	s.standing = phase.Working(ReasonRunning, attemptMessage(s.operation))
	s.announce("Normal", "OperationStarted", fmt.Sprintf("%s, attempt %d", s.operation.Spec.Type, s.operation.Status.Attempt))
	return phase.Stop(), nil
}

// storeAttempt writes phase and attempt at once.
func (s *scope) storeAttempt(ctx context.Context) error {
	before := &v1alpha1.ClusterOperation{}
	if err := s.Live.Get(ctx, client.ObjectKeyFromObject(s.operation), before); err != nil {
		return fmt.Errorf("read the operation before it begins: %w", err)
	}
	if ended(before) || !before.DeletionTimestamp.IsZero() {
		return errChanged
	}
	after := before.DeepCopy()
	after.Status.Attempt++
	after.Status.Phase = v1alpha1.OperationRunning
	if after.Status.StartedAt == nil {
		now := metav1.NewTime(s.Now()).Rfc3339Copy()
		after.Status.StartedAt = &now
	}
	change := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Status().Patch(ctx, after, change); err != nil {
		return fmt.Errorf("store the attempt: %w", err)
	}
	s.operation.Status.Attempt = after.Status.Attempt
	s.operation.Status.Phase = after.Status.Phase
	s.operation.Status.StartedAt = after.Status.StartedAt
	return nil
}

// errChanged says that the cache was behind; the event on its way brings the operation back.
var errChanged = errors.New("the operation changed since it was read")

func attemptMessage(operation *v1alpha1.ClusterOperation) string {
	return fmt.Sprintf("attempt %d is under way", operation.Status.Attempt)
}

// fail ends an operation that cannot begin.
func (s *scope) fail(why *failure) phase.Next {
	s.operation.Status.Phase = v1alpha1.OperationFailed
	now := metav1.NewTime(s.Now()).Rfc3339Copy()
	s.operation.Status.CompletedAt = &now
	if why.host != "" {
		s.operation.Status.Problems = []v1alpha1.HostProblem{{Host: why.host, Step: "begin", Reason: why.reason, Message: why.message}}
	}
	s.standing = phase.Stalled(why.reason, why.message)
	s.announce("Warning", "OperationFailed", why.message)
	return phase.Stop()
}
