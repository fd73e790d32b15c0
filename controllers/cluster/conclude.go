package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// conclude takes over what the last operation that brought the cluster about came to. What it observed of the cluster itself (version, endpoint, nodes) stands in the
// status already: the operation writes that before it says that it has ended.
func conclude(_ context.Context, s *scope) (phase.Next, error) {
	last := newest(s.cluster, s.operations, v1alpha1.OperationType.BringsAbout)
	if last == nil || !last.Status.Phase.Ended() {
		return phase.Continue(), nil
	}
	// What was found since the operation ended stands, and is not what another operation, which ended later, was about.
	seen := s.cluster.Status.LastOperation == last.Name && (!wasWorking(s.cluster) || outlived(last, s.operations))
	s.cluster.Status.LastOperation = last.Name
	if !seen {
		s.Health.Drop(client.ObjectKeyFromObject(s.cluster)) // what was found is of before its end
	}
	if last.Status.Phase == v1alpha1.OperationSucceeded {
		if isLastHop(last) {
			s.cluster.Status.Bundles = withInstalled(&s.cluster.Status, last)
			s.cluster.Status.InstalledGeneration = max(s.cluster.Status.InstalledGeneration, last.Spec.ClusterGeneration)
		}
		if !seen || !watched(s.cluster) {
			capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionTrue, ReasonAnswered, "")
		}
		return phase.Continue(), nil
	}
	if s.cluster.Status.Initialized && s.cluster.Status.InstalledGeneration == 0 && (!seen || !watched(s.cluster)) {
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionUnknown, ReasonNotAnswered,
			"the last operation ended before the whole cluster was observed")
	}
	return phase.Continue(), nil
}

// wasWorking says whether the last reconcile saw an operation under way, so that its end is news.
func wasWorking(cluster *v1alpha1.Cluster) bool {
	ready := capi.Condition(cluster, v1alpha1.ReadyCondition)
	return ready != nil && (ready.Reason == ReasonOperationRunning || ready.Reason == ReasonAwaitingApproval)
}

// outlived says whether an operation ended after the given one.
func outlived(last *v1alpha1.ClusterOperation, operations []v1alpha1.ClusterOperation) bool {
	for i := range operations {
		if at := operations[i].Status.CompletedAt; at != nil && last.Status.CompletedAt.Before(at) {
			return true
		}
	}
	return false
}
