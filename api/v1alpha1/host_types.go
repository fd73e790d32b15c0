package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Keys of the Secret that a Host's credentialsRef names.
const (
	// SSHPrivateKeyKey holds a PEM or OpenSSH private key.
	SSHPrivateKeyKey = "ssh-privatekey"
	// SSHPassphraseKey holds the passphrase of the private key, if it has one.
	SSHPassphraseKey = "passphrase"
	// SSHPasswordKey holds the login password, used when the server offers password login.
	SSHPasswordKey = "password"
	// SudoPasswordKey holds the password for sudo; without it the login password is used.
	SudoPasswordKey = "sudo-password"
)

// HostKeyPolicyMode says what to do with the key a host presents.
// +kubebuilder:validation:Enum=Strict;TrustOnFirstUse
type HostKeyPolicyMode string

const (
	// HostKeyStrict accepts only keys listed in spec.hostKeys.keys.
	HostKeyStrict HostKeyPolicyMode = "Strict"
	// HostKeyTrustOnFirstUse records the first key in status.hostKey and accepts only that one afterwards.
	HostKeyTrustOnFirstUse HostKeyPolicyMode = "TrustOnFirstUse"
)

// HostKeys says how the identity of a machine is verified before any credential is sent to it.
type HostKeys struct {
	// Policy is Strict (only the keys listed here) or TrustOnFirstUse (the first key is recorded in status and pinned).
	// +optional
	// +default="TrustOnFirstUse"
	Policy HostKeyPolicyMode `json:"policy,omitempty"`

	// Keys are public keys in authorized_keys form, for example "ssh-ed25519 AAAA...".
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Keys []string `json:"keys,omitempty"`
}

// SudoMode says how root rights are gained on a host.
// +kubebuilder:validation:Enum=Auto;None;NoPassword;Password
type SudoMode string

const (
	// SudoAuto needs no sudo for root, and otherwise uses a password when the credentials hold one.
	SudoAuto SudoMode = "Auto"
	// SudoNone never uses sudo; the user must be root.
	SudoNone SudoMode = "None"
	// SudoNoPassword uses sudo and refuses to send a password.
	SudoNoPassword SudoMode = "NoPassword"
	// SudoPassword uses sudo and answers its prompt.
	SudoPassword SudoMode = "Password"
)

// HostSpec says how one machine is reached.
type HostSpec struct {
	// Address is the IP address or DNS name SSH connects to. Two Hosts of a namespace must not share address and port.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Address string `json:"address"`

	// InternalAddress is the IP address the node uses inside the cluster, when it differs from address.
	// +optional
	InternalAddress string `json:"internalAddress,omitempty"`

	// Port of sshd.
	// +optional
	// +default=22
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// User to log in as.
	// +optional
	// +default="root"
	// +kubebuilder:validation:MaxLength=64
	User string `json:"user,omitempty"`

	// CredentialsRef names the Secret with keys ssh-privatekey, passphrase, password, sudo-password (those that apply).
	// +required
	CredentialsRef LocalReference `json:"credentialsRef"`

	// HostKeys says how the machine's identity is verified.
	// +optional
	// +default={}
	HostKeys HostKeys `json:"hostKeys,omitempty"`

	// BastionRef names the Host to jump through; only its way of being reached is used.
	// +optional
	BastionRef *LocalReference `json:"bastionRef,omitempty"`

	// Sudo says how root rights are gained.
	// +optional
	// +default="Auto"
	Sudo SudoMode `json:"sudo,omitempty"`
}

// HostRole is the part a host plays in its cluster.
type HostRole string

const (
	// ControlPlaneRole runs etcd, the API server, controller manager and scheduler.
	ControlPlaneRole HostRole = "ControlPlane"
	// WorkerRole runs workloads only.
	WorkerRole HostRole = "Worker"
)

// HostFacts is what was last observed of a machine.
type HostFacts struct {
	// Hostname as the kernel has it.
	// +optional
	Hostname string `json:"hostname,omitempty"`
	// MachineID from /etc/machine-id.
	// +optional
	MachineID string `json:"machineID,omitempty"`
	// Platform such as linux/amd64.
	// +optional
	Platform string `json:"platform,omitempty"`
	// OS is the distribution's pretty name.
	// +optional
	OS string `json:"os,omitempty"`
	// Kernel release.
	// +optional
	Kernel string `json:"kernel,omitempty"`
	// CPUs online.
	// +optional
	CPUs int32 `json:"cpus,omitempty"`
	// MemoryBytes of RAM.
	// +optional
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// DiskFreeBytes below /var/lib.
	// +optional
	DiskFreeBytes int64 `json:"diskFreeBytes,omitempty"`
	// CgroupVersion is v1 or v2.
	// +optional
	CgroupVersion string `json:"cgroupVersion,omitempty"`
	// ObservedAt is when these facts were read.
	// +optional
	ObservedAt metav1.Time `json:"observedAt,omitempty"`
}

// HostClaim says which cluster a host belongs to. A host has at most one.
type HostClaim struct {
	// ClusterName in the host's namespace.
	// +required
	ClusterName string `json:"clusterName"`
	// ClusterUID guards against a cluster of the same name made anew.
	// +required
	ClusterUID string `json:"clusterUID"`
	// Role of the host in the cluster.
	// +required
	Role HostRole `json:"role"`
	// Pool of a worker.
	// +optional
	Pool string `json:"pool,omitempty"`
}

// HostStep is the step of an operation that a host is in.
type HostStep struct {
	// Operation is the ClusterOperation's name.
	// +required
	Operation string `json:"operation"`
	// Step ID, for example control-plane/init.
	// +required
	Step string `json:"step"`
	// State of the step on this host.
	// +required
	State StepState `json:"state"`
	// Message is a redacted line for people.
	// +optional
	Message string `json:"message,omitempty"`
}

// HostStatus is what is known of a machine.
type HostStatus struct {
	// ObservedGeneration of the spec these conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// HostKey is the key recorded on first use, in authorized_keys form. Delete it to accept a new one, after checking the machine.
	// +optional
	HostKey string `json:"hostKey,omitempty"`
	// Facts last observed.
	// +optional
	Facts *HostFacts `json:"facts,omitempty"`
	// Claim of the cluster this host belongs to.
	// +optional
	Claim *HostClaim `json:"claim,omitempty"`
	// Step the host is in while an operation runs, or the last one.
	// +optional
	Step *HostStep `json:"step,omitempty"`
	// Conditions: Ready, Reachable, Claimed, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

const (
	// HostReachableCondition is True when the last SSH connection succeeded; its reason names the failure otherwise.
	HostReachableCondition = "Reachable"
	// HostClaimedCondition is True while a cluster holds the host.
	HostClaimedCondition = "Claimed"
)

// Host is one machine reached over SSH.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=hosts,scope=Namespaced,shortName=kwh,categories=kubewright
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.status.claim.clusterName`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.status.claim.role`
// +kubebuilder:printcolumn:name="Reachable",type=string,JSONPath=`.status.conditions[?(@.type=="Reachable")].status`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step.step`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.step.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Host struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   HostSpec   `json:"spec"`
	Status HostStatus `json:"status,omitempty"`
}

// HostList is a list of Hosts.
//
// +kubebuilder:object:root=true
type HostList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Host `json:"items"`
}

// GetConditions returns the conditions, as cluster-api's condition helpers want them.
func (h *Host) GetConditions() []metav1.Condition { return h.Status.Conditions }

// SetConditions replaces the conditions.
func (h *Host) SetConditions(c []metav1.Condition) { h.Status.Conditions = c }
