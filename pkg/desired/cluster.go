// Package desired holds the resolved desired state of one cluster: what a Cluster's spec means once pools, overrides and the
// bundle's release are laid together. It is pure: no I/O, no clock, and nothing of how the state is brought about.
package desired

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/pki"
)

// APIServerPort is where every API server listens, kubeadm's default.
const APIServerPort = 6443

// EtcdPort is where every member of etcd answers clients, kubeadm's default.
const EtcdPort = 2379

// EtcdProxyPort is where the local proxy of a control plane leads its API server to the members of etcd on the others.
const EtcdProxyPort = 7379

// ProxyPort is where the local proxy listens unless the spec says otherwise.
const ProxyPort = 7443

// Cluster is the desired state of one cluster.
type Cluster struct {
	Name, UID string
	// Version of Kubernetes with its leading v.
	Version string
	Release *bundle.Release
	// Hosts lists control planes in the order of the spec, then workers by pool.
	Hosts []Host
	// Endpoint is what nodes use to reach the API.
	Endpoint Endpoint
	CertSANs []string
	// KubeconfigServer is the URL in people's kubeconfig where the spec names one; else see PublicEndpoint.
	KubeconfigServer string
	Network          v1alpha1.Network
	// MetricsServer is true when the addon is wanted.
	MetricsServer bool
	// KubeProxy and Kubeadm are overrides for the whole cluster. What Kubeadm says of nodes stands in Host.Kubeadm, too.
	KubeProxy, Kubeadm *runtime.RawExtension
	// Kubelet is the override every node shares.
	Kubelet     *runtime.RawExtension
	Authorities *pki.Authorities
	// Initialized is true when the cluster is known to exist already.
	Initialized bool
	// Rollout says how a change is carried over running nodes.
	Rollout v1alpha1.RolloutPolicy
}

// Endpoint is host and port of the API as nodes see it.
type Endpoint struct {
	Type v1alpha1.EndpointType
	Host string
	Port int
}

// String is host:port.
func (e Endpoint) String() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// Host is one machine and its part in the cluster.
type Host struct {
	// Name of the Host object, which is also the node's name.
	Name string
	// Address is the node's IP address inside the cluster.
	Address string
	Role    v1alpha1.HostRole
	Pool    string
	Labels  map[string]string
	Taints  []corev1.Taint
	// PoolKubelet is the override of the pool alone, laid over the cluster's.
	PoolKubelet *runtime.RawExtension
	// Containerd overrides in the order they are laid over the rendered configuration.
	Containerd []*runtime.RawExtension
	// Kubeadm overrides in the order they are laid over what kubeadm is told of this node. The first may hold more than that; see
	// NodeFields.
	Kubeadm []*runtime.RawExtension
	// DataDirectories lists the data that is not kept at its well-known place.
	DataDirectories []DataDirectory
	// IgnorePreflightErrors of cluster and pool together.
	IgnorePreflightErrors []string
	// ResolvConf is the file this host's kubelet has to read name servers from, "" for none; nil when it is the one kubeadm tells it. The
	// planner reads it from the host's facts.
	ResolvConf *string
	// KubeletVersion of this host with its leading v: the cluster's, or an older one while its pool lags behind.
	KubeletVersion string
	// Kubelet is the release that kubelet is taken from; nil when the bundle does not hold KubeletVersion, so that a kubelet of this
	// version can only stay where it is.
	Kubelet *bundle.Release
}

// Releases finds what a bundle holds for a version of Kubernetes.
type Releases interface {
	// Release returns a release, or the bundle's typed error that lists the versions there are.
	Release(version string) (*bundle.Release, error)
}

// IsControlPlane tells whether the host runs the control plane.
func (h Host) IsControlPlane() bool { return h.Role == v1alpha1.ControlPlaneRole }

// SpecError says which field of which object cannot be used.
type SpecError struct {
	Field, Problem string
}

// Error names the field and the problem.
func (e *SpecError) Error() string { return e.Field + ": " + e.Problem }

// New resolves a spec at its version. Hosts must hold every host the spec names. It returns a *SpecError for what the schema cannot
// check, and the bundle's typed error when the release is not there.
func New(cluster *v1alpha1.Cluster, hosts map[string]v1alpha1.Host, releases Releases, authorities *pki.Authorities) (*Cluster, error) {
	spec := cluster.Spec
	release, err := releases.Release(spec.Version)
	if err != nil {
		return nil, fmt.Errorf("spec.version: %w", err)
	}
	if err := checkKubeadm(spec); err != nil {
		return nil, err
	}
	if err := checkRanges(spec.Network); err != nil {
		return nil, err
	}
	if err := checkIgnored(spec); err != nil {
		return nil, err
	}
	if err := checkOverrides(spec); err != nil {
		return nil, err
	}
	c := &Cluster{
		Name:             cluster.Name,
		UID:              string(cluster.UID),
		Version:          spec.Version,
		Release:          release,
		CertSANs:         certSANs(spec.ControlPlane),
		KubeconfigServer: spec.ControlPlane.KubeconfigServer,
		Network:          spec.Network,
		MetricsServer:    spec.Addons.MetricsServer == nil || *spec.Addons.MetricsServer,
		KubeProxy:        spec.Overrides.KubeProxy,
		Kubeadm:          spec.Overrides.Kubeadm,
		Kubelet:          spec.Overrides.Kubelet,
		Authorities:      authorities,
		Initialized:      cluster.Status.Initialized,
		Rollout:          spec.Rollout,
	}
	for i, name := range spec.ControlPlane.Hosts {
		h, err := newHost(hosts, name, fmt.Sprintf("spec.controlPlane.hosts[%d]", i))
		if err != nil {
			return nil, err
		}
		h.Role, h.KubeletVersion, h.Kubelet = v1alpha1.ControlPlaneRole, spec.Version, release
		if !spec.ControlPlane.Schedulable {
			h.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
		}
		if h.DataDirectories, err = dataDirectories(hosts[name].Spec.DataDirectories, spec.ControlPlane.DataDirectories, spec.DataDirectories, true, fmt.Sprintf("spec.controlPlane.hosts[%d]", i)); err != nil {
			return nil, err
		}
		h.lay(spec.Overrides.NodeOverrides, spec.ControlPlane.Overrides)
		c.Hosts = append(c.Hosts, h)
	}
	for p, pool := range spec.Workers {
		version, kubelet, err := poolKubelet(spec.Version, pool.Version, release, releases)
		if err != nil {
			return nil, fmt.Errorf("spec.workers[%d].version: %w", p, err)
		}
		for i, name := range pool.Hosts {
			h, err := newHost(hosts, name, fmt.Sprintf("spec.workers[%d].hosts[%d]", p, i))
			if err != nil {
				return nil, err
			}
			h.KubeletVersion, h.Kubelet = version, kubelet
			h.Role, h.Pool, h.Labels, h.Taints = v1alpha1.WorkerRole, pool.Name, pool.Labels, pool.Taints
			if h.DataDirectories, err = dataDirectories(hosts[name].Spec.DataDirectories, pool.DataDirectories, spec.DataDirectories, false, fmt.Sprintf("spec.workers[%d].hosts[%d]", p, i)); err != nil {
				return nil, err
			}
			h.lay(spec.Overrides.NodeOverrides, pool.Overrides)
			c.Hosts = append(c.Hosts, h)
		}
	}
	c.Endpoint = endpoint(spec.ControlPlane.Endpoint)
	return c, nil
}

// checkRanges refuses address ranges that a cluster cannot be set up with. The schema refuses them too, but an object may be older.
func checkRanges(n v1alpha1.Network) error {
	for _, r := range []struct{ field, value string }{{"spec.network.podCIDR", n.PodCIDR}, {"spec.network.serviceCIDR", n.ServiceCIDR}} {
		if prefix, err := netip.ParsePrefix(r.value); err == nil && !prefix.Addr().Is4() {
			return &SpecError{r.field, fmt.Sprintf("%s is an IPv6 range, which Kubewright cannot set up yet: use an IPv4 range", r.value)}
		}
	}
	return nil
}

// poolKubelet says which kubelet a pool runs. A pool that names the version of a later hop of the same upgrade runs the cluster's for now.
func poolKubelet(cluster, pool string, release *bundle.Release, releases Releases) (string, *bundle.Release, error) {
	if pool == "" {
		return cluster, release, nil
	}
	want, err := version.ParseSemantic(pool)
	if err != nil {
		return "", nil, err
	}
	has, err := version.ParseSemantic(cluster)
	if err != nil {
		return "", nil, err
	}
	if has.LessThan(want) {
		return cluster, release, nil
	}
	older, err := releases.Release(pool)
	if _, missing := errors.AsType[*bundle.VersionNotFoundError](err); missing {
		return pool, nil, nil
	}
	return pool, older, err
}

func newHost(hosts map[string]v1alpha1.Host, name, field string) (Host, error) {
	object, ok := hosts[name]
	if !ok {
		return Host{}, &SpecError{field, fmt.Sprintf("there is no Host %q in the cluster's namespace; create it or correct the name", name)}
	}
	address := object.Spec.InternalAddress
	if address == "" {
		address = object.Spec.Address
	}
	ip, err := netip.ParseAddr(address)
	if err == nil && !ip.Unmap().Is4() {
		return Host{}, &SpecError{field, fmt.Sprintf("Host %q would have the node address %s, and nodes with IPv6 addresses cannot be set up yet: set its spec.internalAddress to an IPv4 address of the host", name, address)}
	}
	if err != nil {
		return Host{}, &SpecError{field, fmt.Sprintf("Host %q is reached at %q, which is not an IP address: set its spec.internalAddress to the IP address its node shall use", name, address)}
	}
	return Host{Name: name, Address: address}, nil
}

func (h *Host) lay(cluster, pool v1alpha1.NodeOverrides) {
	h.PoolKubelet = pool.Kubelet
	h.Containerd = given(cluster.Containerd, pool.Containerd)
	h.Kubeadm = given(cluster.Kubeadm, pool.Kubeadm)
	h.IgnorePreflightErrors = append(append([]string{}, cluster.IgnorePreflightErrors...), pool.IgnorePreflightErrors...)
}

// given leaves out the overrides that nobody gave.
func given(overrides ...*runtime.RawExtension) []*runtime.RawExtension {
	var list []*runtime.RawExtension
	for _, raw := range overrides {
		if raw != nil {
			list = append(list, raw)
		}
	}
	return list
}

func endpoint(e v1alpha1.ControlPlaneEndpoint) Endpoint {
	if e.Type == v1alpha1.ExternalEndpoint {
		port := int(e.Port)
		if port == 0 {
			port = APIServerPort
		}
		return Endpoint{Type: e.Type, Host: e.Host, Port: port}
	}
	port := int(e.Port)
	if port == 0 {
		port = ProxyPort
	}
	return Endpoint{Type: v1alpha1.LocalProxyEndpoint, Host: "127.0.0.1", Port: port}
}

// ControlPlanes lists the control-plane hosts in the order of the spec.
func (c *Cluster) ControlPlanes() []Host {
	var hosts []Host
	for _, h := range c.Hosts {
		if h.IsControlPlane() {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// certSANs are the spec's, and the host of the URL that people use, without which they could not trust who answers there.
func certSANs(cp v1alpha1.ControlPlane) []string {
	server, err := url.Parse(cp.KubeconfigServer)
	if err != nil || server.Hostname() == "" || slices.Contains(cp.CertSANs, server.Hostname()) {
		return cp.CertSANs
	}
	return append(slices.Clone(cp.CertSANs), server.Hostname())
}

// PublicEndpoint is the URL people use: the one the spec names, else the external endpoint, or the first control plane when nodes use local
// proxies.
func (c *Cluster) PublicEndpoint() string {
	if c.KubeconfigServer != "" {
		return c.KubeconfigServer
	}
	if c.Endpoint.Type == v1alpha1.ExternalEndpoint {
		return "https://" + c.Endpoint.String()
	}
	return "https://" + net.JoinHostPort(c.ControlPlanes()[0].Address, strconv.Itoa(APIServerPort))
}

// DNSServiceIP is the tenth address of the Service range, kubeadm's rule (constants.GetDNSIP).
func (c *Cluster) DNSServiceIP() (string, error) {
	prefix, err := netip.ParsePrefix(c.Network.ServiceCIDR)
	if err != nil {
		return "", &SpecError{"spec.network.serviceCIDR", err.Error()}
	}
	ip := prefix.Masked().Addr()
	for range 10 {
		ip = ip.Next()
	}
	return ip.String(), nil
}
