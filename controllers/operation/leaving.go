package operation

import (
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/claims"
)

// Leaving names those of all Hosts of a namespace that an operation would take out of a cluster, sorted: they left its spec and may
// still be part of it.
func Leaving(cluster *v1alpha1.Cluster, all []v1alpha1.Host) []string {
	var names []string
	for i := range all {
		if claims.IsLeaving(cluster, &all[i]) {
			names = append(names, all[i].Name)
		}
	}
	slices.Sort(names)
	return names
}

// held names those of all Hosts of a namespace that a cluster has, sorted: what a Reset has to undo, whatever the spec says by now.
func held(cluster *v1alpha1.Cluster, all []v1alpha1.Host) []string {
	var names []string
	for i := range all {
		if claims.Holds(cluster, &all[i]) {
			names = append(names, all[i].Name)
		}
	}
	slices.Sort(names)
	return names
}
