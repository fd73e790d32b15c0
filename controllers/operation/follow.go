package operation

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// followExecution takes over how far the execution of this process has come, and how it ended.
func followExecution(_ context.Context, s *scope) (phase.Next, error) {
	x := s.executor.find(client.ObjectKeyFromObject(s.operation))
	if x == nil {
		return phase.Continue(), nil
	}
	s.cluster = x.cluster
	status := &s.operation.Status
	status.Attempt = x.attempt
	finished := x.finished() // before the recorder is read, so that nothing of a finished one is missed
	status.Steps = stepsOf(x.recorder.Snapshot())
	status.Problems, status.ProblemsLeftOut = problemsOf(x.recorder.Problems())
	if !finished {
		status.Phase = v1alpha1.OperationRunning
		s.standing = phase.Working(ReasonRunning, attemptMessage(s.operation))
		return phase.Stop(), nil
	}
	s.conclude(x)
	return phase.Stop(), nil
}

// conclude records the end of an operation.
func (s *scope) conclude(x *execution) {
	outcome, err := x.result()
	status := &s.operation.Status
	traffic := outcome.Traffic
	status.Traffic = &traffic
	if s.operation.Spec.Mode == v1alpha1.PlanMode {
		takePlan(status, outcome)
	}
	if err != nil {
		addUnreached(status, outcome)
		s.end(v1alpha1.OperationFailed)
		s.standing = phase.Stalled(failureReason(err), err.Error())
		s.announce("Warning", "OperationFailed", err.Error())
		return
	}
	s.end(v1alpha1.OperationSucceeded)
	message := s.summary(outcome.Changed, s.Now())
	s.standing = phase.Ready(ReasonSucceeded, message)
	s.announce("Normal", "OperationSucceeded", message)
}

func (s *scope) summary(changed bool, now time.Time) string {
	what := "nothing had to be changed"
	if changed {
		what = "the wanted state was brought about"
	}
	if s.operation.Spec.Mode == v1alpha1.PlanMode {
		what = "nothing would be changed"
		if changed {
			what = fmt.Sprintf("%d changes would be made", len(s.operation.Status.Plan)+int(s.operation.Status.PlanLeftOut))
		}
	}
	if s.operation.Status.StartedAt == nil {
		return what
	}
	return fmt.Sprintf("%s in %s", what, now.Sub(s.operation.Status.StartedAt.Time).Round(time.Second))
}
