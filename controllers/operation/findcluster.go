package operation

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// findCluster reads the Cluster live: an execution must not begin from an old spec.
func findCluster(ctx context.Context, s *scope) (phase.Next, error) {
	key := client.ObjectKey{Namespace: s.operation.Namespace, Name: s.operation.Spec.ClusterRef.Name}
	cluster := &v1alpha1.Cluster{}
	err := s.Live.Get(ctx, key, cluster)
	if apierrors.IsNotFound(err) {
		return s.fail(&failure{reason: ReasonClusterNotFound, message: fmt.Sprintf("cluster %s does not exist", key.Name)}), nil
	}
	if err != nil {
		return phase.Stop(), fmt.Errorf("read cluster %s: %w", key.Name, err)
	}
	if wanted := s.operation.Spec.ClusterGeneration; wanted != 0 && wanted != cluster.Generation {
		return s.supersede(cluster.Generation), nil
	}
	s.cluster = cluster
	return phase.Continue(), nil
}

// supersede ends an operation that was never begun for a spec that is not the cluster's any more.
func (s *scope) supersede(generation int64) phase.Next {
	return s.cancelAtOnce(ReasonSuperseded, fmt.Sprintf(
		"the cluster is at generation %d, this operation was for %d; another one will follow", generation, s.operation.Spec.ClusterGeneration))
}
