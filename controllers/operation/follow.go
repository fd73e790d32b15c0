package operation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/provision"
)

// followExecution takes over how far the execution of this process has come, and how it ended.
func followExecution(_ context.Context, s *scope) (phase.Next, error) {
	x := s.executor.find(client.ObjectKeyFromObject(s.operation))
	if x == nil {
		return phase.Continue(), nil
	}
	s.cluster = x.cluster
	if cancelled(s.operation) {
		x.askToStop()
	}
	status := &s.operation.Status
	status.Attempt = x.attempt
	finished := x.finished() // before the recorder is read, so that nothing of a finished one is missed
	status.Steps = stepsOf(x.recorder.Snapshot())
	status.Problems, status.ProblemsLeftOut = problemsOf(x.recorder.Problems())
	if !finished {
		status.Phase = v1alpha1.OperationRunning
		s.standing = s.underWay(x.planning)
		return phase.Stop(), nil
	}
	s.conclude(x)
	return phase.Stop(), nil
}

// conclude records what an attempt came to.
func (s *scope) conclude(x *execution) {
	outcome, err := x.result()
	status := &s.operation.Status
	traffic := outcome.Traffic
	status.Traffic = &traffic
	if x.readOnly {
		takePlan(status, outcome)
	}
	if changed, ok := errors.AsType[*provision.PlanChangedError](err); ok {
		s.planAgain(changed)
		return
	}
	switch {
	case wasStopped(x, err):
		s.end(v1alpha1.OperationCancelled)
		message := withNote(stoppedAt(status.Steps)+failedBefore(err), outcome)
		s.standing = phase.Stalled(ReasonCancelled, message)
		s.announce("Normal", "OperationCancelled", message)
	case err != nil:
		addUnreached(status, outcome)
		s.end(v1alpha1.OperationFailed)
		message := withNote(err.Error(), outcome)
		s.standing = phase.Stalled(failureReason(err), message)
		s.announce("Warning", "OperationFailed", message)
	case x.planning && len(outcome.Plan) > 0:
		s.askForApproval()
	default:
		s.end(v1alpha1.OperationSucceeded)
		message := withNote(s.summary(outcome.Changed && !x.planning, s.Now()), outcome)
		s.standing = phase.Ready(ReasonSucceeded, message)
		s.announce("Normal", "OperationSucceeded", message)
	}
}

// maxBeforeNote bounds a message that something is added to, in bytes: conditions cut long ones off at their end.
const maxBeforeNote = 1500

// withNote adds to how an attempt ended which nodes it left without pods.
func withNote(message string, outcome *provision.Outcome) string {
	if note := outcome.CordonNote(); note != "" {
		return capi.Cut(message, maxBeforeNote) + "; " + note
	}
	return message
}

// askForApproval shows the plan and lets the operation wait.
func (s *scope) askForApproval() {
	s.operation.Status.Phase = v1alpha1.OperationAwaitingApproval
	s.forgetWhenWritten()
	message := approvalMessage(s.operation)
	s.standing = phase.Working(ReasonAwaitingApproval, message)
	s.announce("Normal", "AwaitingApproval", message)
}

// planAgain has the next attempt find out what has to be approved now. Nothing was done in this one.
func (s *scope) planAgain(why *provision.PlanChangedError) {
	s.operation.Status.Phase = v1alpha1.OperationPending
	s.operation.Status.PlanDigest = ""
	s.operation.Status.Plan, s.operation.Status.PlanLeftOut = nil, 0
	s.operation.Status.StartedAt = nil
	s.forgetWhenWritten()
	s.standing = phase.Working(ReasonPlanChanged, why.Error())
	s.announce("Warning", "PlanChanged", why.Error())
}

// forgetWhenWritten drops the execution that this standing was taken from, so that the operation can have another one.
func (s *scope) forgetWhenWritten() {
	key := client.ObjectKeyFromObject(s.operation)
	s.written = append(s.written, func() { s.executor.forget(key) })
}

func (s *scope) summary(changed bool, now time.Time) string {
	what := "nothing had to be changed"
	if changed {
		what = "the wanted state was brought about"
	}
	if s.operation.Spec.Mode == v1alpha1.PlanMode || s.operation.Spec.Type == v1alpha1.CheckOperation {
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
