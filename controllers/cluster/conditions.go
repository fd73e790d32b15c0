package cluster

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
)

// Reasons of a Cluster's conditions, besides those of the bundle's checks.
const (
	// ReasonInstalled is given when the spec was brought about and observed.
	ReasonInstalled = "Installed"
	// ReasonPaused is given while spec.paused or the annotation cluster.x-k8s.io/paused holds operations back.
	ReasonPaused = "Paused"
	// ReasonOperationRunning is given while an operation works on the cluster.
	ReasonOperationRunning = "OperationRunning"
	// ReasonAwaitingApproval is given while an operation shows its plan and waits until somebody approves it.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonOperationFailed is given after an operation failed, until spec or retry annotation change.
	ReasonOperationFailed = "OperationFailed"
	// ReasonOperationCancelled is given after an operation was cancelled, until spec or retry annotation change.
	ReasonOperationCancelled = "OperationCancelled"
	// ReasonHostNotFound names Hosts of the spec that do not exist.
	ReasonHostNotFound = "HostNotFound"
	// ReasonHostDeleting names Hosts of the spec that are being deleted.
	ReasonHostDeleting = "HostDeleting"
	// ReasonHostListedTwice names a Host that the spec gives two roles.
	ReasonHostListedTwice = "HostListedTwice"
	// ReasonHostClaimedElsewhere names a Host that belongs to another Cluster.
	ReasonHostClaimedElsewhere = "HostClaimedElsewhere"
	// ReasonDuplicateAddress names two Hosts that are reached at one address.
	ReasonDuplicateAddress = "DuplicateAddress"
	// ReasonClaimed is given when all hosts of the spec are claimed.
	ReasonClaimed = "Claimed"
	// ReasonRoleChangeUnsupported is given when a host would have to change between control plane and worker.
	ReasonRoleChangeUnsupported = "RoleChangeUnsupported"
	// ReasonHostQuarantined names a Host that left a Cluster without being cleaned.
	ReasonHostQuarantined = "HostQuarantined"
	// ReasonManifestNotFound is given when the OfflineManifest does not exist.
	ReasonManifestNotFound = "OfflineManifestNotFound"
	// ReasonBundleNotReady is given while the OfflineManifest is not Ready.
	ReasonBundleNotReady = "BundleNotReady"
	// ReasonVersionNotInBundle is given when the bundle has no release of spec.version.
	ReasonVersionNotInBundle = "VersionNotInBundle"
	// ReasonAuthoritiesMissing is given when the CA Secrets of a cluster that may exist are gone.
	ReasonAuthoritiesMissing = "AuthoritiesMissing"
	// ReasonAuthoritiesBroken is given when a CA Secret cannot be read as one.
	ReasonAuthoritiesBroken = "AuthoritiesBroken"
	// ReasonSecretNotAdopted is given when a Secret stands where one of the cluster's belongs and is not this cluster's.
	ReasonSecretNotAdopted = "SecretNotAdopted"
	// ReasonBackupKeyBroken is given when the Secret that snapshots of etcd are encrypted for cannot be used.
	ReasonBackupKeyBroken = "BackupKeyBroken"
	// ReasonDeleting is given while a deleted Cluster is tidied up.
	ReasonDeleting = "Deleting"
	// ReasonResetFailed is given when the hosts of a deleted Cluster could not be reset.
	ReasonResetFailed = "ResetFailed"
	// ReasonNotInitialized is given while there is no control plane yet.
	ReasonNotInitialized = "NotInitialized"
	// ReasonAnswered is given when the API answered at the end of the last operation.
	ReasonAnswered = "AnsweredLastOperation"
	// ReasonNotAnswered is given when the last operation ended without an answer of the API.
	ReasonNotAnswered = "NoAnswerInLastOperation"
	// ReasonAPIReachable is given while the API answers.
	ReasonAPIReachable = "APIReachable"
	// ReasonAPIUnreachable is given when the API failed to answer, or to answer well, twice in a row.
	ReasonAPIUnreachable = "APIUnreachable"
	// ReasonEtcdOutOfSpace is given while the API can only be read, because etcd has used up its quota.
	ReasonEtcdOutOfSpace = "EtcdOutOfSpace"
	// ReasonCredentialsUnusable is given when the kubeconfig Secret cannot be used to ask the API.
	ReasonCredentialsUnusable = "CredentialsUnusable"
	// ReasonNodesNotReady is given when nodes are missing, not ready, or at another version.
	ReasonNodesNotReady = "NodesNotReady"
	// ReasonDriftIgnored is given when spec.drift says that nobody looks for differences.
	ReasonDriftIgnored = "DriftIgnored"
	// ReasonObservedByOperation is given when the last operation ended with the spec brought about.
	ReasonObservedByOperation = "ObservedByOperation"
	// ReasonCompared is given when the hosts were compared with the spec since, and were as it says.
	ReasonCompared = "Compared"
	// ReasonDrifted is given when they were not; the message names the first differences.
	ReasonDrifted = "Drifted"
	// ReasonNotCompared is given when the hosts could not be compared with the spec.
	ReasonNotCompared = "NotCompared"
	// ReasonNotChecked is given to what no phase has judged yet.
	ReasonNotChecked = "NotChecked"
)

// maxNote is how long the note of an event may be, in bytes (events.k8s.io/v1, Event.note).
const maxNote = 1000

// putOthers sees that every condition is there from the first reconcile on. Those that a phase set, or that an earlier reconcile
// did, stay as they are.
func (s *scope) putOthers() {
	if capi.Condition(s.cluster, v1alpha1.HostsClaimedCondition) == nil {
		capi.SetCondition(s.cluster, v1alpha1.HostsClaimedCondition, metav1.ConditionUnknown, ReasonNotChecked, "")
	}
	if capi.Condition(s.cluster, v1alpha1.InSyncCondition) == nil {
		capi.SetCondition(s.cluster, v1alpha1.InSyncCondition, metav1.ConditionUnknown, ReasonNotChecked, "")
	}
	if capi.Condition(s.cluster, v1alpha1.AvailableCondition) == nil {
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionFalse, ReasonNotInitialized,
			"the cluster has no control plane yet")
	}
}
