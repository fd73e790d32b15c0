package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OperationType is the kind of act.
// +kubebuilder:validation:Enum=Install;Upgrade;Scale;Configure;BackupEtcd;Reset;Check
type OperationType string

const (
	// InstallOperation brings up the cluster, and continues a half-finished one.
	InstallOperation OperationType = "Install"
	// UpgradeOperation brings a running cluster to another version of Kubernetes.
	UpgradeOperation OperationType = "Upgrade"
	// ScaleOperation takes hosts into a running cluster and out of it.
	ScaleOperation OperationType = "Scale"
	// ConfigureOperation brings changed configuration onto the nodes of a running cluster.
	ConfigureOperation OperationType = "Configure"
	// BackupEtcdOperation takes a verified, encrypted snapshot of etcd.
	BackupEtcdOperation OperationType = "BackupEtcd"
	// ResetOperation removes what the ledger on each host says we own.
	ResetOperation OperationType = "Reset"
	// CheckOperation compares hosts with the desired state and changes nothing.
	CheckOperation OperationType = "Check"
)

// BringsAbout says whether an operation of this type brings a cluster to what its spec asks for. All of these do the same work, what is
// missing; the type tells people what the largest difference was.
func (t OperationType) BringsAbout() bool {
	switch t {
	case InstallOperation, UpgradeOperation, ScaleOperation, ConfigureOperation:
		return true
	case BackupEtcdOperation, ResetOperation, CheckOperation:
	}
	return false
}

// OperationMode says whether an operation may change anything.
// +kubebuilder:validation:Enum=Apply;Plan
type OperationMode string

const (
	// ApplyMode does what has to be done.
	ApplyMode OperationMode = "Apply"
	// PlanMode prints what would be done and touches nothing.
	PlanMode OperationMode = "Plan"
)

// Approval says whether somebody has to approve the plan first.
// +kubebuilder:validation:Enum=NotRequired;Required
type Approval string

const (
	// ApprovalNotRequired begins at once.
	ApprovalNotRequired Approval = "NotRequired"
	// ApprovalRequired waits for the plan to be approved.
	ApprovalRequired Approval = "Required"
)

const (
	// ApproveAnnotation on a ClusterOperation approves the plan whose digest (status.planDigest) it holds.
	ApproveAnnotation = "kubewright.io/approve"
	// ApprovedByAnnotation is set together with it and names who approves. The chart's admission policy refuses any other name than the
	// one that the API server knows the approver by.
	ApprovedByAnnotation = "kubewright.io/approved-by"
	// AllowResetAnnotation on a Cluster allows the Reset whose name it holds. Without it only a deletion resets hosts.
	AllowResetAnnotation = "kubewright.io/allow-reset"
	// CancelAnnotation on a ClusterOperation, with any value, asks it to stop at the next safe point and stay as a record.
	CancelAnnotation = "kubewright.io/cancel"
	// HopAnnotation on an Upgrade that is part of a chain tells people which part it is, for example "1 of 2".
	HopAnnotation = "kubewright.io/hop"
)

// ClusterOperationSpec is one auditable act upon a cluster. It never changes once created.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the spec of a ClusterOperation never changes, because it is the record of one act: create another ClusterOperation"
type ClusterOperationSpec struct {
	// ClusterRef names the Cluster in the same namespace.
	// +required
	ClusterRef LocalReference `json:"clusterRef"`

	// Type of the act: Install brings the cluster up or goes on with a half-finished installation; Upgrade, Scale and Configure bring a
	// running cluster to what the spec asks for and are named after the largest difference; BackupEtcd takes a snapshot of etcd; Reset
	// removes from the hosts what Kubewright put there; Check compares and changes nothing.
	// +required
	Type OperationType `json:"type"`

	// Mode is Apply (do it) or Plan (write into status.plan what would be done, and touch nothing).
	// +optional
	// +default="Apply"
	Mode OperationMode `json:"mode,omitempty"`

	// Version of Kubernetes this operation brings the cluster to. It differs from the Cluster's where an upgrade goes over several minor
	// versions, one operation each. The Cluster's version when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.matches('^v[0-9]{1,4}[.][0-9]{1,4}[.][0-9]{1,4}$')",message="version is not a Kubernetes release: write v, major, minor and patch, for example v1.36.3, or leave it out"
	Version string `json:"version,omitempty"`

	// Approval is Required when the operation stops with its whole plan in status until somebody approves exactly that plan, with the
	// annotation kubewright.io/approve set to status.planDigest. NotRequired when left out.
	// +optional
	// +default="NotRequired"
	Approval Approval `json:"approval,omitempty"`

	// ClusterGeneration is the generation of the Cluster this operation brings about; 0 means the one found when it starts.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	ClusterGeneration int64 `json:"clusterGeneration,omitempty"`
}

// StepState is where a step stands, on one host or over all.
// +kubebuilder:validation:Enum=Pending;Running;Done;Changed;Failed;Blocked;Skipped
type StepState string

const (
	// StepPending has not begun.
	StepPending StepState = "Pending"
	// StepRunning is being checked or applied.
	StepRunning StepState = "Running"
	// StepDone was found as wanted; nothing was changed.
	StepDone StepState = "Done"
	// StepChanged was applied and then observed as wanted.
	StepChanged StepState = "Changed"
	// StepFailed will not be tried again in this attempt.
	StepFailed StepState = "Failed"
	// StepBlocked cannot run because something it needs failed.
	StepBlocked StepState = "Blocked"
	// StepSkipped was left out on request.
	StepSkipped StepState = "Skipped"
)

// OperationStep is the sum of one step over its hosts.
type OperationStep struct {
	// ID of the step, stable over releases, for example control-plane/init.
	// +required
	ID string `json:"id"`
	// State over all hosts.
	// +required
	State StepState `json:"state"`
	// Hosts this step runs on.
	// +optional
	Hosts int32 `json:"hosts,omitempty"`
	// Done counts hosts found as wanted.
	// +optional
	Done int32 `json:"done,omitempty"`
	// Changed counts hosts that were changed.
	// +optional
	Changed int32 `json:"changed,omitempty"`
	// Failed counts hosts on which the step failed or is blocked.
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// StartedAt is when the first host began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`
	// Duration from the first host's begin to the last host's end.
	// +optional
	Duration *Duration `json:"duration,omitempty"`
}

// HostProblem says why a host is not where it should be.
type HostProblem struct {
	// Host name.
	// +required
	Host string `json:"host"`
	// Step in which it happened.
	// +required
	Step string `json:"step"`
	// Reason is a CamelCase word.
	// +required
	Reason string `json:"reason"`
	// Message says what, where and what to do next; redacted.
	// +optional
	Message string `json:"message,omitempty"`
	// ExitCode of the command that failed, if one did.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// Output holds the last lines the command printed; redacted.
	// +optional
	Output string `json:"output,omitempty"`
	// Attempts made.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
}

// PlannedChange is one thing that would be done.
type PlannedChange struct {
	// Step ID.
	// +required
	Step string `json:"step"`
	// Host name.
	// +required
	Host string `json:"host"`
	// Why it has to be done, one line per difference.
	// +optional
	Why string `json:"why,omitempty"`
}

// OperationTraffic counts what an operation cost on the wire.
type OperationTraffic struct {
	// Connections opened, over all hosts.
	// +optional
	Connections int64 `json:"connections,omitempty"`
	// Requests sent to helpers, over all hosts.
	// +optional
	Requests int64 `json:"requests,omitempty"`
	// MaxRequestsPerHost is the largest number sent to one host.
	// +optional
	MaxRequestsPerHost int64 `json:"maxRequestsPerHost,omitempty"`
	// ContentBytes of the bundle that moved to hosts. A host that has content never gets it again, so that an operation run again shows 0.
	// +optional
	ContentBytes int64 `json:"contentBytes"`
	// ContentBytesOverSSH are those of ContentBytes that went through connections to the hosts' sshd, because nothing nearer could be reached.
	// +optional
	ContentBytesOverSSH int64 `json:"contentBytesOverSSH"`
}

// OperationPhase sums up an operation in one word.
// +kubebuilder:validation:Enum=Pending;AwaitingApproval;Running;Succeeded;Failed;Cancelled
type OperationPhase string

const (
	// OperationPending waits for its turn.
	OperationPending OperationPhase = "Pending"
	// OperationAwaitingApproval has its plan in status and waits until somebody approves it.
	OperationAwaitingApproval OperationPhase = "AwaitingApproval"
	// OperationRunning is being carried out.
	OperationRunning OperationPhase = "Running"
	// OperationSucceeded ended with the wanted state observed.
	OperationSucceeded OperationPhase = "Succeeded"
	// OperationFailed ended without it; the problems say why.
	OperationFailed OperationPhase = "Failed"
	// OperationCancelled was stopped at a safe point on request; another operation can go on from there.
	OperationCancelled OperationPhase = "Cancelled"
)

// Ended says whether an operation in this phase has come to its end.
func (p OperationPhase) Ended() bool {
	switch p {
	case OperationSucceeded, OperationFailed, OperationCancelled:
		return true
	case OperationPending, OperationAwaitingApproval, OperationRunning:
	}
	return false
}

// ClusterOperationStatus is how far an operation has come. Its size is bounded: counts per step, and only the hosts that are not OK.
type ClusterOperationStatus struct {
	// ObservedGeneration of the spec these conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Phase in one word.
	// +optional
	Phase OperationPhase `json:"phase,omitempty"`
	// Attempt counts the executions; a restart of the executor begins a new one.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// StartedAt is when the first attempt began that was allowed to change something.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// CompletedAt is when the operation ended.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`
	// Bundle that the present or last attempt takes its content from.
	// +optional
	Bundle *UsedBundle `json:"bundle,omitempty"`
	// Steps in the order they appear in the plan.
	// +optional
	// +listType=map
	// +listMapKey=id
	Steps []OperationStep `json:"steps,omitempty"`
	// Problems of hosts that are not OK, at most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Problems []HostProblem `json:"problems,omitempty"`
	// ProblemsLeftOut counts problems beyond the bound.
	// +optional
	ProblemsLeftOut int32 `json:"problemsLeftOut,omitempty"`
	// Plan in mode Plan, or of an operation that needs approval: what would be done, at most 500 entries.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Plan []PlannedChange `json:"plan,omitempty"`
	// PlanLeftOut counts planned changes beyond the bound.
	// +optional
	PlanLeftOut int32 `json:"planLeftOut,omitempty"`
	// PlanDigest is sha256:<hex> over the whole plan; it is what an approval names.
	// +optional
	PlanDigest string `json:"planDigest,omitempty"`
	// ApprovedBy is who approved the plan that is carried out, as the annotation kubewright.io/approved-by says.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ApprovedBy string `json:"approvedBy,omitempty"`
	// Traffic counts connections, requests and bytes.
	// +optional
	Traffic *OperationTraffic `json:"traffic,omitempty"`
	// Conditions: Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClusterOperation is one act upon a cluster, and the record of it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=clusteroperations,scope=Namespaced,shortName=kwop,categories=kubewright
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterRef.name`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Attempt",type=integer,JSONPath=`.status.attempt`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterOperation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which act upon which cluster.
	// +required
	Spec ClusterOperationSpec `json:"spec"`
	// Status is how far the act has come.
	// +optional
	Status ClusterOperationStatus `json:"status,omitempty"`
}

// ClusterOperationList is a list of ClusterOperations.
//
// +kubebuilder:object:root=true
type ClusterOperationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterOperation `json:"items"`
}

// GetConditions returns the conditions, as cluster-api's condition helpers want them.
func (o *ClusterOperation) GetConditions() []metav1.Condition { return o.Status.Conditions }

// SetConditions replaces the conditions.
func (o *ClusterOperation) SetConditions(c []metav1.Condition) { o.Status.Conditions = c }
