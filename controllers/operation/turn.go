package operation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// waitForTurn lets one operation at a time upon a cluster: the one that has begun, else the oldest. A comparison that the Cluster
// controller makes in the background gives way to everything else.
func waitForTurn(ctx context.Context, s *scope) (phase.Next, error) {
	var list v1alpha1.ClusterOperationList
	if err := s.Live.List(ctx, &list, client.InNamespace(s.operation.Namespace)); err != nil {
		return phase.Stop(), fmt.Errorf("list operations: %w", err)
	}
	waiting := queue(s.operation.Spec.ClusterRef.Name, list.Items)
	place := slices.IndexFunc(waiting, func(o *v1alpha1.ClusterOperation) bool { return o.Name == s.operation.Name })
	if place <= 0 {
		return phase.Continue(), nil
	}
	first := waiting[0]
	s.standing = phase.Working(ReasonQueued, fmt.Sprintf("waiting for operation %s to end, at place %d of the queue", first.Name, place))
	if inBackground(first) && !inBackground(s.operation) {
		return phase.Stop(), s.cancelOther(ctx, first)
	}
	return phase.Stop(), nil
}

// cancelOther asks another operation to end.
func (s *scope) cancelOther(ctx context.Context, other *v1alpha1.ClusterOperation) error {
	if cancelled(other) {
		return nil
	}
	after := other.DeepCopy()
	metav1.SetMetaDataAnnotation(&after.ObjectMeta, v1alpha1.CancelAnnotation, "for "+s.operation.Name)
	change := client.MergeFromWithOptions(other, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, after, change); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cancel operation %s: %w", other.Name, err)
	}
	return nil
}

// inBackground says whether an operation is a comparison that the Cluster controller created.
func inBackground(operation *v1alpha1.ClusterOperation) bool {
	return operation.Spec.Type == v1alpha1.CheckOperation && metav1.GetControllerOf(operation) != nil
}

// queue lists the operations upon a cluster that are carried out or wait for it, in the order of their turns. One that waits for
// approval is not among them: nobody knows for how long.
func queue(cluster string, operations []v1alpha1.ClusterOperation) []*v1alpha1.ClusterOperation {
	var waiting []*v1alpha1.ClusterOperation
	for i := range operations {
		o := &operations[i]
		if o.Spec.ClusterRef.Name == cluster && hasTurn(o) {
			waiting = append(waiting, o)
		}
	}
	slices.SortFunc(waiting, func(a, b *v1alpha1.ClusterOperation) int {
		if x, y := begun(a), begun(b); x != y {
			return y - x
		}
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return waiting
}

// begun is 1 for an operation that was being carried out, in this process or one before it.
func begun(operation *v1alpha1.ClusterOperation) int {
	if operation.Status.Phase == v1alpha1.OperationRunning {
		return 1
	}
	return 0
}
