package v1alpha1

// Conditions follow kstatus: a kind is at rest when Ready is True, Reconciling and Stalled are absent or False.
const (
	// ReadyCondition is True when the object's desired state has been observed.
	ReadyCondition = "Ready"
	// ReconcilingCondition is True while a controller or an operation works on the object.
	ReconcilingCondition = "Reconciling"
	// StalledCondition is True when no progress is possible until a person changes something.
	StalledCondition = "Stalled"
)

const (
	// CredentialsMark is the type, or a label with any value, of Secrets that may be told to hosts and to servers of bundles. No others are.
	CredentialsMark = "kubewright.io/credentials" //nolint:gosec // the name of a label
	// AdoptAnnotation on a Secret named as one of a Cluster's (<cluster>-ca, -etcd, -proxy, -sa, -kubeconfig, -backup) gives it to the
	// Cluster of the name it holds. Otherwise such a Secret counts only when that very Cluster made it.
	AdoptAnnotation = "kubewright.io/adopt"
)

// LocalReference names an object in the same namespace.
type LocalReference struct {
	// Name of the object: lower case letters, digits, '-' and '.'.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="a name holds only lower case letters, digits, '-' and '.', and starts and ends with a letter or digit; write the name of an existing object"
	Name string `json:"name"`
}
