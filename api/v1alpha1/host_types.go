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
	// SSHCertificateKey holds a user certificate for the private key, if it has one: the line of a file *-cert.pub.
	SSHCertificateKey = "ssh-certificate"
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
// +kubebuilder:validation:XValidation:rule="!has(self.policy) || self.policy != 'Strict' || (has(self.keys) && size(self.keys) > 0)",message="policy Strict needs keys, or no connection could ever be accepted: list the machine's public host keys (/etc/ssh/ssh_host_*_key.pub), or use TrustOnFirstUse"
type HostKeys struct {
	// Policy is Strict (only the keys listed here) or TrustOnFirstUse (the first key is recorded in status and pinned).
	// +optional
	// +default="TrustOnFirstUse"
	Policy HostKeyPolicyMode `json:"policy,omitempty"`

	// Keys are the machine's public host keys in authorized_keys form, for example "ssh-ed25519 AAAA...": the content of
	// /etc/ssh/ssh_host_*_key.pub, one key per entry. An entry "@cert-authority ssh-ed25519 AAAA..." accepts every host certificate that this
	// key has signed for the machine; see principal. Required for Strict.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^(@cert-authority )?(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh[.]com|sk-ecdsa-sha2-nistp256@openssh[.]com) AAAA[A-Za-z0-9+/]+={0,2}( [ -~]*)?$')",message="an entry of keys is not a public key: write its type and its base64 text on one line, for example 'ssh-ed25519 AAAAC3...', as in /etc/ssh/ssh_host_ed25519_key.pub, with '@cert-authority ' in front for a key that signs certificates of hosts"
	Keys []string `json:"keys,omitempty"`

	// Principal is the name that the machine's host certificate must be for; address when left out. It matters only with an entry
	// @cert-authority in keys.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.:-]*$`
	Principal string `json:"principal,omitempty"`

	// PasswordOnFirstUse allows policy TrustOnFirstUse to send a password, for login or sudo, to a machine whose key nobody has listed or
	// recorded before. False when left out: whoever answers first at the address would be told the password.
	// +optional
	PasswordOnFirstUse bool `json:"passwordOnFirstUse,omitempty"`
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
// +kubebuilder:validation:XValidation:rule="self.sudo != 'None' || self.user == 'root'",message="sudo None gains no root rights for another user than root: set user to root, or sudo to Auto"
type HostSpec struct {
	// Address is the IP address or DNS name SSH connects to. Two Hosts of a namespace must not share address and port.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="isIP(self) || (self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$') && !self.matches('^[0-9.]+$'))",message="address is neither an IP address nor a DNS name in lower case: write for example 192.0.2.10 or node1.example.com; user and port have fields of their own"
	Address string `json:"address"`

	// InternalAddress is the IP address the node uses inside the cluster. When left out it is address; a Host whose address is a DNS name
	// needs it before a cluster can use the Host.
	// +optional
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || isIP(self)",message="internalAddress is not an IP address: write one that the other nodes can reach, for example 10.0.0.10"
	InternalAddress string `json:"internalAddress,omitempty"`

	// Port sshd listens on.
	// +optional
	// +default=22
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// User to log in as. A user other than root needs sudo.
	// +optional
	// +default="root"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z_][a-z0-9_.-]*[$]?$')",message="user is not a login name: write lower case letters, digits, '.', '_' and '-', starting with a letter or '_'"
	User string `json:"user,omitempty"`

	// CredentialsRef names the Secret with the keys ssh-privatekey, passphrase, password, sudo-password (those that apply). Its values are
	// never copied into status, events or logs.
	// +required
	CredentialsRef LocalReference `json:"credentialsRef"`

	// HostKeys says how the machine's identity is verified.
	// +optional
	// +default={}
	HostKeys HostKeys `json:"hostKeys,omitempty"`

	// BastionRef names the Host of the same namespace to jump through; only its way of being reached is used, it need not be in a cluster.
	// +optional
	BastionRef *LocalReference `json:"bastionRef,omitempty"`

	// Sudo says how root rights are gained: Auto (no sudo for root; otherwise sudo, with a password when the credentials hold one), None
	// (log in as root), NoPassword (sudo must not ask), Password (sudo asks and is answered).
	// +optional
	// +default="Auto"
	Sudo SudoMode `json:"sudo,omitempty"`

	// DataDirectories of this machine, over those of its pool, the control plane and the cluster.
	// +optional
	DataDirectories DataDirectories `json:"dataDirectories,omitzero"`

	// OnRemoval is Reset (the machine is drained and cleaned when the host leaves its cluster) or Orphan (the machine is gone for good: its
	// node and etcd member are removed and it is not contacted any more). A machine that was not cleaned is quarantined.
	// +optional
	// +default="Reset"
	OnRemoval RemovalPolicy `json:"onRemoval,omitempty"`
}

// RemovalPolicy says what happens to a machine when its host leaves a cluster.
// +kubebuilder:validation:Enum=Reset;Orphan
type RemovalPolicy string

const (
	// ResetOnRemoval removes from the machine what Kubewright put there.
	ResetOnRemoval RemovalPolicy = "Reset"
	// OrphanOnRemoval does not touch the machine: it is gone for good, or somebody else deals with it.
	OrphanOnRemoval RemovalPolicy = "Orphan"
)

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
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
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
	// Conditions: Ready, Reachable, Claimed, Quarantined, Reconciling, Stalled.
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
	// HostQuarantinedCondition is True for a host that left its cluster without being cleaned: no cluster takes it before it was reset, or
	// the annotation kubewright.io/end-quarantine says that the machine is clean.
	HostQuarantinedCondition = "Quarantined"
	// EndQuarantineAnnotation on a Host, with any value, says that its machine was cleaned or exchanged by hand.
	EndQuarantineAnnotation = "kubewright.io/end-quarantine"
)

// Host is one machine reached over SSH.
//
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name of a Host has at most 63 characters, because it becomes the node's name and stands in labels: choose a shorter name"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.bastionRef) || self.spec.bastionRef.name != self.metadata.name",message="bastionRef names the Host itself: name the Host to jump through, or remove it"
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=hosts,scope=Namespaced,shortName=kwh,categories=kubewright
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.status.claim.clusterName`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.status.claim.role`
// +kubebuilder:printcolumn:name="Reachable",type=string,JSONPath=`.status.conditions[?(@.type=="Reachable")].status`
// +kubebuilder:printcolumn:name="Quarantined",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Quarantined")].status`
// +kubebuilder:printcolumn:name="Operation",type=string,JSONPath=`.status.step.operation`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step.step`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.step.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Host struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says how the machine is reached.
	// +required
	Spec HostSpec `json:"spec"`
	// Status is what is known of the machine.
	// +optional
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
