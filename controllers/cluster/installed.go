package cluster

import (
	"github.com/kubewright/kubewright/api/v1alpha1"
)

// keptBundles is how many bundles a cluster remembers: the one it runs from and the one before.
const keptBundles = 2

// withInstalled is the list of bundles after an operation that brought the whole spec about. One that says nothing new leaves it as it
// is: so does one that is older than what was taken over before.
func withInstalled(status *v1alpha1.ClusterStatus, by *v1alpha1.ClusterOperation) []v1alpha1.InstalledBundle {
	before := status.Bundles
	if by.Status.Bundle == nil || by.Spec.ClusterGeneration < status.InstalledGeneration || status.Version == "" {
		return before
	}
	now := v1alpha1.InstalledBundle{UsedBundle: *by.Status.Bundle, Version: status.Version}
	if len(before) > 0 && before[0] == now {
		return before
	}
	list := append([]v1alpha1.InstalledBundle{now}, before...)
	return list[:min(len(list), keptBundles)]
}
