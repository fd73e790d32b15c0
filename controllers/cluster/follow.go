package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// follow reports how far the operation under way has come. Nothing else is done before it has ended, but a cluster that was brought about
// once is looked at as one at rest is.
func follow(ctx context.Context, s *scope) (phase.Next, error) {
	running := active(s.cluster, s.operations)
	if running == nil {
		return phase.Continue(), nil
	}
	if err := s.answer(ctx, running); err != nil {
		return phase.Stop(), err
	}
	if metav1.IsControlledBy(running, s.cluster) {
		s.cluster.Status.LastOperation = running.Name
	}
	if running.Status.Phase == v1alpha1.OperationAwaitingApproval {
		s.standing = phase.Working(ReasonAwaitingApproval, progress(running))
		_, err := takeHealth(ctx, s)
		return phase.Stop(), err
	}
	s.standing = phase.Working(ReasonOperationRunning, progress(running))
	if s.cluster.Status.InstalledGeneration == 0 {
		s.Health.Drop(client.ObjectKeyFromObject(s.cluster)) // it is coming up, and what people reach it with may not exist yet
		return phase.Stop(), nil
	}
	// An API server that restarts misses one look; one that is away for longer is news, whoever brought that about.
	_, err := takeHealth(ctx, s)
	return phase.Stop(), err
}

// answer lets an operation under way answer a retry that is asked for meanwhile: it does what another one would do. Without this an
// installation that goes on after a restart would be followed by a second one with nothing to do.
func (s *scope) answer(ctx context.Context, running *v1alpha1.ClusterOperation) error {
	if !running.Spec.Type.BringsAbout() || running.Spec.ClusterGeneration != s.cluster.Generation ||
		!metav1.IsControlledBy(running, s.cluster) || !asksAgain(s.cluster, running) {
		return nil
	}
	after := running.DeepCopy()
	setAnnotation(after, v1alpha1.RetryAnnotation, s.cluster.Annotations[v1alpha1.RetryAnnotation])
	change := client.MergeFromWithOptions(running, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, after, change); err != nil {
		return fmt.Errorf("let operation %s answer the retry: %w", running.Name, err)
	}
	return nil
}

// progress is one line about an operation that has not ended. It changes only with what people want to see.
func progress(operation *v1alpha1.ClusterOperation) string {
	title := "operation " + operation.Name
	if hop := operation.Annotations[v1alpha1.HopAnnotation]; hop != "" {
		title += fmt.Sprintf(" (hop %s, to %s)", hop, operation.Spec.Version)
	}
	if operation.Status.Phase != v1alpha1.OperationRunning {
		if ready := capi.Condition(operation, v1alpha1.ReadyCondition); ready != nil && ready.Message != "" {
			return fmt.Sprintf("%s waits: %s", title, ready.Message)
		}
		return title + " waits"
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
	text := fmt.Sprintf("%s, attempt %d: %d of %d steps done%s", title, operation.Status.Attempt,
		done, len(operation.Status.Steps), current)
	if n := len(operation.Status.Problems) + int(operation.Status.ProblemsLeftOut); n > 0 {
		text += fmt.Sprintf(", %d problems", n)
	}
	return text
}
