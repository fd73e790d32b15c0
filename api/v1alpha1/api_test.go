package v1alpha1_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// TestTheAPI starts one API server for everything that needs one, because starting it costs seconds.
func TestTheAPI(t *testing.T) {
	env := testenv.New(t)
	t.Run("create a Cluster", func(t *testing.T) { testCreateCluster(t, env) })
	t.Run("change a Cluster", func(t *testing.T) { testChangeCluster(t, env) })
	t.Run("create a Host", func(t *testing.T) { testCreateHost(t, env) })
	t.Run("create an OfflineManifest", func(t *testing.T) { testCreateOfflineManifest(t, env) })
	t.Run("say how a bundle is fetched", func(t *testing.T) { testHowABundleIsFetched(t, env) })
	t.Run("change an OfflineManifest", func(t *testing.T) { testChangeOfflineManifest(t, env) })
	t.Run("create and change a ClusterOperation", func(t *testing.T) { testClusterOperation(t, env) })
	t.Run("defaults", func(t *testing.T) { testDefaults(t, env) })
	t.Run("status", func(t *testing.T) { testStatus(t, env) })
	t.Run("wrong forms of every field", func(t *testing.T) { testEveryWrongForm(t, env) })
	t.Run("what was stored before it was judged", func(t *testing.T) { testWhatWasStoredBefore(t, env) })
	t.Run("discovery and tables", func(t *testing.T) { testDiscovery(t, env) })
}

func testCreateCluster(t *testing.T, env *testenv.Env) {
	type spec = v1alpha1.ClusterSpec
	for _, tc := range []struct {
		name   string
		change func(*spec)
		want   []string
	}{
		{"the plain one is accepted", func(*spec) {}, nil},
		{"a version without v is refused", func(s *spec) { s.Version = "1.36.3" }, []string{"spec.version", "for example v1.36.3"}},
		{"a version without patch is refused", func(s *spec) { s.Version = "v1.36" }, []string{"spec.version", "for example v1.36.3"}},
		{"a pre-release is refused", func(s *spec) { s.Version = "v1.36.3-rc.1" }, []string{"spec.version", "for example v1.36.3"}},
		{"a version with shell characters is refused", func(s *spec) { s.Version = "v1.36.3;id" }, []string{"spec.version"}},

		{"an interval that is no length of time is refused", func(s *spec) { s.Drift.Interval.Invalid = "soon" }, []string{"spec.drift.interval", "for example 1h"}},
		{"an interval that would have the manager do nothing else is refused", func(s *spec) { s.Drift.Interval.Duration = time.Nanosecond }, []string{"spec.drift.interval", "for example 1h"}},
		{"an interval that is too short is refused", func(s *spec) { s.Drift.Interval.Duration = 59 * time.Second }, []string{"spec.drift.interval", "between 1m and 8760h"}},
		{"an interval that is too long is refused", func(s *spec) { s.Drift.Interval.Duration = 8761 * time.Hour }, []string{"spec.drift.interval", "between 1m and 8760h"}},
		{"an interval of a minute is accepted", func(s *spec) { s.Drift.Interval.Duration = time.Minute }, nil},
		{"a negative timeout is refused", func(s *spec) { s.Rollout.Drain.Timeout.Duration = -time.Minute }, []string{"spec.rollout.drain.timeout", "for example 5m"}},
		{"a timeout of days is refused", func(s *spec) { s.Rollout.Drain.Timeout.Duration = 25 * time.Hour }, []string{"spec.rollout.drain.timeout", "between 1s and 24h"}},
		{"a timeout in several units is accepted", func(s *spec) { s.Rollout.Drain.Timeout.Duration = 90 * time.Second }, nil},
		{"a taint without a key is refused", func(s *spec) { s.Workers[0].Taints = []corev1.Taint{{Effect: "NoSchedule"}} }, []string{"spec.workers[0].taints", "a taint has a key"}},
		{"a taint whose value is too long is refused", func(s *spec) {
			s.Workers[0].Taints = []corev1.Taint{{Key: "a", Value: strings.Repeat("b", 64), Effect: "NoSchedule"}}
		}, []string{"spec.workers[0].taints", "shorten it"}},

		{"one control plane is accepted", func(s *spec) { s.ControlPlane.Hosts = []string{"cp-1"} }, nil},
		{"five control planes are accepted", func(s *spec) { s.ControlPlane.Hosts = names("cp", 5) }, nil},
		{"no control plane is refused", func(s *spec) { s.ControlPlane.Hosts = []string{} }, []string{"spec.controlPlane.hosts", "1, 3 or 5 hosts", "odd number"}},
		{"two control planes are refused", func(s *spec) { s.ControlPlane.Hosts = names("cp", 2) }, []string{"spec.controlPlane.hosts", "1, 3 or 5 hosts"}},
		{"four control planes are refused", func(s *spec) { s.ControlPlane.Hosts = names("cp", 4) }, []string{"spec.controlPlane.hosts", "1, 3 or 5 hosts"}},
		{"seven control planes are refused", func(s *spec) { s.ControlPlane.Hosts = names("cp", 7) }, []string{"spec.controlPlane.hosts", "1, 3 or 5 hosts"}},

		{"content that may stall for ten minutes is accepted", func(s *spec) { s.Rollout.StallTimeout = &metav1.Duration{Duration: 10 * time.Minute} }, nil},
		{"content that may not stall at all is refused", func(s *spec) { s.Rollout.StallTimeout = &metav1.Duration{} }, []string{"spec.rollout.stallTimeout", "1m to 24h"}},
		{"content that may stall for days is refused", func(s *spec) { s.Rollout.StallTimeout = &metav1.Duration{Duration: 48 * time.Hour} }, []string{"spec.rollout.stallTimeout", "1m to 24h"}},

		{"a host twice in the control plane is refused", func(s *spec) { s.ControlPlane.Hosts = []string{"cp-1", "cp-2", "cp-1"} }, []string{"spec.controlPlane.hosts[2]", "Duplicate value", "cp-1"}},
		{"a host in control plane and pool is refused", func(s *spec) { s.Workers[0].Hosts = []string{"cp-2"} }, []string{"both in controlPlane.hosts and in a worker pool"}},
		{"a host twice in one pool is refused", func(s *spec) { s.Workers[0].Hosts = []string{"w", "w"} }, []string{"spec.workers[0].hosts[1]", "Duplicate value"}},
		{"a host in two pools is refused by name", func(s *spec) {
			s.Workers = []v1alpha1.WorkerPool{{Name: "a", Hosts: []string{"w-1", "w-2"}}, {Name: "b"}, {Name: "c", Hosts: []string{"w-2"}}}
		}, []string{"w-2", "two worker pools"}},
		{"five thousand workers are accepted", func(s *spec) {
			s.Workers = nil
			for _, pool := range []string{"a", "b", "c", "d", "e"} {
				s.Workers = append(s.Workers, v1alpha1.WorkerPool{Name: pool, Hosts: names("worker-of-pool-"+pool, 1000)})
			}
		}, nil},
		{"two pools of one name are refused", func(s *spec) { s.Workers = []v1alpha1.WorkerPool{{Name: "a"}, {Name: "a"}} }, []string{"spec.workers[1]", "Duplicate value"}},
		{"a pool name in upper case is refused", func(s *spec) { s.Workers[0].Name = "Pool" }, []string{"spec.workers[0].name", "lower case letters"}},
		{"a pool without name is refused", func(s *spec) { s.Workers[0].Name = "" }, []string{"spec.workers[0].name"}},
		{"a pool of an older minor version is accepted", func(s *spec) { s.Workers[0].Version = "v1.35.99" }, nil},
		{"a pool version without v is refused", func(s *spec) { s.Workers[0].Version = "1.36.3" }, []string{"spec.workers[0].version", "for example v1.36.3, or leave it out"}},
		{"a pool version without patch is refused", func(s *spec) { s.Workers[0].Version = "v1.36" }, []string{"spec.workers[0].version", "for example v1.36.3, or leave it out"}},
		{"a pool newer than the cluster is refused", func(s *spec) { s.Workers[0].Version = "v1.36.4" }, []string{"spec.workers", "newer than spec.version v1.36.3"}},
		{"a cluster without workers is accepted", func(s *spec) { s.Workers = nil }, nil},
		{"host names with dots are accepted", func(s *spec) { s.ControlPlane.Hosts = []string{"cp-1.example.com"} }, nil},
		{"a control-plane host name with shell characters is refused", func(s *spec) { s.ControlPlane.Hosts = []string{"cp-1;reboot"} }, []string{"spec.controlPlane.hosts[0]", "a host name holds only"}},
		{"a worker host name with shell characters is refused", func(s *spec) { s.Workers[0].Hosts = []string{"$(reboot)"} }, []string{"spec.workers[0].hosts[0]", "should match"}},
		{"a host name that fits no label is refused", func(s *spec) { s.Workers[0].Hosts = []string{strings.Repeat("a", 64)} }, []string{"spec.workers[0].hosts[0]", "63"}},

		{"name servers with and without port are accepted", func(s *spec) {
			s.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"192.0.2.53", "192.0.2.53:5353", "fd00::53", "[fd00::53]:5353"}}
		}, nil},
		{"a name server by name is refused", func(s *spec) { s.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"ns.example.com"}} }, []string{"spec.network.dns.upstreams[0]", "192.0.2.53:5353"}},
		{"a name server with a port that is none is refused", func(s *spec) { s.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"192.0.2.53:99999"}} }, []string{"spec.network.dns.upstreams[0]", "192.0.2.53:5353"}},
		{"a name server that would break out of the Corefile is refused", func(s *spec) { s.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"192.0.2.53 {\n}"}} }, []string{"spec.network.dns.upstreams[0]", "192.0.2.53:5353"}},
		{"a name server on loopback is refused", func(s *spec) { s.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"127.0.0.53"}} }, []string{"spec.network.dns.upstreams[0]", "the pod itself"}},

		{"IPv6 ranges are refused", func(s *spec) { s.Network = v1alpha1.Network{PodCIDR: "fd00:1::/48", ServiceCIDR: "fd00:2::/112"} }, []string{"spec.network.podCIDR", "spec.network.serviceCIDR", "use an IPv4 range"}},
		{"a podCIDR that is an address is refused", func(s *spec) { s.Network.PodCIDR = "10.244.0.0" }, []string{"spec.network.podCIDR", "10.244.0.0/16"}},
		{"a podCIDR with host bits is refused", func(s *spec) { s.Network.PodCIDR = "10.244.3.4/16" }, []string{"spec.network.podCIDR", "first address"}},
		{"a podCIDR too small for a node is refused", func(s *spec) { s.Network.PodCIDR = "10.244.0.0/25" }, []string{"spec.network.podCIDR", "8 to 24"}},
		{"a podCIDR too large is refused", func(s *spec) { s.Network.PodCIDR = "10.0.0.0/7" }, []string{"spec.network.podCIDR", "8 to 24"}},
		{"a serviceCIDR that is no range is refused", func(s *spec) { s.Network.ServiceCIDR = "services" }, []string{"spec.network.serviceCIDR", "10.96.0.0/16"}},
		{"a serviceCIDR with host bits is refused", func(s *spec) { s.Network.ServiceCIDR = "10.96.0.1/16" }, []string{"spec.network.serviceCIDR", "first address"}},
		{"a serviceCIDR too large is refused", func(s *spec) { s.Network.ServiceCIDR = "10.0.0.0/8"; s.Network.PodCIDR = "192.168.0.0/16" }, []string{"spec.network.serviceCIDR", "12 to 28"}},
		{"Services inside the pods' range are refused", func(s *spec) { s.Network.PodCIDR = "10.96.0.0/12" }, []string{"spec.network", "overlap"}},
		{"pods inside the Services' range are refused", func(s *spec) { s.Network.PodCIDR = "10.96.8.0/24" }, []string{"spec.network", "overlap"}},
		{"equal ranges are refused", func(s *spec) { s.Network.PodCIDR = "10.96.0.0/16" }, []string{"spec.network", "overlap"}},
		{"ranges of two families are refused", func(s *spec) { s.Network.PodCIDR = "fd00:1::/48" }, []string{"spec.network", "different IP families"}},
		{"a DNS domain with a trailing dot is refused", func(s *spec) { s.Network.DNSDomain = "cluster.local." }, []string{"spec.network.dnsDomain", "for example cluster.local"}},
		{"an unknown CNI is refused", func(s *spec) { s.Network.CNI.Type = "Weave" }, []string{"spec.network.cni.type", "Flannel"}},
		{"an unknown flannel backend is refused", func(s *spec) { s.Network.CNI.FlannelBackend = "udp" }, []string{"spec.network.cni.flannelBackend", "host-gw"}},

		{"an external endpoint with a name is accepted", func(s *spec) {
			s.ControlPlane.Endpoint = v1alpha1.ControlPlaneEndpoint{Type: v1alpha1.ExternalEndpoint, Host: "api.example.com"}
		}, nil},
		{"an external endpoint with an IPv6 address is accepted", func(s *spec) {
			s.ControlPlane.Endpoint = v1alpha1.ControlPlaneEndpoint{Type: v1alpha1.ExternalEndpoint, Host: "2001:db8::1"}
		}, nil},
		{"an external endpoint without host is refused", func(s *spec) { s.ControlPlane.Endpoint.Type = v1alpha1.ExternalEndpoint }, []string{"spec.controlPlane.endpoint", "needs host"}},
		{"a local proxy with a host is refused", func(s *spec) { s.ControlPlane.Endpoint.Host = "192.0.2.1" }, []string{"spec.controlPlane.endpoint", "has no host"}},
		{"an endpoint host with a port is refused", func(s *spec) {
			s.ControlPlane.Endpoint = v1alpha1.ControlPlaneEndpoint{Type: v1alpha1.ExternalEndpoint, Host: "api.example.com:6443"}
		}, []string{"spec.controlPlane.endpoint.host", "without scheme and port"}},
		{"an endpoint host that only looks like an address is refused", func(s *spec) {
			s.ControlPlane.Endpoint = v1alpha1.ControlPlaneEndpoint{Type: v1alpha1.ExternalEndpoint, Host: "192.0.2.256"}
		}, []string{"spec.controlPlane.endpoint.host"}},
		{"a port beyond 65535 is refused", func(s *spec) { s.ControlPlane.Endpoint.Port = 65536 }, []string{"spec.controlPlane.endpoint.port"}},
		{"a local proxy on a port that etcd listens on is refused", func(s *spec) { s.ControlPlane.Endpoint.Port = 2379 }, []string{"spec.controlPlane.endpoint", "choose another one"}},
		{"data directories on disks of their own are accepted", func(s *spec) {
			s.DataDirectories = v1alpha1.DataDirectories{Containerd: "/data/containerd", Kubelet: "/var/lib/kubelet"}
			s.ControlPlane.DataDirectories.Etcd = "/fast/etcd"
			s.Workers[0].DataDirectories.Kubelet = "/var/data/kubelet"
		}, nil},
		{"a data directory that is no clean path is refused", func(s *spec) { s.DataDirectories.Kubelet = "/data/../etc" }, []string{"spec.dataDirectories.kubelet", "for example /data/kubelet"}},
		{"a data directory that is not absolute is refused", func(s *spec) { s.DataDirectories.Containerd = "data" }, []string{"spec.dataDirectories.containerd", "absolute path"}},
		{"a directory of the system for data is refused", func(s *spec) { s.ControlPlane.DataDirectories.Etcd = "/usr/etcd" }, []string{"spec.controlPlane.dataDirectories.etcd", "not a directory of the system"}},
		{"the place of other data is refused", func(s *spec) { s.DataDirectories.Containerd = "/var/lib/kubelet" }, []string{"spec.dataDirectories.containerd"}},
		{"a data directory of etcd for a pool is refused", func(s *spec) { s.Workers[0].DataDirectories.Etcd = "/data/etcd" }, []string{"spec.workers[0].dataDirectories", "etcd runs on control planes only"}},
		{"an unknown endpoint type is refused", func(s *spec) { s.ControlPlane.Endpoint.Type = "VIP" }, []string{"spec.controlPlane.endpoint.type", "LocalProxy"}},

		{"names, wildcards and addresses are accepted in certSANs", func(s *spec) {
			s.ControlPlane.CertSANs = []string{"api.example.com", "*.example.com", "192.0.2.1", "2001:db8::1"}
		}, nil},
		{"a server for people's kubeconfig is accepted", func(s *spec) { s.ControlPlane.KubeconfigServer = "https://api.example.com:6443" }, nil},
		{"one in brackets is accepted", func(s *spec) { s.ControlPlane.KubeconfigServer = "https://[2001:db8::1]:6443" }, nil},
		{"one without https is refused", func(s *spec) { s.ControlPlane.KubeconfigServer = "http://api.example.com" }, []string{"spec.controlPlane.kubeconfigServer", "https://api.example.com:6443"}},
		{"one with a path is refused", func(s *spec) { s.ControlPlane.KubeconfigServer = "https://api.example.com/k8s" }, []string{"spec.controlPlane.kubeconfigServer", "https://api.example.com:6443"}},
		{"one with a password is refused", func(s *spec) { s.ControlPlane.KubeconfigServer = "https://me:secret@api.example.com" }, []string{"spec.controlPlane.kubeconfigServer"}},
		{"a URL in certSANs is refused", func(s *spec) { s.ControlPlane.CertSANs = []string{"https://api.example.com"} }, []string{"spec.controlPlane.certSANs[0]", "an IP address or a DNS name"}},

		{"labels and taints are accepted", func(s *spec) {
			s.Workers[0].Labels = map[string]string{"example.com/tier": "gold", "zone": ""}
			s.Workers[0].Taints = []corev1.Taint{{Key: "gpu", Value: "true", Effect: corev1.TaintEffectNoSchedule}}
		}, nil},
		{"a label key with a space is refused", func(s *spec) { s.Workers[0].Labels = map[string]string{"a b": "c"} }, []string{"spec.workers[0].labels", "a label key"}},
		{"a label value that is too long is refused", func(s *spec) { s.Workers[0].Labels = map[string]string{"a": strings.Repeat("b", 64)} }, []string{"spec.workers[0].labels", "a label value"}},
		{"an unknown taint effect is refused", func(s *spec) { s.Workers[0].Taints = []corev1.Taint{{Key: "gpu", Effect: "NoWay"}} }, []string{"spec.workers[0].taints", "NoSchedule"}},
		{"a taint with a time is refused", func(s *spec) {
			now := metav1.Now()
			s.Workers[0].Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule, TimeAdded: &now}}
		}, []string{"spec.workers[0].taints", "timeAdded"}},

		{"overrides of any shape are accepted and kept", func(s *spec) {
			s.Overrides.Kubelet = &runtime.RawExtension{Raw: []byte(`{"failCgroupV1":false}`)}
			s.Overrides.KubeProxy = &runtime.RawExtension{Raw: []byte(`{"conntrack":{"maxPerCore":0}}`)}
			s.Overrides.Kubeadm = &runtime.RawExtension{Raw: []byte(`{"apiServer":{"extraArgs":[]},"nodeRegistration":{"imagePullSerial":false}}`)}
			s.Overrides.IgnorePreflightErrors = []string{"NumCPU", "FileContent--proc-sys-net-ipv4-ip_forward"}
			s.ControlPlane.Overrides.Kubeadm = &runtime.RawExtension{Raw: []byte(`{"timeouts":{"etcdAPICall":"3m0s"}}`)}
			s.Workers[0].Overrides.Kubeadm = &runtime.RawExtension{Raw: []byte(`{"nodeRegistration":{"kubeletExtraArgs":[{"name":"v","value":"4"}]}}`)}
		}, nil},
		{"an ignored check with shell characters is refused", func(s *spec) { s.Overrides.IgnorePreflightErrors = []string{"NumCPU,$(id)"} }, []string{"spec.overrides.ignorePreflightErrors[0]", "for example NumCPU"}},
		{"an ignored check of control planes with shell characters is refused", func(s *spec) { s.ControlPlane.Overrides.IgnorePreflightErrors = []string{"a b"} }, []string{"spec.controlPlane.overrides.ignorePreflightErrors[0]", "for example NumCPU"}},
		{"an ignored check of a pool with shell characters is refused", func(s *spec) { s.Workers[0].Overrides.IgnorePreflightErrors = []string{"a b"} }, []string{"spec.workers[0].overrides.ignorePreflightErrors[0]", "for example NumCPU"}},
		{"an unknown deletion policy is refused", func(s *spec) { s.DeletionPolicy = "Wipe" }, []string{"spec.deletionPolicy", "Orphan"}},
		{"an offline manifest without name is refused", func(s *spec) { s.OfflineManifestRef.Name = "" }, []string{"spec.offlineManifestRef.name"}},
		{"an offline manifest name with a slash is refused", func(s *spec) { s.OfflineManifestRef.Name = "../x" }, []string{"spec.offlineManifestRef.name", "existing object"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := cluster()
			tc.change(&c.Spec)
			asked := c.DeepCopy()
			expect(t, env.Client.Create(t.Context(), c), tc.want...)
			if diff := cmp.Diff(overrides(asked), overrides(c)); diff != "" {
				t.Errorf("the overrides came back different:\n%s", diff)
			}
		})
	}
	t.Run("a name that is too long for operations is refused", func(t *testing.T) {
		c := cluster()
		c.Name = strings.Repeat("c", 41)
		expect(t, env.Client.Create(t.Context(), c), "at most 40")
	})
	t.Run("a name with a dot is refused", func(t *testing.T) {
		c := cluster()
		c.Name = "a.b"
		expect(t, env.Client.Create(t.Context(), c), "metadata.name of a Cluster")
	})
}

func testChangeCluster(t *testing.T, env *testenv.Env) {
	type spec = v1alpha1.ClusterSpec
	external := func(s *spec) {
		s.ControlPlane.Endpoint = v1alpha1.ControlPlaneEndpoint{Type: v1alpha1.ExternalEndpoint, Host: "192.0.2.1"}
	}
	same := func(*spec) {}
	for _, tc := range []struct {
		name        string
		from, to    func(*spec)
		initialized bool
		want        []string
	}{
		{"nothing changed is accepted", same, same, true, nil},
		{"a newer minor version is accepted", same, func(s *spec) { s.Version = "v1.37.0" }, true, nil},
		{"an older patch is accepted", same, func(s *spec) { s.Version = "v1.36.1" }, true, nil},
		{"an older minor version is refused once the cluster exists", same, func(s *spec) { s.Version = "v1.35.4" }, true, []string{"spec.version", "cannot be lowered"}},
		{"minor versions are compared as numbers", func(s *spec) { s.Version = "v1.100.0" }, func(s *spec) { s.Version = "v1.99.0" }, true, []string{"spec.version", "cannot be lowered"}},
		{"minor 100 is newer than minor 99", func(s *spec) { s.Version = "v1.99.0" }, func(s *spec) { s.Version = "v1.100.0" }, true, nil},
		{"a wrong version can be corrected before the cluster exists", func(s *spec) { s.Version = "v1.99.0" }, func(s *spec) { s.Version = "v1.36.3" }, false, nil},
		{"podCIDR cannot change", same, func(s *spec) { s.Network.PodCIDR = "10.245.0.0/16" }, false, []string{"spec.network.podCIDR", "never changes"}},
		{"serviceCIDR cannot change", same, func(s *spec) { s.Network.ServiceCIDR = "10.97.0.0/16" }, false, []string{"spec.network.serviceCIDR", "never changes"}},
		{"name servers can change", same, func(s *spec) { s.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"192.0.2.53"}} }, true, nil},
		{"dnsDomain cannot change", same, func(s *spec) { s.Network.DNSDomain = "example.local" }, false, []string{"spec.network.dnsDomain", "never changes"}},
		{"leaving network out again is a change when it was not the default", func(s *spec) { s.Network.PodCIDR = "10.245.0.0/16" }, func(s *spec) { s.Network = v1alpha1.Network{} }, false, []string{"spec.network.podCIDR", "never changes"}},
		{"leaving network out again is none when it was the default", same, func(s *spec) { s.Network = v1alpha1.Network{} }, false, nil},
		{"the endpoint's type cannot change", same, external, false, []string{"spec.controlPlane.endpoint", "the type of the endpoint never changes"}},
		{"the endpoint's host cannot change", external, func(s *spec) { s.ControlPlane.Endpoint.Host = "192.0.2.2" }, false, []string{"spec.controlPlane.endpoint", "the host of the endpoint never changes"}},
		{"the endpoint's port cannot change", same, func(s *spec) { s.ControlPlane.Endpoint.Port = 7444 }, false, []string{"spec.controlPlane.endpoint", "the port of the endpoint never changes"}},
		{"writing the proxy's usual port is no change", same, func(s *spec) { s.ControlPlane.Endpoint.Port = 7443 }, false, nil},
		{"writing an external endpoint's usual port is no change", external, func(s *spec) { s.ControlPlane.Endpoint.Port = 6443 }, false, nil},
		{"leaving out an external endpoint's port is a change when it was unusual", func(s *spec) { external(s); s.ControlPlane.Endpoint.Port = 443 }, func(s *spec) { s.ControlPlane.Endpoint.Port = 0 }, false, []string{"the port of the endpoint never changes"}},
		{"workers can be added", same, func(s *spec) { s.Workers[0].Hosts = names("worker", 3) }, true, nil},
		{"control planes can be added in pairs", same, func(s *spec) { s.ControlPlane.Hosts = names("cp", 5) }, true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := cluster()
			tc.from(&c.Spec)
			expect(t, env.Client.Create(t.Context(), c))
			if tc.initialized {
				c.Status.Initialized = true
				expect(t, env.Client.Status().Update(t.Context(), c))
			}
			expect(t, env.Client.Update(t.Context(), changed(c, func(c *v1alpha1.Cluster) { tc.to(&c.Spec) })), tc.want...)
		})
	}
}

func testCreateHost(t *testing.T, env *testenv.Env) {
	type spec = v1alpha1.HostSpec
	for _, tc := range []struct {
		name   string
		change func(*spec)
		want   []string
	}{
		{"the plain one is accepted", func(*spec) {}, nil},
		{"a DNS name as address is accepted", func(s *spec) { s.Address = "node-1.example.com" }, nil},
		{"an IPv6 address is accepted", func(s *spec) { s.Address = "2001:db8::10" }, nil},
		{"no address is refused", func(s *spec) { s.Address = "" }, []string{"spec.address"}},
		{"an address with a port is refused", func(s *spec) { s.Address = "192.0.2.10:22" }, []string{"spec.address", "fields of their own"}},
		{"an address with a user is refused", func(s *spec) { s.Address = "root@192.0.2.10" }, []string{"spec.address", "fields of their own"}},
		{"an address with shell characters is refused", func(s *spec) { s.Address = "node;reboot" }, []string{"spec.address"}},
		{"an address that looks like an option is refused", func(s *spec) { s.Address = "-oProxyCommand" }, []string{"spec.address"}},
		{"an address out of range is refused", func(s *spec) { s.Address = "192.0.2.300" }, []string{"spec.address"}},
		{"an internal address is accepted", func(s *spec) { s.InternalAddress = "10.0.0.10" }, nil},
		{"a data directory of a machine is accepted", func(s *spec) { s.DataDirectories.Etcd = "/data/etcd" }, nil},
		{"a directory of the system for a machine's data is refused", func(s *spec) { s.DataDirectories.Kubelet = "/etc" }, []string{"spec.dataDirectories.kubelet", "not a directory of the system"}},
		{"a name as internal address is refused", func(s *spec) { s.InternalAddress = "node-1" }, []string{"spec.internalAddress", "not an IP address"}},
		{"a port of 70000 is refused", func(s *spec) { s.Port = 70000 }, []string{"spec.port"}},
		{"a negative port is refused", func(s *spec) { s.Port = -1 }, []string{"spec.port"}},
		{"a user with sudo is accepted", func(s *spec) { s.User = "ops_1-a"; s.Sudo = v1alpha1.SudoPassword }, nil},
		{"a machine account is accepted as user", func(s *spec) { s.User = "svc$" }, nil},
		{"a user with a dot is accepted", func(s *spec) { s.User = "first.last" }, nil},
		{"a user that begins with a dot is refused", func(s *spec) { s.User = ".first" }, []string{"spec.user", "not a login name"}},
		{"a user with shell characters is refused", func(s *spec) { s.User = "root;id" }, []string{"spec.user", "not a login name"}},
		{"a user that looks like an option is refused", func(s *spec) { s.User = "-root" }, []string{"spec.user", "not a login name"}},
		{"another user than root without sudo is refused", func(s *spec) { s.User = "ops"; s.Sudo = v1alpha1.SudoNone }, []string{"sudo None", "set user to root"}},
		{"root without sudo is accepted", func(s *spec) { s.Sudo = v1alpha1.SudoNone }, nil},
		{"an unknown way of sudo is refused", func(s *spec) { s.Sudo = "Maybe" }, []string{"spec.sudo", "NoPassword"}},
		{"no credentials are refused", func(s *spec) { s.CredentialsRef.Name = "" }, []string{"spec.credentialsRef.name"}},
		{"a credentials name with a slash is refused", func(s *spec) { s.CredentialsRef.Name = "a/b" }, []string{"spec.credentialsRef.name", "existing object"}},
		{"a bastion name with a slash is refused", func(s *spec) { s.BastionRef = &v1alpha1.LocalReference{Name: "a/b"} }, []string{"spec.bastionRef.name", "existing object"}},
		{"strict with a key is accepted", func(s *spec) { s.HostKeys = v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: []string{hostKey}} }, nil},
		{"strict without keys is refused", func(s *spec) { s.HostKeys.Policy = v1alpha1.HostKeyStrict }, []string{"spec.hostKeys", "Strict needs keys"}},
		{"a key without its type is refused", func(s *spec) { s.HostKeys.Keys = []string{strings.Fields(hostKey)[1]} }, []string{"spec.hostKeys.keys[0]", "not a public key"}},
		{"a known_hosts line is refused as key", func(s *spec) { s.HostKeys.Keys = []string{"node1 " + hostKey} }, []string{"spec.hostKeys.keys[0]", "not a public key"}},
		{"two keys in one entry are refused", func(s *spec) { s.HostKeys.Keys = []string{hostKey + "\n" + hostKey} }, []string{"spec.hostKeys.keys[0]", "not a public key"}},
		{"the key of an authority for hosts is accepted", func(s *spec) {
			s.HostKeys = v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: []string{"@cert-authority " + hostKey}, Principal: "node1.example.com"}
		}, nil},
		{"an authority with a list of hosts, as in known_hosts, is refused", func(s *spec) { s.HostKeys.Keys = []string{"@cert-authority *.example.com " + hostKey} }, []string{"spec.hostKeys.keys[0]", "'@cert-authority ' in front"}},
		{"a revoked key is refused", func(s *spec) { s.HostKeys.Keys = []string{"@revoked " + hostKey} }, []string{"spec.hostKeys.keys[0]", "not a public key"}},
		{"a principal with blanks is refused", func(s *spec) { s.HostKeys.Principal = "node 1" }, []string{"spec.hostKeys.principal"}},
		{"the same key twice is refused", func(s *spec) { s.HostKeys.Keys = []string{hostKey, hostKey} }, []string{"spec.hostKeys.keys[1]", "Duplicate value"}},
		{"an unknown host key policy is refused", func(s *spec) { s.HostKeys.Policy = "Never" }, []string{"spec.hostKeys.policy", "TrustOnFirstUse"}},
		{"a bastion is accepted", func(s *spec) { s.BastionRef = &v1alpha1.LocalReference{Name: "bastion"} }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := host()
			tc.change(&h.Spec)
			expect(t, env.Client.Create(t.Context(), h), tc.want...)
		})
	}
	t.Run("a host that is its own bastion is refused", func(t *testing.T) {
		h := host()
		h.Name = "loop"
		h.Spec.BastionRef = &v1alpha1.LocalReference{Name: "loop"}
		expect(t, env.Client.Create(t.Context(), h), "bastionRef names the Host itself")
	})
	t.Run("a name that fits no label is refused", func(t *testing.T) {
		h := host()
		h.Name = strings.Repeat("h", 64)
		expect(t, env.Client.Create(t.Context(), h), "at most 63")
	})
	t.Run("a host's way of being reached can change", func(t *testing.T) {
		h := host()
		expect(t, env.Client.Create(t.Context(), h))
		h.Spec.Address = "192.0.2.11"
		expect(t, env.Client.Update(t.Context(), h))
	})
}

func testCreateOfflineManifest(t *testing.T, env *testenv.Env) {
	for _, tc := range []struct {
		name, source, digest string
		want                 []string
	}{
		{"an absolute path and a digest are accepted", "file:///srv/kubernetes-1.36.bundle", bundleDigest, nil},
		{"a path without file:// is refused", "/srv/k.bundle", bundleDigest, []string{"spec.source", "file:// URL with an absolute path"}},
		{"a relative path is refused", "file://srv/k.bundle", bundleDigest, []string{"spec.source", "absolute path"}},
		{"a user in the URL is refused", "file://user@host/srv/k.bundle", bundleDigest, []string{"spec.source", "absolute path"}},
		{"a web address is accepted", "https://mirror.example.com:8443/a/k.bundle", bundleDigest, nil},
		{"an IPv6 address is accepted", "https://[fd00::1]:8443/k.bundle", bundleDigest, nil},
		{"a key in a bucket is accepted", "s3://bundles/1.36/k.bundle", bundleDigest, nil},
		{"a repository with a tag is accepted", "oci://registry.example.com:5000/kubewright/bundles:1.36", bundleDigest, nil},
		{"a repository with a digest is accepted", "oci://registry.example.com/bundles@" + bundleDigest, bundleDigest, nil},
		{"another scheme is refused", "ftp://example.com/k.bundle", bundleDigest, []string{"spec.source", "file:// URL"}},
		{"a version control scheme is refused", "git://example.com/k.bundle", bundleDigest, []string{"spec.source", "file:// URL"}},
		{"a shorthand that a getter would expand is refused", "github.com/owner/name", bundleDigest, []string{"spec.source", "file:// URL"}},
		{"a user in a web address is refused", "https://user@example.com/k.bundle", bundleDigest, []string{"spec.source", "credentialsRef"}},
		{"a password in a web address is refused", "https://u:p@example.com/k.bundle", bundleDigest, []string{"spec.source", "credentialsRef"}},
		{"an option of a getter in a query is refused", "https://example.com/k.bundle?checksum=md5:0", bundleDigest, []string{"spec.source", "query"}},
		{"a subdirectory marker in a web address is refused", "https://example.com/a//k.bundle", bundleDigest, []string{"spec.source", "single slashes"}},
		{"a web address without a path is refused", "https://example.com", bundleDigest, []string{"spec.source", "a path"}},
		{"a way up in a web address is refused", "https://example.com/a/../k.bundle", bundleDigest, []string{"spec.source", "'..'"}},
		{"a forced getter in a web address is refused", "https://example.com/git::k.bundle", bundleDigest, []string{"spec.source", "'::'"}},
		{"a forced getter behind an IPv6 address is refused", "https://[fd00::1]/git::k.bundle", bundleDigest, []string{"spec.source", "'::'"}},
		{"a bucket without a key is refused", "s3://bundles", bundleDigest, []string{"spec.source", "s3://BUCKET/KEY"}},
		{"a repository in upper case is refused", "oci://registry.example.com/Bundles:1", bundleDigest, []string{"spec.source", "oci://REGISTRY"}},
		{"a way up is refused", "file:///srv/../etc/shadow", bundleDigest, []string{"spec.source", "'..'"}},
		{"a way up at the end is refused", "file:///srv/..", bundleDigest, []string{"spec.source", "'..'"}},
		{"dots inside a name are accepted", "file:///srv/k..bundle", bundleDigest, nil},
		{"a query is refused", "file:///srv/k.bundle?archive=tar", bundleDigest, []string{"spec.source", "query"}},
		{"a fragment is refused", "file:///srv/k.bundle#x", bundleDigest, []string{"spec.source", "fragment"}},
		{"a forced getter is refused", "git::file:///srv/k.bundle", bundleDigest, []string{"spec.source", "'::'"}},
		{"a forced getter inside the path is refused", "file:///git::/k.bundle", bundleDigest, []string{"spec.source", "'::'"}},
		{"a subdirectory marker is refused", "file:///srv//k.bundle", bundleDigest, []string{"spec.source", "single slashes"}},
		{"percent encoding is refused", "file:///srv/%2e%2e/k.bundle", bundleDigest, []string{"spec.source", "may hold only"}},
		{"shell characters are refused", "file:///srv/$(id).bundle", bundleDigest, []string{"spec.source", "may hold only"}},
		{"no source is refused", "", bundleDigest, []string{"spec.source"}},
		{"a digest without algorithm is refused", "file:///k.bundle", strings.TrimPrefix(bundleDigest, "sha256:"), []string{"spec.digest", "bundle inspect"}},
		{"a digest in upper case is refused", "file:///k.bundle", "sha256:" + strings.Repeat("A", 64), []string{"spec.digest", "lower case"}},
		{"a short digest is refused", "file:///k.bundle", bundleDigest[:70], []string{"spec.digest", "64 hexadecimal digits"}},
		{"a long digest is refused", "file:///k.bundle", bundleDigest + "0", []string{"spec.digest", "64 hexadecimal digits"}},
		{"another algorithm is refused", "file:///k.bundle", "md5:" + strings.Repeat("a", 32), []string{"spec.digest", "sha256"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := offlineManifest()
			m.Spec = v1alpha1.OfflineManifestSpec{Source: tc.source, Digest: tc.digest}
			expect(t, env.Client.Create(t.Context(), m), tc.want...)
		})
	}
}

func testHowABundleIsFetched(t *testing.T, env *testenv.Env) {
	type spec = v1alpha1.OfflineManifestSpec
	ref := &v1alpha1.LocalReference{Name: "mirror"}
	const file, web, bucket = "file:///srv/k.bundle", "https://mirror.example.com/k.bundle", "s3://bundles/k.bundle"
	for _, tc := range []struct {
		name, source string
		change       func(*spec)
		want         []string
	}{
		{"credentials and authorities for a web address are accepted", web, func(s *spec) { s.CredentialsRef, s.CABundleRef = ref, ref }, nil},
		{"credentials for a file are refused", file, func(s *spec) { s.CredentialsRef = ref }, []string{"spec.credentialsRef", "leave credentialsRef out"}},
		{"authorities for a file are refused", file, func(s *spec) { s.CABundleRef = ref }, []string{"spec.caBundleRef", "leave caBundleRef out"}},
		{"a server and a region for a bucket are accepted", bucket, func(s *spec) {
			s.S3 = &v1alpha1.S3Server{Endpoint: "https://minio.example.com:9000", Region: "eu-central-1"}
		}, nil},
		{"a server at an IPv6 address is accepted", bucket, func(s *spec) { s.S3 = &v1alpha1.S3Server{Endpoint: "http://[fd00::1]:9000"} }, nil},
		{"a server of buckets for a file is refused", file, func(s *spec) { s.S3 = &v1alpha1.S3Server{} }, []string{"spec.s3", "begins with s3://"}},
		{"a server of buckets for a web address is refused", web, func(s *spec) { s.S3 = &v1alpha1.S3Server{} }, []string{"spec.s3", "begins with s3://"}},
		{"a server with a path is refused", bucket, func(s *spec) { s.S3 = &v1alpha1.S3Server{Endpoint: "https://minio.example.com/s3"} }, []string{"spec.s3.endpoint", "without a path"}},
		{"a server without scheme is refused", bucket, func(s *spec) { s.S3 = &v1alpha1.S3Server{Endpoint: "minio.example.com:9000"} }, []string{"spec.s3.endpoint", "for example https://minio.example.com:9000"}},
		{"a user in the server's URL is refused", bucket, func(s *spec) { s.S3 = &v1alpha1.S3Server{Endpoint: "https://u:p@minio.example.com"} }, []string{"spec.s3.endpoint"}},
		{"a region in upper case is refused", bucket, func(s *spec) { s.S3 = &v1alpha1.S3Server{Region: "EU-central"} }, []string{"spec.s3.region", "for example us-east-1"}},
		{"a region with a slash is refused", bucket, func(s *spec) { s.S3 = &v1alpha1.S3Server{Region: "us/east"} }, []string{"spec.s3.region", "for example us-east-1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := offlineManifest()
			m.Spec.Source = tc.source
			tc.change(&m.Spec)
			expect(t, env.Client.Create(t.Context(), m), tc.want...)
		})
	}
}

func testChangeOfflineManifest(t *testing.T, env *testenv.Env) {
	m := offlineManifest()
	expect(t, env.Client.Create(t.Context(), m))
	t.Run("the digest cannot change", func(t *testing.T) {
		other := changed(m, func(m *v1alpha1.OfflineManifest) { m.Spec.Digest = "sha256:" + strings.Repeat("0", 64) })
		expect(t, env.Client.Update(t.Context(), other), "spec.digest", "create another OfflineManifest")
	})
	t.Run("the source can change", func(t *testing.T) {
		other := changed(m, func(m *v1alpha1.OfflineManifest) { m.Spec.Source = "file:///mnt/k.bundle" })
		expect(t, env.Client.Update(t.Context(), other))
	})
}

func testClusterOperation(t *testing.T, env *testenv.Env) {
	type spec = v1alpha1.ClusterOperationSpec
	for _, tc := range []struct {
		name   string
		change func(*spec)
		want   []string
	}{
		{"an installation is accepted", func(*spec) {}, nil},
		{"an unknown type is refused", func(s *spec) { s.Type = "Destroy" }, []string{"spec.type", "Install"}},
		{"an unknown mode is refused", func(s *spec) { s.Mode = "Force" }, []string{"spec.mode", "Plan"}},
		{"no cluster is refused", func(s *spec) { s.ClusterRef.Name = "" }, []string{"spec.clusterRef.name"}},
		{"a cluster name with a slash is refused", func(s *spec) { s.ClusterRef.Name = "a/b" }, []string{"spec.clusterRef.name", "existing object"}},
		{"the version of a hop is accepted", func(s *spec) { s.Version = "v1.35.4" }, nil},
		{"a version without v is refused", func(s *spec) { s.Version = "1.36.3" }, []string{"spec.version", "for example v1.36.3, or leave it out"}},
		{"a version without patch is refused", func(s *spec) { s.Version = "v1.36" }, []string{"spec.version", "for example v1.36.3, or leave it out"}},
		{"a pre-release is refused", func(s *spec) { s.Version = "v1.36.3-rc.1" }, []string{"spec.version", "for example v1.36.3, or leave it out"}},
		{"a negative generation is refused", func(s *spec) { s.ClusterGeneration = -1 }, []string{"spec.clusterGeneration"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := operation()
			tc.change(&o.Spec)
			expect(t, env.Client.Create(t.Context(), o), tc.want...)
		})
	}
	o := operation()
	expect(t, env.Client.Create(t.Context(), o))
	for name, change := range map[string]func(*spec){
		"the cluster cannot change":    func(s *spec) { s.ClusterRef.Name = "other" },
		"the type cannot change":       func(s *spec) { s.Type = v1alpha1.ResetOperation },
		"the mode cannot change":       func(s *spec) { s.Mode = v1alpha1.PlanMode },
		"the generation cannot change": func(s *spec) { s.ClusterGeneration = 7 },
	} {
		t.Run(name, func(t *testing.T) {
			other := changed(o, func(o *v1alpha1.ClusterOperation) { change(&o.Spec) })
			expect(t, env.Client.Update(t.Context(), other), "spec", "create another ClusterOperation")
		})
	}
	t.Run("labels can change", func(t *testing.T) {
		o.Labels = map[string]string{"ticket": "42"}
		expect(t, env.Client.Update(t.Context(), o))
	})
}

func testDefaults(t *testing.T, env *testenv.Env) {
	for _, tc := range []struct {
		name  string
		given *unstructured.Unstructured
		want  string
	}{
		{
			"a Cluster gets network, endpoint, addons and policies",
			raw("Cluster", "default", map[string]any{
				"version": "v1.36.3", "offlineManifestRef": map[string]any{"name": "m"},
				"controlPlane": map[string]any{"hosts": []any{"cp-1"}},
			}),
			`{"version":"v1.36.3","offlineManifestRef":{"name":"m"},"controlPlane":{"hosts":["cp-1"],"endpoint":{"type":"LocalProxy"}},
			  "network":{"podCIDR":"10.244.0.0/16","serviceCIDR":"10.96.0.0/16","dnsDomain":"cluster.local","cni":{"type":"Flannel","flannelBackend":"vxlan"}},
			  "addons":{"metricsServer":true},"deletionPolicy":"Orphan","operationPolicy":"Automatic",
			  "rollout":{"maxUnavailable":1,"stallTimeout":"3m0s","drain":{"timeout":"5m0s","onTimeout":"Abort"}},"drift":{"mode":"Detect","interval":"1h0m0s"}}`,
		},
		{
			"a Host gets port, user, sudo and host key policy",
			raw("Host", "default", map[string]any{"address": "192.0.2.1", "credentialsRef": map[string]any{"name": "ssh"}}),
			`{"address":"192.0.2.1","credentialsRef":{"name":"ssh"},"port":22,"user":"root","sudo":"Auto","hostKeys":{"policy":"TrustOnFirstUse"},"onRemoval":"Reset"}`,
		},
		{
			"an OfflineManifest gets the region of its bucket, and insists on a signature it asks for",
			raw("OfflineManifest", "", map[string]any{
				"source": "s3://bundles/k.bundle", "digest": bundleDigest, "s3": map[string]any{"endpoint": "https://minio.example.com"},
				"signature": map[string]any{"keysRef": map[string]any{"name": "keys"}},
			}),
			`{"source":"s3://bundles/k.bundle","digest":"` + bundleDigest + `","s3":{"endpoint":"https://minio.example.com","region":"us-east-1"},
			  "signature":{"policy":"Require","keysRef":{"kind":"ConfigMap","name":"keys"}}}`,
		},
		{
			"an OfflineManifest of which nothing else is said stays as it is",
			raw("OfflineManifest", "", map[string]any{"source": "file:///srv/k.bundle", "digest": bundleDigest}),
			`{"source":"file:///srv/k.bundle","digest":"` + bundleDigest + `"}`,
		},
		{
			"a ClusterOperation applies",
			raw("ClusterOperation", "default", map[string]any{"clusterRef": map[string]any{"name": "c"}, "type": "Install"}),
			`{"clusterRef":{"name":"c"},"type":"Install","mode":"Apply","approval":"NotRequired"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expect(t, env.Client.Create(t.Context(), tc.given))
			var want map[string]any
			if err := json.Unmarshal([]byte(tc.want), &want); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(tc.given.Object["spec"])
			if err != nil {
				t.Fatal(err)
			}
			var plain map[string]any
			if err := json.Unmarshal(got, &plain); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, plain); diff != "" {
				t.Errorf("the stored spec differs (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("what a typed client leaves empty gets the same defaults", func(t *testing.T) {
		c := cluster()
		expect(t, env.Client.Create(t.Context(), c))
		if c.Spec.Network.PodCIDR != "10.244.0.0/16" || c.Spec.ControlPlane.Endpoint.Type != v1alpha1.LocalProxyEndpoint ||
			c.Spec.DeletionPolicy != v1alpha1.OrphanOnDelete || c.Spec.Addons.MetricsServer == nil || !*c.Spec.Addons.MetricsServer {
			t.Errorf("defaults are missing: %+v", c.Spec)
		}
	})
	t.Run("metrics-server can be turned off", func(t *testing.T) {
		c := cluster()
		off := false
		c.Spec.Addons.MetricsServer = &off
		expect(t, env.Client.Create(t.Context(), c))
		if c.Spec.Addons.MetricsServer == nil || *c.Spec.Addons.MetricsServer {
			t.Errorf("metricsServer: false was not kept")
		}
	})
}

func testStatus(t *testing.T, env *testenv.Env) {
	t.Run("a Host's facts without a time are stored", func(t *testing.T) {
		h := host()
		expect(t, env.Client.Create(t.Context(), h))
		h.Status.Facts = &v1alpha1.HostFacts{Hostname: "node-1", CPUs: 2, CgroupVersion: "v2"}
		h.Status.HostKey = hostKey
		expect(t, env.Client.Status().Update(t.Context(), h))
		if h.Status.Facts == nil || h.Status.Facts.Hostname != "node-1" {
			t.Errorf("the facts came back as %+v", h.Status.Facts)
		}
	})
	t.Run("creating an object cannot set its status", func(t *testing.T) {
		c := cluster()
		c.Status.Initialized = true
		expect(t, env.Client.Create(t.Context(), c))
		if c.Status.Initialized {
			t.Errorf("status.initialized could be set at creation")
		}
	})
	t.Run("an operation's steps keep their order", func(t *testing.T) {
		o := operation()
		expect(t, env.Client.Create(t.Context(), o))
		o.Status.Phase = v1alpha1.OperationRunning
		o.Status.Steps = []v1alpha1.OperationStep{{ID: "z/first", State: v1alpha1.StepDone, Hosts: 4, Done: 4}, {ID: "a/second", State: v1alpha1.StepRunning}}
		expect(t, env.Client.Status().Update(t.Context(), o))
		if o.Status.Steps[0].ID != "z/first" {
			t.Errorf("the steps came back as %+v", o.Status.Steps)
		}
	})
	t.Run("more problems than the bound are refused", func(t *testing.T) {
		o := operation()
		expect(t, env.Client.Create(t.Context(), o))
		for _, n := range names("host", 51) {
			o.Status.Problems = append(o.Status.Problems, v1alpha1.HostProblem{Host: n, Step: "s", Reason: "R"})
		}
		expect(t, env.Client.Status().Update(t.Context(), o), "status.problems", "50")
	})
}

// testDiscovery asks for what `kubectl get` and `kubectl api-resources` ask for.
func testDiscovery(t *testing.T, env *testenv.Env) {
	http, err := rest.HTTPClientFor(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(env.Config)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = codecs(env)
	c, err := rest.RESTClientForConfigAndClient(config, http)
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Get().Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var resources metav1.APIResourceList
	if err := json.Unmarshal(body, &resources); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		kind, resource, short string
		namespaced            bool
		columns               []string
	}{
		{"Cluster", "clusters", "kwc", true, []string{"Name", "Desired", "Version", "Ready", "Reason", "InSync", "Nodes", "Endpoint", "Age"}},
		{"ClusterOperation", "clusteroperations", "kwop", true, []string{"Name", "Cluster", "Type", "Version", "Phase", "Attempt", "Message", "Age"}},
		{"Host", "hosts", "kwh", true, []string{"Name", "Address", "Cluster", "Role", "Reachable", "Quarantined", "Operation", "Step", "State", "Age"}},
		{"OfflineManifest", "offlinemanifests", "kwm", false, []string{"Name", "Versions", "Ready", "Reason", "Message", "Size", "Age"}},
	} {
		t.Run(tc.kind+" has its columns, short name, category and status subresource", func(t *testing.T) {
			var found *metav1.APIResource
			status := false
			for i, r := range resources.APIResources {
				if r.Name == tc.resource {
					found = &resources.APIResources[i]
				}
				status = status || r.Name == tc.resource+"/status"
			}
			if found == nil || !status {
				t.Fatalf("%s or its status is not served", tc.resource)
			}
			if diff := cmp.Diff([]string{tc.short}, found.ShortNames); diff != "" {
				t.Errorf("short names (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"kubewright"}, found.Categories); diff != "" {
				t.Errorf("categories (-want +got):\n%s", diff)
			}
			if found.Namespaced != tc.namespaced || found.Kind != tc.kind {
				t.Errorf("served as kind %s, namespaced %t", found.Kind, found.Namespaced)
			}
			body, err := c.Get().Resource(tc.resource).
				SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
			if err != nil {
				t.Fatal(err)
			}
			var table metav1.Table
			if err := json.Unmarshal(body, &table); err != nil {
				t.Fatal(err)
			}
			var columns []string
			for _, column := range table.ColumnDefinitions {
				columns = append(columns, column.Name)
			}
			if diff := cmp.Diff(tc.columns, columns); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		})
	}
}
