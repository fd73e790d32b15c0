package operation

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// maxApprovedBy bounds the name of who approved, in bytes, as the API does.
const maxApprovedBy = 253

// maxShownApproval bounds what is repeated of an annotation that names no plan, in bytes; a digest has 71.
const maxShownApproval = 80

// needsApproval says whether somebody has to approve what an operation would do before it does it: the operation says so itself, or its
// cluster wants it of all, whoever created them. A BackupEtcd changes nothing of the cluster, a Reset is allowed by name; see mayReset.
func needsApproval(operation *v1alpha1.ClusterOperation, cluster *v1alpha1.Cluster) bool {
	return operation.Spec.Approval == v1alpha1.ApprovalRequired ||
		operation.Spec.Type.BringsAbout() && cluster.Spec.OperationPolicy == v1alpha1.ManualOperations
}

// mayReset says whether a Reset may remove a cluster from its hosts: the cluster is being deleted with that policy, or somebody allowed this
// very Reset on the Cluster. That an operation belongs to the cluster says nothing: whoever creates it writes that. The error is a *failure.
func (s *scope) mayReset() error {
	deleted := !s.cluster.DeletionTimestamp.IsZero() && s.cluster.Spec.DeletionPolicy == v1alpha1.ResetOnDelete
	if !s.isReset() || s.operation.Spec.Mode == v1alpha1.PlanMode || deleted || s.cluster.Annotations[v1alpha1.AllowResetAnnotation] == s.operation.Name {
		return nil
	}
	return &failure{reason: ReasonResetNotAllowed, message: fmt.Sprintf(
		"cluster %s does not allow that it is removed from its hosts: delete the Cluster with deletionPolicy Reset, or allow an operation by name before it is created: "+
			"kubectl annotate cluster %s --namespace %s --overwrite %s=NAME", s.cluster.Name, s.cluster.Name, s.cluster.Namespace, v1alpha1.AllowResetAnnotation)}
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
func mustPlan(operation *v1alpha1.ClusterOperation, cluster *v1alpha1.Cluster) bool {
	return needsApproval(operation, cluster) && operation.Spec.Mode == v1alpha1.ApplyMode &&
		operation.Spec.Type != v1alpha1.CheckOperation && !approved(operation)
}

// planToHold is the digest an attempt is held to. An approved operation that was interrupted after it had begun to change something
// is not held to it any more: what is left to do is a part of what was approved, under another digest. That it had begun shows in a
// step of the plan that changed a host, because nothing is changed before the digest was compared.
func planToHold(operation *v1alpha1.ClusterOperation, cluster *v1alpha1.Cluster) string {
	if !needsApproval(operation, cluster) || !approved(operation) {
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
	what := fmt.Sprintf("the %d changes in status.plan", len(status.Plan))
	if status.PlanLeftOut > 0 {
		what += fmt.Sprintf(", of which there are %d more than it has room for,", status.PlanLeftOut)
	}
	how := fmt.Sprintf("look at %s and approve them: kubewright approve %s, or set the annotation %s to %s, and %s to your own name",
		what, operation.Name, v1alpha1.ApproveAnnotation, status.PlanDigest, v1alpha1.ApprovedByAnnotation)
	if given := operation.Annotations[v1alpha1.ApproveAnnotation]; given != "" {
		return fmt.Sprintf("what was approved (%s) is not, or not any more, what would be done; %s", capi.Cut(given, maxShownApproval), how)
	}
	return how
}
