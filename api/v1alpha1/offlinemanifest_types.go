package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OfflineManifestSpec says where a bundle is and which digest it must have.
type OfflineManifestSpec struct {
	// Source is where the bundle file is: file:// and an absolute path, below a root that the manager allows.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.startsWith('file:///')",message="source is not a file:// URL with an absolute path: write for example file:///srv/bundles/kubernetes-1.36.bundle"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="source must not contain '..', which could leave the allowed directory: write the plain absolute path"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#')",message="source must not contain a query or fragment ('?', '#'): write the plain absolute path"
	// +kubebuilder:validation:XValidation:rule="!self.contains('::')",message="source must not contain '::', which would force another way of fetching: write the plain absolute path"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('file:///') || self.matches('^file://(/[A-Za-z0-9._+=,:~@-]+)+$')",message="the path in source may hold only letters, digits, '.', '_', '+', '=', ',', ':', '~', '@' and '-' between single slashes: rename the file or directory"
	Source string `json:"source"`

	// Digest of the bundle's root manifest, as printed by `kubewright bundle inspect`. It is the one thing trusted; everything else
	// follows from it. Cannot be changed.
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^sha256:[0-9a-f]{64}$')",message="digest is not sha256: followed by 64 hexadecimal digits in lower case: copy it from `kubewright bundle inspect`"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the digest of an OfflineManifest never changes, because clusters trust it: create another OfflineManifest and name it in the Cluster"
	Digest string `json:"digest"`
}

// OfflineRelease is one Kubernetes version inside a bundle.
type OfflineRelease struct {
	// KubernetesVersion such as v1.36.3.
	// +required
	KubernetesVersion string `json:"kubernetesVersion"`
	// Platforms such as linux/amd64.
	// +optional
	// +listType=set
	Platforms []string `json:"platforms,omitempty"`
	// Components and their versions.
	// +optional
	Components map[string]string `json:"components,omitempty"`
	// Images by full name.
	// +optional
	// +listType=set
	Images []string `json:"images,omitempty"`
}

// OfflineManifestStatus says what is inside a bundle and whether it can be used.
type OfflineManifestStatus struct {
	// ObservedGeneration of the spec these conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// SizeBytes of the bundle file.
	// +optional
	SizeBytes int64 `json:"sizeBytes,omitempty"`
	// VerifiedAt is when every byte was last checked against its digest.
	// +optional
	VerifiedAt *metav1.Time `json:"verifiedAt,omitempty"`
	// Releases inside.
	// +optional
	// +listType=map
	// +listMapKey=kubernetesVersion
	Releases []OfflineRelease `json:"releases,omitempty"`
	// Clusters that use the bundle, as namespace/name.
	// +optional
	// +listType=set
	Clusters []string `json:"clusters,omitempty"`
	// Conditions: Ready, Fetched, Verified, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

const (
	// FetchedCondition is True when the bundle file is in the store.
	FetchedCondition = "Fetched"
	// VerifiedCondition is True when every byte of the bundle matched its digest.
	VerifiedCondition = "Verified"
)

// OfflineManifest is the record of one sealed bundle.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=offlinemanifests,scope=Cluster,shortName=kwm,categories=kubewright
// +kubebuilder:printcolumn:name="Versions",type=string,JSONPath=`.status.releases[*].kubernetesVersion`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Size",type=integer,JSONPath=`.status.sizeBytes`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type OfflineManifest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which bundle.
	// +required
	Spec OfflineManifestSpec `json:"spec"`
	// Status says what is inside the bundle, and whether it can be used.
	// +optional
	Status OfflineManifestStatus `json:"status,omitempty"`
}

// OfflineManifestList is a list of OfflineManifests.
//
// +kubebuilder:object:root=true
type OfflineManifestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []OfflineManifest `json:"items"`
}

// GetConditions returns the conditions, as cluster-api's condition helpers want them.
func (m *OfflineManifest) GetConditions() []metav1.Condition { return m.Status.Conditions }

// SetConditions replaces the conditions.
func (m *OfflineManifest) SetConditions(c []metav1.Condition) { m.Status.Conditions = c }
