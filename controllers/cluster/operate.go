package cluster

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// operate creates an Install when one is due. What is due is decided from a live list, so that one operation exists at a time even
// when the cache has not seen the last one yet; the fixed name makes a double impossible.
func operate(ctx context.Context, s *scope) (phase.Next, error) {
	next := decide(s.cluster, s.operations)
	if next.act == install && !paused(s.cluster) {
		live, err := s.listOperationsLive(ctx)
		if err != nil {
			return phase.Stop(), err
		}
		next = decide(s.cluster, live)
	}
	switch next.act {
	case rest:
		s.standing = s.atRest()
	case wait:
		s.standing = phase.Working(ReasonOperationRunning, progress(next.operation))
	case giveUp:
		s.standing = phase.Stalled(ReasonOperationFailed, fmt.Sprintf(
			"operation %s failed: %s; correct the cause, then change the spec or set the annotation %s to a new value",
			next.operation.Name, failure(next.operation), v1alpha1.RetryAnnotation))
	case install:
		if paused(s.cluster) {
			s.standing = phase.Resting(ReasonPaused, "the spec is not brought about while the cluster is paused")
			return phase.Continue(), nil
		}
		operation := s.newOperation(next.name, v1alpha1.InstallOperation, s.cluster.Generation)
		if err := s.create(ctx, operation); err != nil {
			return phase.Stop(), err
		}
		s.standing = phase.Working(ReasonOperationRunning, progress(operation))
	}
	return phase.Continue(), nil
}

// paused says whether somebody holds operations back.
func paused(cluster *v1alpha1.Cluster) bool {
	return cluster.Spec.Paused || capi.HasPausedAnnotation(cluster)
}

// failure is why an operation failed, in its own words.
func failure(operation *v1alpha1.ClusterOperation) string {
	if ready := capi.Condition(operation, v1alpha1.ReadyCondition); ready != nil && ready.Message != "" {
		return ready.Message
	}
	return "it gave no reason"
}
