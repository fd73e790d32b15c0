package cluster

import (
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// act is what the Cluster controller does next about operations.
type act int

const (
	// rest: spec and reality agree as far as operations told.
	rest act = iota
	// wait: an operation is under way.
	wait
	// giveUp: the last operation failed, and nothing has changed since.
	giveUp
	// install: a new Install is due.
	install
)

// decision is an act and the operation it is about: the one to wait for, the one that failed, or nil.
type decision struct {
	act       act
	operation *v1alpha1.ClusterOperation
	// name of the operation to create.
	name string
}

// decide works out what is due from the cluster and the operations upon it. It looks at nothing else, so the same can be decided
// from the cache and then again from a live list.
func decide(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) decision {
	if running := active(operations); running != nil {
		return decision{act: wait, operation: running}
	}
	last := newest(cluster, operations, v1alpha1.InstallOperation)
	again := last != nil && asksAgain(cluster, last)
	if last != nil && !again && last.Spec.ClusterGeneration == cluster.Generation {
		if last.Status.Phase == v1alpha1.OperationFailed {
			return decision{act: giveUp, operation: last}
		}
		return decision{act: rest, operation: last}
	}
	if !again && cluster.Status.InstalledGeneration == cluster.Generation {
		return decision{act: rest}
	}
	prefix := fmt.Sprintf("%s-install-g%d-", cluster.Name, cluster.Generation)
	return decision{act: install, name: nextName(prefix, operations)}
}
