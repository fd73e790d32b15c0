package cluster

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// resetPrefix begins the names of the operations that reset a cluster which is being deleted.
func resetPrefix(cluster *v1alpha1.Cluster) string { return cluster.Name + "-reset-" }

// notCleaned says why a host that the cluster still holds may be half cleaned: a Reset was begun and was not done with it. It is empty
// when none was begun, or one succeeded. The operation may be gone, because it was stopped by deleting it; the host's step then tells.
func notCleaned(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation, host *v1alpha1.Host) string {
	var last *v1alpha1.ClusterOperation
	for i := range operations {
		o := &operations[i]
		if o.Spec.Type != v1alpha1.ResetOperation || !metav1.IsControlledBy(o, cluster) || o.Status.Attempt == 0 {
			continue
		}
		if o.Status.Phase == v1alpha1.OperationSucceeded {
			return ""
		}
		if last == nil || later(o, last) {
			last = o
		}
	}
	step := host.Status.Step
	if step != nil && !strings.HasPrefix(step.Operation, resetPrefix(cluster)) {
		step = nil
	}
	if last != nil {
		for _, problem := range last.Status.Problems {
			if problem.Host == host.Name {
				return fmt.Sprintf("%s of operation %s: %s", problem.Step, last.Name, problem.Message)
			}
		}
	}
	switch {
	case step != nil && step.Message != "":
		return fmt.Sprintf("%s of operation %s: %s", step.Step, step.Operation, step.Message)
	case step != nil:
		return fmt.Sprintf("operation %s was stopped before it was done with the host", step.Operation)
	case last != nil:
		return fmt.Sprintf("operation %s ended before it was done with the host", last.Name)
	}
	return ""
}
