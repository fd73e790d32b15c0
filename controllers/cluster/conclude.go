package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// conclude takes over what the last Install came to. What it observed of the cluster itself (version, endpoint, nodes) stands in the
// status already: the operation writes that before it says that it has ended.
func conclude(_ context.Context, s *scope) (phase.Next, error) {
	last := newest(s.cluster, s.operations, v1alpha1.InstallOperation)
	if last == nil || !ended(last) {
		return phase.Continue(), nil
	}
	s.cluster.Status.LastOperation = last.Name
	if last.Status.Phase == v1alpha1.OperationSucceeded {
		s.cluster.Status.InstalledGeneration = max(s.cluster.Status.InstalledGeneration, last.Spec.ClusterGeneration)
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionTrue, ReasonAnswered, "")
		return phase.Continue(), nil
	}
	if s.cluster.Status.Initialized && s.cluster.Status.InstalledGeneration == 0 {
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionUnknown, ReasonNotAnswered,
			"the last operation ended before the whole cluster was observed")
	}
	return phase.Continue(), nil
}
