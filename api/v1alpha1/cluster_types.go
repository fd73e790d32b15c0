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

// ControlPlaneEndpoint is the address of the API. It stands in every certificate and kubeconfig of the cluster and never changes.
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'External' || (has(self.host) && size(self.host) > 0)",message="an External endpoint needs host: write the address of the load balancer in front of the control planes, or use type LocalProxy"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'LocalProxy' || !has(self.host) || size(self.host) == 0",message="a LocalProxy endpoint has no host, because every node reaches the API through its own proxy: remove host, or use type External"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'LocalProxy' || !has(self.port) || !(self.port in [2379, 2380, 2381, 6443, 7379, 10248, 10249, 10250, 10256, 10257, 10259])",message="port is one that Kubernetes, etcd or Kubewright's proxy to etcd listens on at nodes: choose another one for the local proxy, or leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || !has(oldSelf.type) || self.type == oldSelf.type",message="the type of the endpoint never changes: put back the old value, or delete the Cluster and create it anew"
// +kubebuilder:validation:XValidation:rule="(has(self.host) && size(self.host) > 0 ? self.host : 'none') == (has(oldSelf.host) && size(oldSelf.host) > 0 ? oldSelf.host : 'none')",message="the host of the endpoint never changes: put back the old value, or delete the Cluster and create it anew"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || !has(oldSelf.type) || (has(self.port) ? self.port : self.type == 'External' ? 6443 : 7443) == (has(oldSelf.port) ? oldSelf.port : oldSelf.type == 'External' ? 6443 : 7443)",message="the port of the endpoint never changes: put back the old value, or delete the Cluster and create it anew"
type ControlPlaneEndpoint struct {
	// Type is LocalProxy (a proxy on every node; no load balancer is needed) or External (somebody else balances host:port over the
	// control planes). Cannot be changed.
	// +optional
	// +default="LocalProxy"
	Type EndpointType `json:"type,omitempty"`
	// Host of an External endpoint: an IP address or DNS name that all nodes and users can reach. Required for External, forbidden for
	// LocalProxy. Cannot be changed.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || isIP(self) || (self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$') && !self.matches('^[0-9.]+$'))",message="host is neither an IP address nor a DNS name in lower case: write for example 192.0.2.10 or api.example.com, without scheme and port"
	Host string `json:"host,omitempty"`
	// Port of an External endpoint (6443 when left out), or the port the proxy listens on at every node (7443 when left out). Cannot be
	// changed.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// NodeOverrides change what is rendered for nodes. Values given for a pool are laid over those given for the cluster, field by field.
type NodeOverrides struct {
	// Kubelet is laid over the rendered KubeletConfiguration (JSON merge patch). The kubelet refuses to start on a field it does not know.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Kubelet *runtime.RawExtension `json:"kubelet,omitempty"`
	// Containerd is laid over the rendered containerd configuration (JSON merge patch; the tables of configuration version 3, written
	// as YAML or JSON).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Containerd *runtime.RawExtension `json:"containerd,omitempty"`
	// Kubeadm is laid over what kubeadm is told of a node (JSON merge patch): nodeRegistration and timeouts of its InitConfiguration and
	// JoinConfiguration. kubeadm reads nodeRegistration when the host joins, so a later change has no effect on a node that has joined;
	// timeouts hold for upgrades too. Name, criSocket, taints and ignorePreflightErrors of nodeRegistration have fields of their own in this
	// API, or are fixed. In spec.overrides, which speak of the whole cluster, the fields of kubeadm's ClusterConfiguration may stand beside
	// these two.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Kubeadm *runtime.RawExtension `json:"kubeadm,omitempty"`
	// IgnorePreflightErrors names checks of Kubewright, or of kubeadm, that are reported but do not stop the operation, for example CPUs
	// (NumCPU for kubeadm). A name that is no check's is refused before any host is contacted.
	// What is ignored here may make the operation fail later and less clearly.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')",message="a check is named by letters, digits, '-', '_' and '.', for example NumCPU: copy the name from the operation's problems"
	IgnorePreflightErrors []string `json:"ignorePreflightErrors,omitempty"`
}

// ClusterOverrides change what is rendered for the whole cluster.
type ClusterOverrides struct {
	NodeOverrides `json:",inline"`
	// KubeProxy is laid over the rendered KubeProxyConfiguration (JSON merge patch). A pool cannot have its own: kube-proxy is one DaemonSet
	// with one ConfigMap for all nodes.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	KubeProxy *runtime.RawExtension `json:"kubeProxy,omitempty"`
}

// DataDirectories say where on a host the data that grows is kept, for example on a disk of its own. What a Host says wins over its pool or
// the control plane, and that over the cluster. A directory is made if it is not there, and must be empty; nothing else may use it. It
// appears at the well-known place as well, through a bind mount, so that programs which expect that place find it. Data does not move by
// itself: once a host was set up, another directory is refused until it has been taken out of the cluster and in again.
type DataDirectories struct {
	// Etcd holds the data of etcd's member on control planes: an absolute path. /var/lib/etcd when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self == '' || self == '/var/lib/etcd' || (self.matches('^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$') && !self.matches('^/(bin|boot|dev|etc|lib|lib32|lib64|libx32|proc|root|run|sbin|sys|tmp|usr)(/|$)') && !self.matches('^/(var|var/lib|home|opt|srv|mnt|media)$') && !self.matches('^/var/(run|tmp|log|lib/(etcd|containerd|kubelet|kubewright))(/|$)'))",message="etcd is no directory that can be given over to it: write an absolute path of letters, digits, '-', '_' and '.' on a disk of yours, for example /data/etcd, not a directory of the system and not one that Kubewright uses itself"
	Etcd string `json:"etcd,omitempty"`
	// Containerd holds images and the file systems of containers: an absolute path. /var/lib/containerd when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self == '' || self == '/var/lib/containerd' || (self.matches('^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$') && !self.matches('^/(bin|boot|dev|etc|lib|lib32|lib64|libx32|proc|root|run|sbin|sys|tmp|usr)(/|$)') && !self.matches('^/(var|var/lib|home|opt|srv|mnt|media)$') && !self.matches('^/var/(run|tmp|log|lib/(etcd|containerd|kubelet|kubewright))(/|$)'))",message="containerd is no directory that can be given over to it: write an absolute path of letters, digits, '-', '_' and '.' on a disk of yours, for example /data/containerd, not a directory of the system and not one that Kubewright uses itself"
	Containerd string `json:"containerd,omitempty"`
	// Kubelet holds the volumes of pods and what CSI plugins keep: an absolute path. /var/lib/kubelet when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self == '' || self == '/var/lib/kubelet' || (self.matches('^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$') && !self.matches('^/(bin|boot|dev|etc|lib|lib32|lib64|libx32|proc|root|run|sbin|sys|tmp|usr)(/|$)') && !self.matches('^/(var|var/lib|home|opt|srv|mnt|media)$') && !self.matches('^/var/(run|tmp|log|lib/(etcd|containerd|kubelet|kubewright))(/|$)'))",message="kubelet is no directory that can be given over to it: write an absolute path of letters, digits, '-', '_' and '.' on a disk of yours, for example /data/kubelet, not a directory of the system and not one that Kubewright uses itself"
	Kubelet string `json:"kubelet,omitempty"`
}

// ControlPlane says which hosts run the control plane.
type ControlPlane struct {
	// Hosts names 1, 3 or 5 Hosts of the namespace: etcd runs on them and needs an odd number to keep a majority when one is lost. Each
	// may stand only once in the whole cluster.
	// +required
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="a host name holds only lower case letters, digits, '-' and '.', and starts and ends with a letter or digit; write the name of a Host of this namespace"
	// +kubebuilder:validation:XValidation:rule="size(self) in [1, 3, 5]",message="a control plane has 1, 3 or 5 hosts, because etcd needs an odd number to keep its majority: add or remove hosts"
	Hosts []string `json:"hosts"`
	// Endpoint through which nodes and people reach the API. A LocalProxy when left out.
	// +optional
	// +default={}
	Endpoint ControlPlaneEndpoint `json:"endpoint,omitempty"`
	// KubeconfigServer is the URL of the API in the kubeconfig that people get, for example https://api.example.com:6443: a name or address
	// that leads to the API servers from where people are, when nodes use others. Its host is added to the API server's certificate. When
	// left out it is the endpoint's, or the first control plane's address where nodes use local proxies.
	// +optional
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.matches('^https://([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*|[[][0-9a-f:]+[]])(:[0-9]{1,5})?$')",message="kubeconfigServer is https:// with a DNS name or IP address and, if need be, a port: write for example https://api.example.com:6443"
	KubeconfigServer string `json:"kubeconfigServer,omitempty"`
	// CertSANs are further DNS names and IP addresses in the API server's certificate, beside the hosts' own and the endpoint's.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="isIP(self) || self.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="an entry of certSANs is an IP address or a DNS name in lower case, for example 192.0.2.10 or *.example.com"
	CertSANs []string `json:"certSANs,omitempty"`
	// Schedulable removes the taint that keeps workloads off control planes. False when left out.
	// +optional
	Schedulable bool `json:"schedulable,omitempty"`
	// DataDirectories of control-plane hosts, over those of the cluster.
	// +optional
	DataDirectories DataDirectories `json:"dataDirectories,omitzero"`
	// Overrides for control-plane hosts, laid over those of the cluster.
	// +optional
	Overrides NodeOverrides `json:"overrides,omitempty"`
}

// WorkerPool is a set of workers that are alike.
type WorkerPool struct {
	// Name of the pool, unique in the cluster: lower case letters, digits and '-'.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a pool's name holds only lower case letters, digits and '-', and starts and ends with a letter or digit"
	Name string `json:"name"`
	// Hosts names Hosts of the namespace. Each may stand only once in the whole cluster; an empty pool is allowed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Hosts []string `json:"hosts,omitempty"`
	// Labels put on the nodes of the pool.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="a label key is a name of at most 63 letters, digits, '-', '_' and '.', after an optional DNS prefix and '/': correct the key"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(self[k]) <= 63)",message="a label value has at most 63 letters, digits, '-', '_' and '.': shorten it"
	Labels map[string]string `json:"labels,omitempty"`
	// Taints put on the nodes of the pool when they register.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(t, t.effect in ['NoSchedule', 'PreferNoSchedule', 'NoExecute'])",message="the effect of a taint is NoSchedule, PreferNoSchedule or NoExecute: correct the effect"
	// +kubebuilder:validation:XValidation:rule="self.all(t, size(t.key) > 0 && size(t.key) <= 317 && (!has(t.value) || size(t.value) <= 63))",message="a taint has a key of at most 317 and a value of at most 63 letters, digits, '-', '_' and '.': shorten it"
	// +kubebuilder:validation:XValidation:rule="self.all(t, !has(t.timeAdded))",message="timeAdded of a taint is set by Kubernetes: remove it"
	Taints []corev1.Taint `json:"taints,omitempty"`
	// Version of kubelet on this pool while it shall lag behind the cluster's, for example to upgrade the pool later. It must be in the
	// bundle, not newer than the cluster's version, and at most three minor versions older (the Kubernetes version skew policy). The
	// cluster's version when left out.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.matches('^v[0-9]{1,4}[.][0-9]{1,4}[.][0-9]{1,4}$')",message="version of a pool is not a Kubernetes release: write v, major, minor and patch, for example v1.36.3, or leave it out"
	Version string `json:"version,omitempty"`
	// DataDirectories of the hosts of this pool, over those of the cluster.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.etcd) || size(self.etcd) == 0",message="etcd runs on control planes only: remove etcd from the dataDirectories of the pool, or move it to controlPlane.dataDirectories"
	DataDirectories DataDirectories `json:"dataDirectories,omitzero"`
	// Overrides for the hosts of this pool, laid over those of the cluster.
	// +optional
	Overrides NodeOverrides `json:"overrides,omitempty"`
}

// Network says which addresses the cluster uses inside. Nothing else that nodes must reach may lie in these ranges.
// +kubebuilder:validation:XValidation:rule="!has(self.podCIDR) || !has(self.serviceCIDR) || !isCIDR(self.podCIDR) || !isCIDR(self.serviceCIDR) || (!cidr(self.podCIDR).containsCIDR(self.serviceCIDR) && !cidr(self.serviceCIDR).containsCIDR(self.podCIDR))",message="podCIDR and serviceCIDR overlap, so a Service and a Pod could have the same address: choose ranges that lie apart, for example 10.244.0.0/16 and 10.96.0.0/16"
// +kubebuilder:validation:XValidation:rule="!has(self.podCIDR) || !has(self.serviceCIDR) || !isCIDR(self.podCIDR) || !isCIDR(self.serviceCIDR) || cidr(self.podCIDR).ip().family() == cidr(self.serviceCIDR).ip().family()",message="podCIDR and serviceCIDR are of different IP families: make both IPv4 or both IPv6"
type Network struct {
	// PodCIDR is the IPv4 range of pod addresses, which nothing that nodes must reach may have. Every node takes a /24 out of it, so its size
	// bounds the number of nodes: a /16 is enough for 256. Cannot be changed.
	// +optional
	// +default="10.244.0.0/16"
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="podCIDR is not an address range: write the first address and a prefix length, for example 10.244.0.0/16"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || (cidr(self).ip().family() == 4 ? cidr(self).prefixLength() >= 8 && cidr(self).prefixLength() <= 24 : cidr(self).prefixLength() >= 48 && cidr(self).prefixLength() <= 64)",message="podCIDR has the wrong size, because each node takes a /24 out of it: use a prefix length of 8 to 24"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).ip().family() == 4",message="podCIDR is an IPv6 range, which Kubewright cannot set up yet: use an IPv4 range, for example 10.244.0.0/16"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="podCIDR never changes: put back the old value, or delete the Cluster and create it anew"
	PodCIDR string `json:"podCIDR,omitempty"`
	// ServiceCIDR is the IPv4 range of Service addresses, which nothing that nodes must reach may have; its tenth address is the cluster's DNS. Cannot be changed.
	// +optional
	// +default="10.96.0.0/16"
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="serviceCIDR is not an address range: write the first address and a prefix length, for example 10.96.0.0/16"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || (cidr(self).ip().family() == 4 ? cidr(self).prefixLength() >= 12 && cidr(self).prefixLength() <= 28 : cidr(self).prefixLength() >= 108 && cidr(self).prefixLength() <= 124)",message="serviceCIDR has a size that kube-apiserver refuses or that leaves no room for DNS: use a prefix length of 12 to 28"
	// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self).ip().family() == 4",message="serviceCIDR is an IPv6 range, which Kubewright cannot set up yet: use an IPv4 range, for example 10.96.0.0/16"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="serviceCIDR never changes: put back the old value, or delete the Cluster and create it anew"
	ServiceCIDR string `json:"serviceCIDR,omitempty"`
	// DNSDomain is the suffix of the cluster's own DNS names: Services answer as <service>.<namespace>.svc.<dnsDomain>. Cannot be changed.
	// +optional
	// +default="cluster.local"
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="dnsDomain is not a DNS domain: write labels of lower case letters, digits and '-' with dots between, for example cluster.local"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="dnsDomain never changes: put back the old value, or delete the Cluster and create it anew"
	DNSDomain string `json:"dnsDomain,omitempty"`
	// DNS says where names outside the cluster are resolved. When left out, cluster DNS forwards to the name servers of the node it runs
	// on (of its /etc/resolv.conf, or those that its systemd-resolved asks), and to nobody when no host has one that pods can reach.
	// +optional
	DNS *ClusterDNS `json:"dns,omitempty"`
	// CNI chooses the pod network that is installed.
	// +optional
	// +default={}
	CNI CNI `json:"cni,omitempty"`
}

// ClusterDNS says where cluster DNS resolves names outside the cluster.
type ClusterDNS struct {
	// Upstreams are the IP addresses of up to 15 name servers that pods can reach, each with a port after ':' if that is not 53 (an IPv6
	// address with a port stands in brackets). Can be changed at any time.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=15
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isIP(self) || (self.matches('^[0-9.]+:[0-9]{1,5}$') && isIP(self.split(':')[0]) && int(self.split(':')[1]) >= 1 && int(self.split(':')[1]) <= 65535) || (self.matches('^[[][0-9a-f:.]+[]]:[0-9]{1,5}$') && isIP(self.substring(1).split(']')[0]) && int(self.split(']:')[1]) >= 1 && int(self.split(']:')[1]) <= 65535)",message="an upstream is the IP address of a name server, with a port if it is not 53: write for example 192.0.2.53 or 192.0.2.53:5353"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('^(127[.]|::1$|[[]::1[]]:|0[.]0[.]0[.]0|::$)')",message="an upstream is a loopback address, which inside a pod is the pod itself: name a server that pods can reach"
	Upstreams []string `json:"upstreams,omitempty"`
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
	// Type is Flannel or None. With None nodes stay NotReady until you install a pod network.
	// +optional
	// +default="Flannel"
	Type CNIType `json:"type,omitempty"`
	// FlannelBackend is vxlan (works everywhere; UDP port 8472 between nodes) or host-gw (faster, all hosts in one layer 2 network).
	// Without meaning when type is None.
	// +optional
	// +default="vxlan"
	// +kubebuilder:validation:Enum=vxlan;host-gw
	FlannelBackend string `json:"flannelBackend,omitempty"`
}

// Addons beyond the pod network and DNS.
type Addons struct {
	// MetricsServer installs metrics-server, which makes `kubectl top` and autoscaling work. True when left out.
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

// OperationPolicy says who lets an operation begin.
// +kubebuilder:validation:Enum=Automatic;Manual
type OperationPolicy string

const (
	// AutomaticOperations begin as soon as the spec asks for them.
	AutomaticOperations OperationPolicy = "Automatic"
	// ManualOperations stop with their whole plan in status until somebody approves it.
	ManualOperations OperationPolicy = "Manual"
)

// DrainTimeoutPolicy says what happens when the pods of a node could not all be evicted in time.
// +kubebuilder:validation:Enum=Abort;Force
type DrainTimeoutPolicy string

const (
	// AbortDrain makes the node schedulable again, leaves it as it was, and fails the step.
	AbortDrain DrainTimeoutPolicy = "Abort"
	// ForceDrain deletes the pods that are left, against their PodDisruptionBudgets.
	ForceDrain DrainTimeoutPolicy = "Force"
)

// Drain says how pods are moved away from a node before it is disturbed.
type Drain struct {
	// Disabled leaves pods where they are while kubelet and container runtime are exchanged below them. False when left out.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
	// Timeout for all pods of one node, from 1s to 24h. Evictions that a PodDisruptionBudget forbids are tried again until then. 5m when
	// left out or 0s.
	// +optional
	// +default="5m0s"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h)){1,4}$')",message="timeout is not a length of time: write numbers with units, for example 5m"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h)){1,4}$') || duration(self) == duration('0s') || (duration(self) >= duration('1s') && duration(self) <= duration('24h'))",message="timeout must lie between 1s and 24h: write for example 5m"
	Timeout Duration `json:"timeout,omitempty"`
	// OnTimeout is Abort (the node becomes schedulable again, stays as it was, and the operation fails there) or Force (the pods that
	// are left are deleted against their PodDisruptionBudgets).
	// +optional
	// +default="Abort"
	OnTimeout DrainTimeoutPolicy `json:"onTimeout,omitempty"`
}

// RolloutPolicy says how a change is carried over the nodes of a running cluster. Control planes always go one by one.
type RolloutPolicy struct {
	// MaxUnavailable is how many workers may be worked on at a time. 1 when left out.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxUnavailable int32 `json:"maxUnavailable,omitempty"`
	// FailureBudget is how many workers may fail before no further one is begun. 0 when left out: the first failure pauses the rollout.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	FailureBudget int32 `json:"failureBudget,omitempty"`
	// Drain of nodes before kubelet or the container runtime is exchanged.
	// +optional
	// +default={}
	Drain Drain `json:"drain,omitempty"`
	// StallTimeout is how long a host may receive nothing of the bundle before the transfer counts as failed and is tried again from where
	// it stopped. There is no limit on the whole: content may take as long as it goes on. 1m to 24h; 3m when left out.
	// +optional
	// +default="3m0s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Format=duration
	// +kubebuilder:validation:XValidation:rule="self >= duration('1m') && self <= duration('24h')",message="must be 1m to 24h"
	StallTimeout *metav1.Duration `json:"stallTimeout,omitempty"`
}

// DriftMode says what is done about hosts that are not any more as the last operation left them.
// +kubebuilder:validation:Enum=Ignore;Detect;Correct
type DriftMode string

const (
	// IgnoreDrift does not look.
	IgnoreDrift DriftMode = "Ignore"
	// DetectDrift looks and says so in the condition InSync.
	DetectDrift DriftMode = "Detect"
	// CorrectDrift brings back what the spec asks for, by an operation (which operationPolicy applies to).
	CorrectDrift DriftMode = "Correct"
)

// DriftPolicy says how often hosts and cluster are compared with the spec, and what follows.
type DriftPolicy struct {
	// Mode is Ignore, Detect (show differences in the condition InSync) or Correct (bring back what the spec asks for).
	// +optional
	// +default="Detect"
	Mode DriftMode `json:"mode,omitempty"`
	// Interval between two comparisons, from 1m to 8760h. 1h when left out or 0s.
	// +optional
	// +default="1h0m0s"
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h)){1,4}$')",message="interval is not a length of time: write numbers with units, for example 1h"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(ms|s|m|h)){1,4}$') || duration(self) == duration('0s') || (duration(self) >= duration('1m') && duration(self) <= duration('8760h'))",message="interval must lie between 1m and 8760h: write for example 1h"
	Interval Duration `json:"interval,omitempty"`
}

// ClusterSpec is the desired state of one Kubernetes cluster.
// +kubebuilder:validation:XValidation:rule="!has(self.workers) || self.workers.all(p, !has(p.hosts) || !p.hosts.exists(h, h in self.controlPlane.hosts))",message="a host stands both in controlPlane.hosts and in a worker pool: remove it from one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.workers) || size(self.workers.map(p, has(p.hosts), p.hosts).flatten().transformMapEntry(i, h, {h: true})) >= 0",message="a host stands in two worker pools: remove it from one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.workers) || !self.version.matches('^v[0-9]{1,4}[.][0-9]{1,4}[.][0-9]{1,4}$') || self.workers.all(p, !has(p.version) || !p.version.matches('^v[0-9]{1,4}[.][0-9]{1,4}[.][0-9]{1,4}$') || int(p.version.split('.')[0].substring(1)) * 100000000 + int(p.version.split('.')[1]) * 10000 + int(p.version.split('.')[2]) <= int(self.version.split('.')[0].substring(1)) * 100000000 + int(self.version.split('.')[1]) * 10000 + int(self.version.split('.')[2]))",fieldPath=".workers",message="the version of a pool is newer than spec.version, and a kubelet must not be newer than the API servers: lower the pool's version or leave it out",messageExpression="'the version of a pool is newer than spec.version ' + self.version + ', and a kubelet must not be newer than the API servers: lower the version of the pool or leave it out'"
type ClusterSpec struct {
	// Version of Kubernetes, for example v1.36.3. The bundle must hold it. Once the cluster exists, its minor version cannot be lowered.
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^v[0-9]{1,4}[.][0-9]{1,4}[.][0-9]{1,4}$')",message="version is not a Kubernetes release: write v, major, minor and patch, for example v1.36.3, as `kubewright bundle inspect` lists them"
	Version string `json:"version"`

	// OfflineManifestRef names the OfflineManifest whose bundle everything is taken from.
	// +required
	OfflineManifestRef LocalReference `json:"offlineManifestRef"`

	// ControlPlane says which hosts run the control plane, and how it is reached.
	// +required
	ControlPlane ControlPlane `json:"controlPlane"`

	// Workers in pools of hosts that are alike. A cluster without workers needs controlPlane.schedulable to run anything.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Workers []WorkerPool `json:"workers,omitempty"`

	// Network inside the cluster: address ranges, DNS domain and pod network.
	// +optional
	// +default={}
	Network Network `json:"network,omitempty"`

	// Addons to install.
	// +optional
	// +default={}
	Addons Addons `json:"addons,omitempty"`

	// DataDirectories of every host that does not have its own.
	// +optional
	DataDirectories DataDirectories `json:"dataDirectories,omitzero"`

	// Overrides for what unusual hosts need, for every node.
	// +optional
	Overrides ClusterOverrides `json:"overrides,omitempty"`

	// OperationPolicy is Automatic (a change of the spec is carried out at once) or Manual (the operation waits, with its whole plan in
	// status, until it is approved). Automatic when left out.
	// +optional
	// +default="Automatic"
	OperationPolicy OperationPolicy `json:"operationPolicy,omitempty"`

	// Rollout says how changes are carried over the nodes of a running cluster.
	// +optional
	// +default={}
	Rollout RolloutPolicy `json:"rollout,omitempty"`

	// Drift says what is done about hosts that somebody else changed.
	// +optional
	// +default={}
	Drift DriftPolicy `json:"drift,omitempty"`

	// DeletionPolicy says what becomes of the hosts when this object is deleted: Orphan leaves the running cluster as it is, Reset
	// removes Kubernetes and all its data from them first.
	// +optional
	// +default="Orphan"
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Paused stops Kubewright from starting operations for this cluster; a running one goes on. False when left out.
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

// UsedBundle is a bundle that hosts are given content of.
type UsedBundle struct {
	// OfflineManifest that brought it, by name.
	// +required
	OfflineManifest string `json:"offlineManifest"`
	// Digest of the bundle.
	// +required
	Digest string `json:"digest"`
}

// InstalledBundle says from what a cluster was brought to a version.
type InstalledBundle struct {
	UsedBundle `json:",inline"`
	// Version of Kubernetes it was brought to, such as v1.36.3.
	// +required
	Version string `json:"version"`
}

// ClusterStatus is what was observed of a cluster. All of it but what it ran from before can be rebuilt from the hosts and the cluster.
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
	// Bundles are what the cluster was installed from, the present one first and the one before it second. Their content stays in the
	// manager's store as long as they are named here.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2
	Bundles []InstalledBundle `json:"bundles,omitempty"`
	// Conditions: Ready, Available, HostsClaimed, InSync, Reconciling, Stalled.
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

	// InSyncCondition is False when hosts or cluster are not any more as the last operation left them.
	InSyncCondition = "InSync"

	// ClusterFinalizer keeps a Cluster until its claims are released and, if its policy says so, its hosts are reset.
	ClusterFinalizer = "kubewright.io/cluster"
	// ClusterNameLabel is on everything that belongs to a cluster.
	ClusterNameLabel = "kubewright.io/cluster"
	// RetryAnnotation asks for a new operation after one failed; any new value does.
	RetryAnnotation = "kubewright.io/retry"
	// CordonedByAnnotation on a node of a cluster names the operation that made it unschedulable. A node without it that is unschedulable
	// was cordoned by a person, and stays so.
	CordonedByAnnotation = "kubewright.io/cordoned-by"
)

// Cluster is the desired state of one Kubernetes cluster and what was observed of it.
//
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name of a Cluster has at most 40 lower case letters, digits and '-', because it is part of labels and of the names of operations: choose another name"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.status) && has(oldSelf.status.initialized) && oldSelf.status.initialized) || !self.spec.version.matches('^v[0-9]{1,4}[.][0-9]{1,4}[.]') || !oldSelf.spec.version.matches('^v[0-9]{1,4}[.][0-9]{1,4}[.]') || int(self.spec.version.split('.', 3)[0].substring(1)) * 10000 + int(self.spec.version.split('.', 3)[1]) >= int(oldSelf.spec.version.split('.', 3)[0].substring(1)) * 10000 + int(oldSelf.spec.version.split('.', 3)[1])",fieldPath=".spec.version",message="the minor version of an existing cluster cannot be lowered, because Kubernetes cannot read the data of a newer one: put back a version at least as new as before",messageExpression="'the minor version of an existing cluster cannot be lowered from ' + oldSelf.spec.version + ' to ' + self.spec.version + ', because Kubernetes cannot read the data of a newer one: put back ' + oldSelf.spec.version + ' or a newer version'"
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=clusters,scope=Namespaced,shortName=kwc,categories=kubewright
// +kubebuilder:printcolumn:name="Desired",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="InSync",type=string,JSONPath=`.status.conditions[?(@.type=="InSync")].status`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.ready`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.endpoint`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the desired state.
	// +required
	Spec ClusterSpec `json:"spec"`
	// Status is what was observed last.
	// +optional
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
