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

// LocalReference names an object in the same namespace.
type LocalReference struct {
	// Name of the object: lower case letters, digits, '-' and '.'.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="a name holds only lower case letters, digits, '-' and '.', and starts and ends with a letter or digit; write the name of an existing object"
	Name string `json:"name"`
}
