package operation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/engine"
)

// cancelled says whether somebody asks an operation to end.
func cancelled(operation *v1alpha1.ClusterOperation) bool {
	_, asked := operation.Annotations[v1alpha1.CancelAnnotation]
	return asked
}

// cancelWaiting ends an operation at once that is to be cancelled and has not begun. One that a process before this one had begun is
// carried on to a safe point: it may have left a node in the middle of its work.
func cancelWaiting(_ context.Context, s *scope) (phase.Next, error) {
	if !cancelled(s.operation) || s.operation.Status.Phase == v1alpha1.OperationRunning {
		return phase.Continue(), nil
	}
	return s.cancelAtOnce(ReasonCancelled, "it was cancelled before anything was done"), nil
}

// wasStopped says whether an attempt ended because somebody asked for it.
func wasStopped(x *execution, err error) bool {
	return errors.Is(err, engine.ErrStopped) || x.readOnly && x.stopping() && errors.Is(err, context.Canceled)
}

// failedBefore says what had failed when an operation stopped on request; "" when nothing had.
func failedBefore(err error) string {
	run, ok := errors.AsType[*engine.RunError](err)
	if !ok || len(run.Failures) == 0 {
		return ""
	}
	return "; not tried again: " + strings.TrimPrefix(run.Error(), engine.ErrStopped.Error()+"; ")
}

// stoppedAt says how far an operation had come when it was stopped.
func stoppedAt(steps []v1alpha1.OperationStep) string {
	done := 0
	middle := ""
	for _, step := range steps {
		ended := step.Done + step.Changed
		switch {
		case step.State == v1alpha1.StepSkipped || ended == step.Hosts:
			done++
		case ended > 0 && middle == "":
			middle = fmt.Sprintf(", %s on %d of %d hosts", step.ID, ended, step.Hosts)
		}
	}
	return fmt.Sprintf("stopped at a safe point after %d of %d steps%s", done, len(steps), middle)
}
