package operation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/provision"
)

// begin prepares an attempt, which starts when its number has been written against the resource version that was read, so that no
// two executions have the same. An operation found in phase Running without an execution was left behind by a process that
// is gone, and begins its next attempt in the same way.
func begin(ctx context.Context, s *scope) (phase.Next, error) {
	key := client.ObjectKeyFromObject(s.operation)
	manifest := s.cluster.Spec.OfflineManifestRef.Name
	s.bundleWaiters.add(manifest, key)
	lease, open := s.Bundles.Acquire(manifest)
	if !open {
		return phase.Last(bundleGlance), s.awaitBundle(ctx, manifest)
	}
	s.bundleWaiters.remove(manifest, key)
	request, err := s.allowed(ctx)
	if err != nil {
		lease.Release()
		if stop, ok := errors.AsType[*failure](err); ok {
			return s.fail(stop), nil
		}
		return phase.Stop(), err
	}
	s.asked = true
	slot, waitsFor := s.executor.reserve(claimOf(s.operation), looksOnly(s.operation, s.cluster))
	if slot == nil {
		lease.Release()
		s.standing = phase.Working(ReasonQueued, waitsFor)
		return phase.Stop(), nil
	}
	s.operation.Status.Bundle = &v1alpha1.UsedBundle{OfflineManifest: manifest, Digest: lease.Bundle.Digest().String()}
	s.prepare(&request)
	request.Bundle = lease.Bundle
	stop := cancelled(s.operation)
	s.written = append(s.written, func() { //nolint:contextcheck // an execution outlives the reconcile
		s.executor.start(slot, request, stop, lease.Release)
	})
	s.unwritten = append(s.unwritten, lease.Release, slot.giveBack)
	return phase.Stop(), nil
}

// allowed gathers what an attempt needs, of an operation that its cluster allows.
func (s *scope) allowed(ctx context.Context) (provision.Request, error) {
	if err := s.mayReset(); err != nil {
		return provision.Request{}, err
	}
	return s.gather(ctx)
}

// bundleGlance is how often an operation looks at what keeps its bundle from being opened; that it was opened, it is told.
const bundleGlance = 2 * time.Second

// awaitBundle says what the operation waits for. A bundle that somebody has to do something about stalls the operation.
func (s *scope) awaitBundle(ctx context.Context, name string) error {
	s.standing = phase.Working(ReasonWaitingForBundle, fmt.Sprintf("waiting until the bundle of OfflineManifest %s is verified", name))
	manifest := &v1alpha1.OfflineManifest{}
	err := s.Client.Get(ctx, client.ObjectKey{Name: name}, manifest)
	switch {
	case apierrors.IsNotFound(err):
		s.standing = phase.Stalled(ReasonWaitingForBundle, fmt.Sprintf("OfflineManifest %s does not exist: create it", name))
	case err != nil:
		return fmt.Errorf("read OfflineManifest %s: %w", name, err)
	case capi.IsTrueNow(manifest, v1alpha1.StalledCondition):
		s.standing = phase.Stalled(ReasonWaitingForBundle, fmt.Sprintf("OfflineManifest %s cannot be used: %s", name, capi.Condition(manifest, v1alpha1.StalledCondition).Message))
	}
	return nil
}

// prepare counts the attempt and says in the request what it may do.
func (s *scope) prepare(request *provision.Request) {
	status := &s.operation.Status
	planning := mustPlan(s.operation, s.cluster)
	request.ApprovedPlan = planToHold(s.operation, s.cluster)
	if status.Phase == v1alpha1.OperationAwaitingApproval {
		status.Steps = nil // they tell what would be done, not what was
	}
	if request.ApprovedPlan != "" {
		status.ApprovedBy = capi.Cut(s.operation.Annotations[v1alpha1.ApprovedByAnnotation], maxApprovedBy)
		s.announce("Normal", "OperationApproved", fmt.Sprintf("plan %s, by %s", request.ApprovedPlan, cmp.Or(status.ApprovedBy, "somebody who did not say who")))
	}
	status.Attempt++
	status.Phase = v1alpha1.OperationRunning
	if status.StartedAt == nil && !planning {
		now := metav1.NewTime(s.Now()).Rfc3339Copy()
		status.StartedAt = &now
	}
	request.Attempt = int(status.Attempt)
	request.Operation = *s.operation.DeepCopy()
	what := string(s.operation.Spec.Type)
	if planning {
		request.Operation.Spec.Mode = v1alpha1.PlanMode
		what = "plan of " + what
	}
	s.standing = s.underWay(planning)
	s.announce("Normal", "OperationStarted", fmt.Sprintf("%s, attempt %d", what, status.Attempt))
}

// underWay is the standing of an operation that is being carried out.
func (s *scope) underWay(planning bool) phase.Standing {
	attempt := s.operation.Status.Attempt
	switch {
	case cancelled(s.operation):
		return phase.Working(ReasonCancelling, "waiting for a safe point to stop at")
	case planning:
		return phase.Working(ReasonPlanning, fmt.Sprintf("attempt %d finds out what has to be approved", attempt))
	}
	return phase.Working(ReasonRunning, fmt.Sprintf("attempt %d is under way", attempt))
}

// end records that an operation has come to its end.
func (s *scope) end(as v1alpha1.OperationPhase) {
	s.operation.Status.Phase = as
	now := metav1.NewTime(s.Now()).Rfc3339Copy()
	s.operation.Status.CompletedAt = &now
}

// cancelAtOnce ends an operation that nothing was done for yet.
func (s *scope) cancelAtOnce(reason, message string) phase.Next {
	s.end(v1alpha1.OperationCancelled)
	s.standing = phase.Stalled(reason, message)
	s.announce("Normal", "OperationCancelled", message)
	return phase.Stop()
}

// fail ends an operation that cannot begin.
func (s *scope) fail(why *failure) phase.Next {
	s.end(v1alpha1.OperationFailed)
	if why.host != "" {
		s.operation.Status.Problems = []v1alpha1.HostProblem{{Host: why.host, Step: "begin", Reason: why.reason, Message: why.message}}
	}
	s.standing = phase.Stalled(why.reason, why.message)
	s.announce("Warning", "OperationFailed", why.message)
	return phase.Stop()
}
