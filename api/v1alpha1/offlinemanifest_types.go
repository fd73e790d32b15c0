package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OfflineManifestSpec says where a bundle is and which digest it must have.
// +kubebuilder:validation:XValidation:rule="!has(self.s3) || self.source.startsWith('s3://')",fieldPath=".s3",message="s3 is only for a source that begins with s3://: leave it out, or write s3://BUCKET/KEY"
// +kubebuilder:validation:XValidation:rule="!has(self.credentialsRef) || !self.source.startsWith('file://')",fieldPath=".credentialsRef",message="a file:// source needs no credentials: leave credentialsRef out"
// +kubebuilder:validation:XValidation:rule="!has(self.caBundleRef) || !self.source.startsWith('file://')",fieldPath=".caBundleRef",message="a file:// source needs no certificate authorities: leave caBundleRef out"
type OfflineManifestSpec struct {
	// Source is where the bundle file is. A file:// URL with an absolute path, below a root that the manager allows, is read in place.
	// https://, s3://BUCKET/KEY and oci://REGISTRY/REPOSITORY with a tag or digest are copied into the manager's store; http:// only where
	// the manager is told to accept it. User, password, query and fragment have no place in it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(file:///|https?://|s3://|oci://)')",message="source is none of a file:// URL with an absolute path, https://, s3:// or oci://: write for example file:///srv/bundles/kubernetes-1.36.bundle or https://mirror.example.com/kubernetes-1.36.bundle"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="source must not contain '..', which could leave the allowed directory: write the plain path"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#')",message="source must not contain a query or fragment ('?', '#'): write the plain path"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z0-9]+://[^/]*@')",message="source must not contain a user or password: put them into a Secret and name it in credentialsRef"
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?|oci)://[[][0-9A-Fa-f:.]+[]]') ? !self.substring(self.indexOf(']')).contains('::') : !self.contains('::')",message="source must not contain '::', which would force another way of fetching: write the plain path"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('file:///') || self.matches('^file://(/[A-Za-z0-9._+=,:~@-]+)+$')",message="the path in source may hold only letters, digits, '.', '_', '+', '=', ',', ':', '~', '@' and '-' between single slashes: rename the file or directory"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://') || self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?(/[A-Za-z0-9._+=,:~@-]+)+$')",message="a web source is a host, perhaps a port, and a path of letters, digits, '.', '_', '+', '=', ',', ':', '~', '@' and '-' between single slashes: write for example https://mirror.example.com/bundles/kubernetes-1.36.bundle"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('s3://') || self.matches('^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._+=,:~@-]+)+$')",message="an s3 source is s3://BUCKET/KEY, with a key of letters, digits, '.', '_', '+', '=', ',', ':', '~', '@' and '-' between single slashes: correct it, and name the server in s3.endpoint"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('oci://') || self.matches('^oci://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$')",message="an oci source is oci://REGISTRY/REPOSITORY:TAG, or with @sha256:DIGEST in place of the tag or behind it: correct it"
	Source string `json:"source"`

	// Digest of the bundle's root manifest, as printed by `kubewright bundle inspect`. It is the one thing trusted; everything else
	// follows from it. Cannot be changed.
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^sha256:[0-9a-f]{64}$')",message="digest is not sha256: followed by 64 hexadecimal digits in lower case: copy it from `kubewright bundle inspect`"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the digest of an OfflineManifest never changes, because clusters trust it: create another OfflineManifest and name it in the Cluster"
	Digest string `json:"digest"`

	// CredentialsRef names a Secret in the manager's own namespace: username and password, or token, for https and oci; accessKeyID,
	// secretAccessKey and perhaps sessionToken for s3. They are sent to the server that source names and to no other.
	// +optional
	CredentialsRef *LocalReference `json:"credentialsRef,omitempty"`

	// CABundleRef names a ConfigMap in the manager's own namespace with certificate authorities as PEM under ca.crt. They are trusted for
	// this source, besides those of the machine.
	// +optional
	CABundleRef *LocalReference `json:"caBundleRef,omitempty"`

	// S3 says which server an s3:// source is on.
	// +optional
	S3 *S3Server `json:"s3,omitempty"`

	// Signature says who must have signed the bundle, besides its having the digest. Signatures do not matter when left out.
	// +optional
	Signature *SignaturePolicy `json:"signature,omitempty"`
}

// SignatureDemand says what comes of a bundle without a good signature.
// +kubebuilder:validation:Enum=Require;Warn
type SignatureDemand string

const (
	// RequireSignature refuses the bundle.
	RequireSignature SignatureDemand = "Require"
	// WarnOfSignature uses it and says so, in the condition Signed and an event.
	WarnOfSignature SignatureDemand = "Warn"
)

// SignaturePolicy says which signatures are good enough.
type SignaturePolicy struct {
	// Policy is Require (a bundle without a good signature is not used) or Warn (it is used, and the condition Signed says what is wrong).
	// +optional
	// +default="Require"
	Policy SignatureDemand `json:"policy,omitempty"`
	// KeysRef names a ConfigMap or Secret in the manager's own namespace whose values are public keys as PEM, as `kubewright bundle keygen`
	// writes them. A signature by one of them is enough.
	// +required
	KeysRef KeysReference `json:"keysRef"`
	// MinCreated is the earliest time of creation that a signed bundle may have, so that nobody can put an older one in its place that was
	// rightly signed in its day. The time is that of the bundle, which the signature vouches for. Any time is good enough when left out.
	// +optional
	MinCreated *metav1.Time `json:"minCreated,omitempty"`
}

// KeysKind is a kind of object that holds public keys.
// +kubebuilder:validation:Enum=ConfigMap;Secret
type KeysKind string

const (
	// KeysInConfigMap is a ConfigMap: public keys are no secret.
	KeysInConfigMap KeysKind = "ConfigMap"
	// KeysInSecret is a Secret, for sites where fewer people may change those.
	KeysInSecret KeysKind = "Secret"
)

// KeysReference names an object with public keys.
type KeysReference struct {
	// Kind is ConfigMap or Secret.
	// +optional
	// +default="ConfigMap"
	Kind KeysKind `json:"kind,omitempty"`
	// The object, by name.
	LocalReference `json:",inline"`
}

// S3Server is a server that speaks Amazon's S3, addressed with the bucket in the path.
type S3Server struct {
	// Endpoint is the server's URL without a path, for example https://minio.example.com:9000. Amazon's for the region when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?$')",message="endpoint is not a server's URL without a path: write for example https://minio.example.com:9000"
	Endpoint string `json:"endpoint,omitempty"`
	// Region that requests are signed for.
	// +optional
	// +default="us-east-1"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9-]+$')",message="a region holds only lower case letters, digits and '-', for example us-east-1"
	Region string `json:"region,omitempty"`
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

// OfflineFetch is how far the copy of a bundle into the store has come. While it runs it is written every few seconds at most.
type OfflineFetch struct {
	// DoneBytes are in the store.
	// +optional
	DoneBytes int64 `json:"doneBytes"`
	// TotalBytes of the file, as its server says; absent while unknown.
	// +optional
	TotalBytes int64 `json:"totalBytes,omitempty"`
	// ResumedAtBytes is where the present attempt went on from what an earlier one had brought.
	// +optional
	ResumedAtBytes int64 `json:"resumedAtBytes,omitempty"`
	// FailedAttempts in a row.
	// +optional
	FailedAttempts int32 `json:"failedAttempts,omitempty"`
	// NextAttemptAt is when it is tried again.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	NextAttemptAt *metav1.Time `json:"nextAttemptAt,omitempty"`
	// CompletedAt is when the whole file was in the store.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`
}

// OfflineSignature says who signed a bundle. It is the signer's word, which the key vouches for.
type OfflineSignature struct {
	// KeyName is the key's name in the ConfigMap or Secret.
	// +required
	KeyName string `json:"keyName"`
	// KeyID is the sha256 of the key's public part.
	// +required
	KeyID string `json:"keyID"`
	// SignedAt is when, by the signer's clock.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	SignedAt metav1.Time `json:"signedAt"`
	// CreatedAt is when the bundle was created, which spec.signature.minCreated is compared with.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`
}

// FormerCluster is a Cluster that was moved from this OfflineManifest to another.
type FormerCluster struct {
	// Cluster as namespace/name.
	// +required
	Cluster string `json:"cluster"`
	// Successor is the OfflineManifest it was given.
	// +required
	Successor string `json:"successor"`
}

// OfflineGarbage is a plan to remove files from the store. It is carried out after RemoveAfter, if nothing needs them then either.
type OfflineGarbage struct {
	// Files by their name in the store.
	// +optional
	// +listType=set
	Files []string `json:"files,omitempty"`
	// Bytes they hold.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// RemoveAfter is when they go at the earliest.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	RemoveAfter metav1.Time `json:"removeAfter"`
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
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="this is no time: write for example 2026-01-31T12:00:00Z"
	VerifiedAt *metav1.Time `json:"verifiedAt,omitempty"`
	// Releases inside.
	// +optional
	// +listType=map
	// +listMapKey=kubernetesVersion
	Releases []OfflineRelease `json:"releases,omitempty"`
	// Fetch says how the copy into the store stands; absent for file:// sources, which are read in place.
	// +optional
	Fetch *OfflineFetch `json:"fetch,omitempty"`
	// Signature is the good signature that was found.
	// +optional
	Signature *OfflineSignature `json:"signature,omitempty"`
	// Base is the digest of the bundle that this one is a delta to. It has to be there too, by an OfflineManifest of its own.
	// +optional
	Base string `json:"base,omitempty"`
	// Clusters that use the bundle, as namespace/name.
	// +optional
	// +listType=set
	Clusters []string `json:"clusters,omitempty"`
	// FormerClusters named this OfflineManifest until they were given another, and may still need it: to finish what is under way, or
	// to compare with. An entry goes when the Cluster goes, or is given yet another one.
	// +optional
	// +listType=map
	// +listMapKey=cluster
	FormerClusters []FormerCluster `json:"formerClusters,omitempty"`
	// Garbage is what will be removed from the store next, because nothing needs it any more.
	// +optional
	Garbage *OfflineGarbage `json:"garbage,omitempty"`
	// Conditions: Ready, Fetched, Verified, Available, Signed (when spec.signature asks), Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

const (
	// FetchedCondition is True when the whole file is where it can be read: in the store, or at its file:// source.
	FetchedCondition = "Fetched"
	// SignedCondition is True when the bundle has a signature that is good enough for spec.signature.
	SignedCondition = "Signed"
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
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
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
