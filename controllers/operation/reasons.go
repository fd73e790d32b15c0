package operation

import (
	"context"
	"errors"

	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// Reasons of a ClusterOperation's conditions.
const (
	// ReasonSucceeded is given when the wanted state was observed.
	ReasonSucceeded = "Succeeded"
	// ReasonFailed is given when it was not; message and problems say why.
	ReasonFailed = "Failed"
	// ReasonRunning is given while the operation is carried out.
	ReasonRunning = "Running"
	// ReasonQueued is given while another operation upon the cluster, or the limit on operations, is in the way.
	ReasonQueued = "Queued"
	// ReasonWaitingForBundle is given while the bundle is not open in this process.
	ReasonWaitingForBundle = "WaitingForBundle"
	// ReasonPlanning is given while what has to be approved is found out.
	ReasonPlanning = "Planning"
	// ReasonAwaitingApproval is given while nobody has approved the plan.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonPlanChanged is given when what was approved is not what would be done, until the new plan is there.
	ReasonPlanChanged = "PlanChanged"
	// ReasonCancelled is given when the operation was stopped at a safe point on request.
	ReasonCancelled = "Cancelled"
	// ReasonSuperseded is given when the Cluster has changed since the operation was created for it.
	ReasonSuperseded = "Superseded"
	// ReasonClusterNotFound is given when the Cluster does not exist.
	ReasonClusterNotFound = "ClusterNotFound"
	// ReasonHostNotFound names Hosts that do not exist.
	ReasonHostNotFound = "HostNotFound"
	// ReasonHostNotClaimed names Hosts that the cluster does not hold.
	ReasonHostNotClaimed = "HostNotClaimed"
	// ReasonCredentialsMissing names Secrets of hosts that do not exist or are empty.
	ReasonCredentialsMissing = "CredentialsMissing"
	// ReasonResetNotAllowed is given to a Reset that its Cluster does not allow.
	ReasonResetNotAllowed = "ResetNotAllowed"
	// ReasonNotCredentials names Secrets of hosts that do not say that they are meant to be used as credentials.
	ReasonNotCredentials = "NotCredentials" //nolint:gosec // a reason
	// ReasonSecretNotAdopted names a Secret that stands where one of the cluster's belongs and is not this cluster's.
	ReasonSecretNotAdopted = "SecretNotAdopted"
	// ReasonAuthoritiesMissing names the cluster's CA Secrets that do not exist.
	ReasonAuthoritiesMissing = "AuthoritiesMissing"
	// ReasonBackupKeyBroken is given when the Secret that snapshots are encrypted for cannot be used.
	ReasonBackupKeyBroken = "BackupKeyBroken"
	// ReasonNoProgress is given when the operation came no further for so long that it was ended.
	ReasonNoProgress = "NoProgress"
	// ReasonCancelling is given while an operation that was cancelled or deleted goes on to a safe point.
	ReasonCancelling = "Cancelling"
)

// Reasons of a Host's Reachable condition.
const (
	// ReasonConnected is given when the last operation reached the host.
	ReasonConnected = "Connected"
	// ReasonHostKeyChanged is given when the host showed another key than the one known.
	ReasonHostKeyChanged = "HostKeyChanged"
	// ReasonHostKeyUnknown is given when no key is known and the policy is Strict.
	ReasonHostKeyUnknown = "HostKeyUnknown"
	// ReasonHostKeyNotRecorded is given when the key of a first use could not be written down.
	ReasonHostKeyNotRecorded = "HostKeyNotRecorded"
	// ReasonAuthenticationFailed is given when the host refused user or credentials.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonUnreachable is given when no connection came about.
	ReasonUnreachable = "Unreachable"
	// ReasonBastionFailed is given when the bastion is why no connection came about.
	ReasonBastionFailed = "BastionFailed"
	// ReasonConnectionLost is given when a connection broke and did not come back.
	ReasonConnectionLost = "ConnectionLost"
	// ReasonInvalidAccess is given when address, user or credentials cannot be used as they stand.
	ReasonInvalidAccess = "InvalidAccess"
	// ReasonSudoFailed begins the reason when root rights could not be gained: SudoWrongPassword and the like.
	ReasonSudoFailed = "Sudo"
	// ReasonSessionRefused is given when the host let us in and then started no program.
	ReasonSessionRefused = "SessionRefused"
	// ReasonCheckFailed is given when a host could not be used for another reason.
	ReasonCheckFailed = "CheckFailed"
)

// HostReason names why a host could not be used, for its Reachable condition. A cause that a person has to deal with wins over the
// error that wraps it. It is empty when err says nothing about the host: nil, or a cancelled operation.
func HostReason(err error) string {
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[*ssh.HostKeyChangedError](err); ok {
		return ReasonHostKeyChanged
	}
	if _, ok := errors.AsType[*ssh.UnknownHostKeyError](err); ok {
		return ReasonHostKeyUnknown
	}
	if _, ok := errors.AsType[*ssh.HostKeyRecordError](err); ok {
		return ReasonHostKeyNotRecorded
	}
	if _, ok := errors.AsType[*ssh.AuthError](err); ok {
		return ReasonAuthenticationFailed
	}
	if sudo, ok := errors.AsType[*ssh.SudoError](err); ok {
		return ReasonSudoFailed + string(sudo.Reason)
	}
	if _, ok := errors.AsType[*ssh.TargetError](err); ok {
		return ReasonInvalidAccess
	}
	if errors.Is(err, context.Canceled) {
		return ""
	}
	if far, ok := errors.AsType[*ssh.UnreachableError](err); ok {
		if far.Phase == ssh.PhaseBastion {
			return ReasonBastionFailed
		}
		return ReasonUnreachable
	}
	if _, ok := errors.AsType[*ssh.ConnectionLostError](err); ok {
		return ReasonConnectionLost
	}
	if _, ok := errors.AsType[*ssh.SessionError](err); ok {
		return ReasonSessionRefused
	}
	return ReasonCheckFailed
}

// Advice says what to do about a reason, where the error itself does not; empty otherwise.
func advice(reason string) string {
	if reason == ReasonHostKeyChanged {
		return "; when the machine was reinstalled and that is known, set status.hostKey to \"\" (kubectl edit host --subresource=status) or correct spec.hostKeys.keys, and retry"
	}
	return ""
}

// failureReason is the rule that a refused operation would have broken, and otherwise only that it failed.
func failureReason(err error) string {
	if refused, ok := errors.AsType[*plan.RefusedError](err); ok {
		return string(refused.Reason)
	}
	if _, ok := errors.AsType[*stuckError](err); ok {
		return ReasonNoProgress
	}
	return ReasonFailed
}

// failure is why an operation ended before it began, with the reason for its condition and the host it is about, if one.
type failure struct{ reason, host, message string }

func (f *failure) Error() string { return f.message }
