// Package claims tells which Hosts belong to a Cluster, and which of them are on their way out of it. It must not write.
package claims

import (
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
)

// Holds says whether the cluster has the host's claim.
func Holds(cluster *v1alpha1.Cluster, host *v1alpha1.Host) bool {
	claim := host.Status.Claim
	return claim != nil && claim.ClusterName == cluster.Name && claim.ClusterUID == string(cluster.UID)
}

// WasTouched says whether an operation may have changed something on the host: one that was never reached is as it was. When in
// doubt the answer is yes.
func WasTouched(host *v1alpha1.Host) bool {
	if host.Status.Facts != nil {
		return true
	}
	step := host.Status.Step
	if step == nil {
		return false
	}
	switch step.State {
	case v1alpha1.StepFailed, v1alpha1.StepBlocked, v1alpha1.StepSkipped, v1alpha1.StepPending:
		return false
	case v1alpha1.StepRunning, v1alpha1.StepDone, v1alpha1.StepChanged:
	}
	return true
}

// IsLeaving says whether a host left the cluster's spec and may still be part of the cluster, so that it has to be taken out of it.
func IsLeaving(cluster *v1alpha1.Cluster, host *v1alpha1.Host) bool {
	return Holds(cluster, host) && WasTouched(host) && !slices.Contains(index.HostNames(cluster), host.Name)
}
