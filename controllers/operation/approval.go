package operation

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// maxShownApproval bounds what is repeated of an annotation that names no plan, in bytes; a digest has 71.
const maxShownApproval = 80

// needsApproval says whether somebody has to approve what an operation would do before it does it.
func needsApproval(operation *v1alpha1.ClusterOperation) bool {
	return operation.Spec.Approval == v1alpha1.ApprovalRequired
}

// approved says whether somebody approved the plan that stands in the status.
func approved(operation *v1alpha1.ClusterOperation) bool {
	digest := operation.Status.PlanDigest
	return digest != "" && operation.Annotations[v1alpha1.ApproveAnnotation] == digest
}

// awaitsApproval says whether an operation shows its plan and nobody has approved it yet.
func awaitsApproval(operation *v1alpha1.ClusterOperation) bool {
	return operation.Status.Phase == v1alpha1.OperationAwaitingApproval && !approved(operation)
}

// mustPlan says whether the next attempt only finds out what would be done, so that it can be approved.
func mustPlan(operation *v1alpha1.ClusterOperation) bool {
	return needsApproval(operation) && operation.Spec.Mode == v1alpha1.ApplyMode &&
		operation.Spec.Type != v1alpha1.CheckOperation && !approved(operation)
}

// planToHold is the digest an attempt is held to. An approved operation that was interrupted after it had begun to change something
// is not held to it any more: what is left to do is a part of what was approved, under another digest. That it had begun shows in a
// step of the plan that changed a host, because nothing is changed before the digest was compared.
func planToHold(operation *v1alpha1.ClusterOperation) string {
	if !needsApproval(operation) || !approved(operation) {
		return ""
	}
	planned := map[string]bool{}
	for _, change := range operation.Status.Plan {
		planned[change.Step] = true
	}
	for _, step := range operation.Status.Steps {
		if operation.Status.Phase == v1alpha1.OperationRunning && step.Changed > 0 && planned[step.ID] {
			return ""
		}
	}
	return operation.Status.PlanDigest
}

// awaitApproval holds an operation back while nobody has approved its plan.
func awaitApproval(_ context.Context, s *scope) (phase.Next, error) {
	if !awaitsApproval(s.operation) {
		return phase.Continue(), nil
	}
	s.standing = phase.Working(ReasonAwaitingApproval, approvalMessage(s.operation))
	return phase.Stop(), nil
}

// approvalMessage says what is to be approved and how, and why an approval that was given does not count.
func approvalMessage(operation *v1alpha1.ClusterOperation) string {
	status := &operation.Status
	count := len(status.Plan) + int(status.PlanLeftOut)
	how := fmt.Sprintf("look at the %d changes in status.plan and approve them: kubewright approve %s, or set the annotation %s to %s",
		count, operation.Name, v1alpha1.ApproveAnnotation, status.PlanDigest)
	if given := operation.Annotations[v1alpha1.ApproveAnnotation]; given != "" {
		return fmt.Sprintf("what was approved (%s) is not, or not any more, what would be done; %s", capi.Cut(given, maxShownApproval), how)
	}
	return how
}
