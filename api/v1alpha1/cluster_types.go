package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// EndpointType says how nodes and people reach the API servers.
// +kubebuilder:validation:Enum=LocalProxy;External
type EndpointType string

const (
	// LocalProxyEndpoint runs a proxy on every node, so no load balancer is needed and the loss of one control plane cuts off nobody.
	LocalProxyEndpoint EndpointType = "LocalProxy"
	// ExternalEndpoint is an address that somebody else balances over the control planes.
	ExternalEndpoint EndpointType = "External"
)

// ControlPlaneEndpoint is the address of the API.
type ControlPlaneEndpoint struct {
	// Type is LocalProxy or External.
	// +optional
	// +default="LocalProxy"
	Type EndpointType `json:"type,omitempty"`
	// Host of an External endpoint: an IP address or DNS name.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`
	// Port of an External endpoint (default 6443), or the local port of the proxy (default 7443).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// NodeOverrides change what is rendered for nodes. Values given for a pool are laid over those given for the cluster, field by field.
type NodeOverrides struct {
	// Kubelet is laid over the rendered KubeletConfiguration (JSON merge patch).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Kubelet *runtime.RawExtension `json:"kubelet,omitempty"`
	// Containerd is laid over the rendered containerd configuration (its version 3 tables, as YAML or JSON).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Containerd *runtime.RawExtension `json:"containerd,omitempty"`
	// IgnorePreflightErrors names checks of kubeadm or Kubewright that are reported but do not stop the operation.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	IgnorePreflightErrors []string `json:"ignorePreflightErrors,omitempty"`
}

// ClusterOverrides change what is rendered for the whole cluster.
type ClusterOverrides struct {
	NodeOverrides `json:",inline"`
	// KubeProxy is laid over the rendered KubeProxyConfiguration (JSON merge patch).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	KubeProxy *runtime.RawExtension `json:"kubeProxy,omitempty"`
	// Kubeadm is laid over the rendered kubeadm ClusterConfiguration (JSON merge patch).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Kubeadm *runtime.RawExtension `json:"kubeadm,omitempty"`
}

// ControlPlane says which hosts run the control plane.
type ControlPlane struct {
	// Hosts names 1, 3 or 5 Hosts of the namespace.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Hosts []string `json:"hosts"`
	// Endpoint of the API.
	// +optional
	// +default={}
	Endpoint ControlPlaneEndpoint `json:"endpoint,omitempty"`
	// CertSANs are further names and addresses in the API server's certificate.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	CertSANs []string `json:"certSANs,omitempty"`
	// Schedulable removes the taint that keeps workloads off control planes.
	// +optional
	Schedulable bool `json:"schedulable,omitempty"`
	// Overrides for control-plane hosts.
	// +optional
	Overrides NodeOverrides `json:"overrides,omitempty"`
}

// WorkerPool is a set of workers that are alike.
type WorkerPool struct {
	// Name of the pool.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// Hosts names Hosts of the namespace.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Hosts []string `json:"hosts,omitempty"`
	// Labels put on the nodes.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Taints put on the nodes when they register.
	// +optional
	// +listType=atomic
	Taints []corev1.Taint `json:"taints,omitempty"`
	// Overrides for the hosts of this pool.
	// +optional
	Overrides NodeOverrides `json:"overrides,omitempty"`
}

// Network says which addresses the cluster uses inside.
type Network struct {
	// PodCIDR is the range of pod addresses.
	// +optional
	// +default="10.244.0.0/16"
	PodCIDR string `json:"podCIDR,omitempty"`
	// ServiceCIDR is the range of Service addresses.
	// +optional
	// +default="10.96.0.0/16"
	ServiceCIDR string `json:"serviceCIDR,omitempty"`
	// DNSDomain of the cluster.
	// +optional
	// +default="cluster.local"
	// +kubebuilder:validation:MaxLength=253
	DNSDomain string `json:"dnsDomain,omitempty"`
	// CNI installs the pod network.
	// +optional
	// +default={}
	CNI CNI `json:"cni,omitempty"`
}

// CNIType is a pod network Kubewright can install.
// +kubebuilder:validation:Enum=Flannel;None
type CNIType string

const (
	// FlannelCNI installs flannel from the bundle.
	FlannelCNI CNIType = "Flannel"
	// NoCNI leaves the pod network to the user; nodes are not expected to become Ready.
	NoCNI CNIType = "None"
)

// CNI chooses the pod network.
type CNI struct {
	// Type is Flannel or None.
	// +optional
	// +default="Flannel"
	Type CNIType `json:"type,omitempty"`
	// FlannelBackend is vxlan or host-gw (all hosts in one layer 2 network).
	// +optional
	// +default="vxlan"
	// +kubebuilder:validation:Enum=vxlan;host-gw
	FlannelBackend string `json:"flannelBackend,omitempty"`
}

// Addons beyond the pod network and DNS.
type Addons struct {
	// MetricsServer makes `kubectl top` and autoscaling work.
	// +optional
	// +default=true
	MetricsServer *bool `json:"metricsServer,omitempty"`
}

// DeletionPolicy says what happens to hosts when a Cluster object is deleted.
// +kubebuilder:validation:Enum=Orphan;Reset
type DeletionPolicy string

const (
	// OrphanOnDelete leaves the running cluster alone and only forgets it.
	OrphanOnDelete DeletionPolicy = "Orphan"
	// ResetOnDelete removes Kubernetes from the hosts before the object goes.
	ResetOnDelete DeletionPolicy = "Reset"
)

// ClusterSpec is the desired state of one Kubernetes cluster.
type ClusterSpec struct {
	// Version of Kubernetes, for example v1.36.3. The bundle must hold it.
	// +required
	Version string `json:"version"`

	// OfflineManifestRef names the OfflineManifest whose bundle everything is taken from.
	// +required
	OfflineManifestRef LocalReference `json:"offlineManifestRef"`

	// ControlPlane hosts and endpoint.
	// +required
	ControlPlane ControlPlane `json:"controlPlane"`

	// Workers in pools.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Workers []WorkerPool `json:"workers,omitempty"`

	// Network inside the cluster.
	// +optional
	// +default={}
	Network Network `json:"network,omitempty"`

	// Addons to install.
	// +optional
	// +default={}
	Addons Addons `json:"addons,omitempty"`

	// Overrides for what unusual hosts need, for every node.
	// +optional
	Overrides ClusterOverrides `json:"overrides,omitempty"`

	// DeletionPolicy is Orphan (leave the hosts as they are) or Reset.
	// +optional
	// +default="Orphan"
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Paused stops Kubewright from starting operations for this cluster.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// NodeCounts sums up the nodes of a cluster.
type NodeCounts struct {
	// Desired by the spec.
	// +optional
	Desired int32 `json:"desired"`
	// Joined to the cluster.
	// +optional
	Joined int32 `json:"joined"`
	// Ready at the wanted version.
	// +optional
	Ready int32 `json:"ready"`
}

// ClusterStatus is what was observed of a cluster. All of it can be rebuilt from the hosts and the cluster.
type ClusterStatus struct {
	// ObservedGeneration of the spec these conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// InstalledGeneration is the generation the last successful operation brought about.
	// +optional
	InstalledGeneration int64 `json:"installedGeneration,omitempty"`
	// Initialized is true from the moment the first control plane exists. It is never set back: such a cluster is not initialised again.
	// +optional
	Initialized bool `json:"initialized,omitempty"`
	// Version the API servers answer with.
	// +optional
	Version string `json:"version,omitempty"`
	// Endpoint people use, as https://host:port.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// CACertificateHash is sha256:<hex> of the cluster CA's public key info, as kubeadm prints it.
	// +optional
	CACertificateHash string `json:"caCertificateHash,omitempty"`
	// Nodes counted.
	// +optional
	Nodes NodeCounts `json:"nodes,omitempty"`
	// EtcdMembers counted that are voting.
	// +optional
	EtcdMembers int32 `json:"etcdMembers,omitempty"`
	// LastOperation names the newest ClusterOperation.
	// +optional
	LastOperation string `json:"lastOperation,omitempty"`
	// Conditions: Ready, Available, HostsClaimed, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

const (
	// AvailableCondition is True while the API answers through the endpoint.
	AvailableCondition = "Available"
	// HostsClaimedCondition is True when every host of the spec is claimed by this cluster.
	HostsClaimedCondition = "HostsClaimed"

	// ClusterFinalizer keeps a Cluster until its claims are released and, if its policy says so, its hosts are reset.
	ClusterFinalizer = "kubewright.io/cluster"
	// ClusterNameLabel is on everything that belongs to a cluster.
	ClusterNameLabel = "kubewright.io/cluster"
	// RetryAnnotation asks for a new operation after one failed; any new value does.
	RetryAnnotation = "kubewright.io/retry"
)

// Cluster is the desired state of one Kubernetes cluster and what was observed of it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=clusters,scope=Namespaced,shortName=kwc,categories=kubewright
// +kubebuilder:printcolumn:name="Desired",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.ready`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpoint`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ClusterSpec   `json:"spec"`
	Status ClusterStatus `json:"status,omitempty"`
}

// ClusterList is a list of Clusters.
//
// +kubebuilder:object:root=true
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}

// GetConditions returns the conditions, as cluster-api's condition helpers want them.
func (c *Cluster) GetConditions() []metav1.Condition { return c.Status.Conditions }

// SetConditions replaces the conditions.
func (c *Cluster) SetConditions(cs []metav1.Condition) { c.Status.Conditions = cs }
