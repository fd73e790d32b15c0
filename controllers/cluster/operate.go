package cluster

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/plan"
)

// operate creates the next operation when one is due. What is due is decided from a live list, so that one operation exists at a time
// even when the cache has not seen the last one yet; the fixed name makes a double impossible.
func operate(ctx context.Context, s *scope) (phase.Next, error) {
	next := decide(s.cluster, s.operations)
	if next.act == begin && !paused(s.cluster) {
		live, err := s.listOperationsLive(ctx)
		if err != nil {
			return phase.Stop(), err
		}
		s.operations = live
		next = decide(s.cluster, live)
	}
	switch next.act {
	case rest:
		s.standing = s.atRest()
		s.resting = true
	case wait:
		s.standing = phase.Working(ReasonOperationRunning, progress(next.operation))
	case giveUp:
		s.standing = phase.Stalled(ReasonOperationFailed, fmt.Sprintf(
			"operation %s failed: %s; correct the cause, then change the spec or set the annotation %s to a new value",
			next.operation.Name, failure(next.operation), v1alpha1.RetryAnnotation))
	case holdBack:
		s.standing = phase.Stalled(ReasonOperationCancelled, fmt.Sprintf(
			"operation %s was cancelled: %s; to go on from there set the annotation %s to a new value, to do something else change the spec",
			next.operation.Name, failure(next.operation), v1alpha1.RetryAnnotation))
	case begin:
		if paused(s.cluster) {
			s.standing = phase.Resting(ReasonPaused, "the spec is not brought about while the cluster is paused")
			return phase.Continue(), nil
		}
		return phase.Continue(), s.begin(ctx, next.operation)
	}
	return phase.Continue(), nil
}

// begin creates the operation that closes the largest gap between spec and reality, or says why there is no way to close it. The
// cluster is read live: how far it is decides what is done.
func (s *scope) begin(ctx context.Context, last *v1alpha1.ClusterOperation) error {
	live := &v1alpha1.Cluster{}
	if err := s.Live.Get(ctx, client.ObjectKeyFromObject(s.cluster), live); err != nil {
		return fmt.Errorf("read the cluster before an operation is created: %w", err)
	}
	live.Generation, live.Spec = s.cluster.Generation, s.cluster.Spec // what was judged so far
	live.Status.Nodes.Desired = s.cluster.Status.Nodes.Desired
	found, err := findGap(live, s.available, last, s.moving)
	if refused, ok := errors.AsType[*plan.RefusedError](err); ok {
		s.standing = phase.Stalled(string(refused.Reason), refused.Message)
		return nil
	}
	if err != nil {
		return fmt.Errorf("compare the versions: %w", err)
	}
	operation := s.newOperation(nextSuccessor(s.cluster, found.kind, s.neighbours), found.kind, s.cluster.Generation)
	operation.Spec.Version = found.version
	if found.hops > 1 {
		setAnnotation(operation, v1alpha1.HopAnnotation, hopText(found.hop, found.hops))
	}
	if err := s.create(ctx, operation); err != nil {
		return err
	}
	s.standing = phase.Working(ReasonOperationRunning, progress(operation))
	return nil
}

// paused says whether somebody holds operations back.
func paused(cluster *v1alpha1.Cluster) bool {
	return cluster.Spec.Paused || capi.HasPausedAnnotation(cluster)
}

// failure is why an operation ended without success, in its own words.
func failure(operation *v1alpha1.ClusterOperation) string {
	if ready := capi.Condition(operation, v1alpha1.ReadyCondition); ready != nil && ready.Message != "" {
		return ready.Message
	}
	return "it gave no reason"
}
