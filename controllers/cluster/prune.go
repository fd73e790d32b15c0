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

// keptRecords is how many ended operations of a cluster are kept as its history.
const keptRecords = 20

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
	var records []*v1alpha1.ClusterOperation
	for i := range operations {
		o := &operations[i]
		if o.Status.Phase.Ended() && metav1.IsControlledBy(o, cluster) && o.DeletionTimestamp.IsZero() {
			records = append(records, o)
		}
	}
	if len(records) <= keptRecords {
		return nil
	}
	slices.SortFunc(records, func(a, b *v1alpha1.ClusterOperation) int {
		if later(a, b) {
			return -1
		}
		return 1
	})
	return records[keptRecords:]
}
