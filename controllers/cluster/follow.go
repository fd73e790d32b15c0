package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// follow tells how far the operation under way has come. Nothing else is done before it has ended.
func follow(_ context.Context, s *scope) (phase.Next, error) {
	running := active(s.operations)
	if running == nil {
		return phase.Continue(), nil
	}
	if metav1.IsControlledBy(running, s.cluster) {
		s.cluster.Status.LastOperation = running.Name
	}
	s.standing = phase.Working(ReasonOperationRunning, progress(running))
	return phase.Stop(), nil
}

// progress is one line about an operation that has not ended. It changes only with what people want to see.
func progress(operation *v1alpha1.ClusterOperation) string {
	if operation.Status.Phase != v1alpha1.OperationRunning {
		if ready := capi.Condition(operation, v1alpha1.ReadyCondition); ready != nil && ready.Message != "" {
			return fmt.Sprintf("operation %s waits: %s", operation.Name, ready.Message)
		}
		return fmt.Sprintf("operation %s waits", operation.Name)
	}
	done := 0
	current := ""
	for _, step := range operation.Status.Steps {
		switch step.State {
		case v1alpha1.StepDone, v1alpha1.StepChanged, v1alpha1.StepSkipped:
			done++
		case v1alpha1.StepRunning:
			if current == "" {
				current = ", at " + step.ID
			}
		}
	}
	text := fmt.Sprintf("operation %s, attempt %d: %d of %d steps done%s", operation.Name, operation.Status.Attempt,
		done, len(operation.Status.Steps), current)
	if n := len(operation.Status.Problems) + int(operation.Status.ProblemsLeftOut); n > 0 {
		text += fmt.Sprintf(", %d problems", n)
	}
	return text
}
