// Package operation reconciles ClusterOperation: it queues operations, gathers what one needs, has it carried out through
// provision.Runner outside of the reconcile, and puts progress and outcome into the statuses of operation, Hosts and Cluster. It
// must not know how an operation is carried out, nor decide which one is due.
package operation
