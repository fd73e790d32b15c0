package cluster

import (
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
	// holdBack: the last operation was cancelled, and nothing has changed since.
	holdBack
	// begin: a new operation is due.
	begin
)

// decision is an act and the operation it is about: the one to wait for, the one that failed or was cancelled, the one that was the
// last before the one to begin, or nil.
type decision struct {
	act       act
	operation *v1alpha1.ClusterOperation
}

// decide works out what is due from the cluster and the operations upon it. It looks at nothing else, so the same can be decided
// from the cache and then again from a live list.
func decide(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) decision {
	if running := active(cluster, operations); running != nil {
		return decision{act: wait, operation: running}
	}
	last := newest(cluster, operations, v1alpha1.OperationType.BringsAbout)
	again := last != nil && asksAgain(cluster, last)
	if last != nil && !again && last.Spec.ClusterGeneration == cluster.Generation {
		switch {
		case last.Status.Phase == v1alpha1.OperationFailed:
			return decision{act: giveUp, operation: last}
		case last.Status.Phase == v1alpha1.OperationCancelled:
			return decision{act: holdBack, operation: last}
		case isLastHop(last):
			return decision{act: rest, operation: last}
		}
		return decision{act: begin, operation: last}
	}
	if !again && cluster.Status.InstalledGeneration == cluster.Generation {
		return decision{act: rest}
	}
	return decision{act: begin, operation: last}
}
