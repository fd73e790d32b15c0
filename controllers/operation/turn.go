package operation

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// waitForTurn lets one operation at a time upon a cluster: the one that has begun, else the oldest.
func waitForTurn(ctx context.Context, s *scope) (phase.Next, error) {
	var list v1alpha1.ClusterOperationList
	if err := s.Live.List(ctx, &list, client.InNamespace(s.operation.Namespace)); err != nil {
		return phase.Stop(), fmt.Errorf("list operations: %w", err)
	}
	first := firstOf(s.operation.Spec.ClusterRef.Name, list.Items)
	if first != nil && first.Name != s.operation.Name {
		s.standing = phase.Working(ReasonQueued, fmt.Sprintf("waiting for operation %s to end", first.Name))
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}

// firstOf returns the operation upon a cluster whose turn it is; nil when none has to be carried out.
func firstOf(cluster string, operations []v1alpha1.ClusterOperation) *v1alpha1.ClusterOperation {
	var waiting []*v1alpha1.ClusterOperation
	for i := range operations {
		if operations[i].Spec.ClusterRef.Name == cluster && !operations[i].Status.Phase.Ended() {
			waiting = append(waiting, &operations[i])
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	return slices.MinFunc(waiting, func(a, b *v1alpha1.ClusterOperation) int {
		if x, y := begun(a), begun(b); x != y {
			return y - x
		}
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
}

// begun is 1 for an operation that was being carried out, in this process or one before it.
func begun(operation *v1alpha1.ClusterOperation) int {
	if operation.Status.Phase == v1alpha1.OperationRunning {
		return 1
	}
	return 0
}
