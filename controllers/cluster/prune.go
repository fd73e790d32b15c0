package cluster

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

const (
	// keptRecords is how many ended operations of a cluster are kept as its history.
	keptRecords = 20
	// keptChecks is how many comparisons are kept: they repeat themselves, and the last one tells.
	keptChecks = 2
)

// prune deletes the oldest records of operations that this controller created. Those of people are theirs.
func prune(ctx context.Context, s *scope) (phase.Next, error) {
	for _, old := range surplus(s.cluster, s.operations) {
		if err := s.Client.Delete(ctx, old); client.IgnoreNotFound(err) != nil {
			return phase.Stop(), fmt.Errorf("delete the record of operation %s: %w", old.Name, err)
		}
	}
	return phase.Continue(), nil
}

// surplus returns the ended operations beyond the newest ones.
func surplus(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) []*v1alpha1.ClusterOperation {
	var records, checks []*v1alpha1.ClusterOperation
	for i := range operations {
		o := &operations[i]
		switch {
		case !o.Status.Phase.Ended() || !metav1.IsControlledBy(o, cluster) || !o.DeletionTimestamp.IsZero():
		case isCheck(cluster, o):
			checks = append(checks, o)
		default:
			records = append(records, o)
		}
	}
	return append(beyond(records, keptRecords), beyond(checks, keptChecks)...)
}

// beyond returns all but the newest ones.
func beyond(records []*v1alpha1.ClusterOperation, kept int) []*v1alpha1.ClusterOperation {
	if len(records) <= kept {
		return nil
	}
	slices.SortFunc(records, func(a, b *v1alpha1.ClusterOperation) int {
		if later(a, b) {
			return -1
		}
		return 1
	})
	return records[kept:]
}
