package desired_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/plan/plantest"
)

func raw(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }

// releases are those of a bundle with two versions.
func releases() plantest.Releases {
	older := plantest.Release()
	older.KubernetesVersion = "v1.35.4"
	return plantest.Releases{plantest.Release(), older}
}

// resolve makes the desired state of one control plane cp1 and the workers w1 and w2.
func resolve(change func(*v1alpha1.Cluster, map[string]v1alpha1.Host)) (*desired.Cluster, error) {
	spec, hosts := plantest.Spec(1, 2)
	if change != nil {
		change(spec, hosts)
	}
	return desired.New(spec, hosts, releases(), plantest.Authorities())
}

// laid is what a host has of overrides in the end.
type laid struct {
	Kubelet, Containerd, Kubeadm map[string]any
	Ignore                       []string
}

func overridesOf(t *testing.T, c *desired.Cluster, h desired.Host) laid {
	t.Helper()
	merge := func(overrides ...*runtime.RawExtension) map[string]any {
		merged, err := desired.Merge(map[string]any{}, "overrides", overrides...)
		if err != nil {
			t.Fatal(err)
		}
		return merged
	}
	return laid{merge(c.Kubelet, h.PoolKubelet), merge(h.Containerd...), merge(h.Kubeadm...), h.IgnorePreflightErrors}
}

func TestOverridesOfControlPlanesAndPoolsAreLaidOverThoseOfTheCluster(t *testing.T) {
	none := map[string]any{}
	for name, test := range map[string]struct {
		cluster, controlPlane, pool v1alpha1.NodeOverrides
		cp1, w1                     laid
	}{
		"nothing is overridden where nothing was given": {
			cp1: laid{none, none, none, []string{}}, w1: laid{none, none, none, []string{}},
		},
		"what the cluster says holds for all": {
			cluster: v1alpha1.NodeOverrides{
				Kubelet: raw(`{"maxPods":60}`), Containerd: raw(`{"debug":{"level":"debug"}}`), Kubeadm: raw(`{"timeouts":{"discovery":"9m"}}`),
				IgnorePreflightErrors: []string{"NumCPU"},
			},
			cp1: laid{map[string]any{"maxPods": 60.0}, map[string]any{"debug": map[string]any{"level": "debug"}}, map[string]any{"timeouts": map[string]any{"discovery": "9m"}}, []string{"NumCPU"}},
			w1:  laid{map[string]any{"maxPods": 60.0}, map[string]any{"debug": map[string]any{"level": "debug"}}, map[string]any{"timeouts": map[string]any{"discovery": "9m"}}, []string{"NumCPU"}},
		},
		"what control planes and pools say holds for their hosts alone": {
			controlPlane: v1alpha1.NodeOverrides{Kubelet: raw(`{"maxPods":30}`), IgnorePreflightErrors: []string{"Mem"}},
			pool:         v1alpha1.NodeOverrides{Containerd: raw(`{"oom_score":1}`), Kubeadm: raw(`{"nodeRegistration":{"imagePullSerial":false}}`)},
			cp1:          laid{map[string]any{"maxPods": 30.0}, none, none, []string{"Mem"}},
			w1:           laid{none, map[string]any{"oom_score": 1.0}, map[string]any{"nodeRegistration": map[string]any{"imagePullSerial": false}}, []string{}},
		},
		"they win field by field, null takes away, and lists are replaced": {
			cluster: v1alpha1.NodeOverrides{
				Kubelet:               raw(`{"maxPods":60,"featureGates":{"A":true,"B":true}}`),
				Containerd:            raw(`{"debug":{"level":"debug"},"oom_score":1}`),
				Kubeadm:               raw(`{"nodeRegistration":{"kubeletExtraArgs":[{"name":"v","value":"2"}],"imagePullSerial":true}}`),
				IgnorePreflightErrors: []string{"NumCPU"},
			},
			controlPlane: v1alpha1.NodeOverrides{Kubelet: raw(`{"featureGates":{"B":false}}`), Containerd: raw(`{"oom_score":2}`), IgnorePreflightErrors: []string{"Mem"}},
			pool:         v1alpha1.NodeOverrides{Kubelet: raw(`{"maxPods":null}`), Kubeadm: raw(`{"nodeRegistration":{"kubeletExtraArgs":[{"name":"v","value":"4"}]}}`)},
			cp1: laid{
				map[string]any{"maxPods": 60.0, "featureGates": map[string]any{"A": true, "B": false}},
				map[string]any{"debug": map[string]any{"level": "debug"}, "oom_score": 2.0},
				map[string]any{"nodeRegistration": map[string]any{"kubeletExtraArgs": []any{map[string]any{"name": "v", "value": "2"}}, "imagePullSerial": true}},
				[]string{"NumCPU", "Mem"},
			},
			w1: laid{
				map[string]any{"featureGates": map[string]any{"A": true, "B": true}},
				map[string]any{"debug": map[string]any{"level": "debug"}, "oom_score": 1.0},
				map[string]any{"nodeRegistration": map[string]any{"kubeletExtraArgs": []any{map[string]any{"name": "v", "value": "4"}}, "imagePullSerial": true}},
				[]string{"NumCPU"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := resolve(func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
				c.Spec.Overrides.NodeOverrides, c.Spec.ControlPlane.Overrides, c.Spec.Workers[0].Overrides = test.cluster, test.controlPlane, test.pool
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range map[int]laid{0: test.cp1, 1: test.w1, 2: test.w1} {
				if diff := cmp.Diff(want, overridesOf(t, c, c.Hosts[i])); diff != "" {
					t.Errorf("the overrides of %s differ (-want +got):\n%s", c.Hosts[i].Name, diff)
				}
			}
		})
	}
}

func TestWhatAHostIsFollowsFromItsPlaceInTheSpec(t *testing.T) {
	type host struct {
		Name, Address, Pool, Version string
		Role                         v1alpha1.HostRole
		Taints                       []corev1.Taint
		// FromBundle is false for a kubelet that the bundle does not hold.
		FromBundle bool
	}
	apart := []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
	gpu := []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	const now, older, gone = "v1.36.3", "v1.35.4", "v1.34.1"
	for name, test := range map[string]struct {
		change func(*v1alpha1.Cluster, map[string]v1alpha1.Host)
		want   []host
	}{
		"control planes come first and keep workloads away": {want: []host{
			{"cp1", "192.0.2.1", "", now, v1alpha1.ControlPlaneRole, apart, true},
			{"w1", "192.0.2.2", "default", now, v1alpha1.WorkerRole, nil, true},
			{"w2", "192.0.2.3", "default", now, v1alpha1.WorkerRole, nil, true},
		}},
		"a schedulable control plane has no taint, and a pool has its own": {
			change: func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
				c.Spec.ControlPlane.Schedulable = true
				c.Spec.Workers[0].Hosts, c.Spec.Workers[0].Taints = []string{"w2"}, gpu
			},
			want: []host{
				{"cp1", "192.0.2.1", "", now, v1alpha1.ControlPlaneRole, nil, true},
				{"w2", "192.0.2.3", "default", now, v1alpha1.WorkerRole, gpu, true},
			},
		},
		"an internal address wins over the one that SSH uses": {
			change: func(c *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) {
				c.Spec.Workers = nil
				hosts["cp1"] = v1alpha1.Host{Spec: v1alpha1.HostSpec{Address: "cp1.example.com", InternalAddress: "10.0.0.1"}}
			},
			want: []host{{"cp1", "10.0.0.1", "", now, v1alpha1.ControlPlaneRole, apart, true}},
		},
		"a pool lags behind with the kubelet of its version": {
			change: func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
				c.Spec.ControlPlane.Hosts, c.Spec.Workers[0].Hosts, c.Spec.Workers[0].Version = nil, []string{"w1"}, older
			},
			want: []host{{"w1", "192.0.2.2", "default", older, v1alpha1.WorkerRole, nil, true}},
		},
		"a kubelet that the bundle does not hold stays where it is": {
			change: func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
				c.Spec.ControlPlane.Hosts, c.Spec.Workers[0].Hosts, c.Spec.Workers[0].Version = nil, []string{"w1"}, gone
			},
			want: []host{{"w1", "192.0.2.2", "default", gone, v1alpha1.WorkerRole, nil, false}},
		},
		"a pool that names the version of a later hop runs the cluster's for now": {
			change: func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
				c.Spec.Version = older
				c.Spec.ControlPlane.Hosts, c.Spec.Workers[0].Hosts, c.Spec.Workers[0].Version = nil, []string{"w1"}, now
			},
			want: []host{{"w1", "192.0.2.2", "default", older, v1alpha1.WorkerRole, nil, true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := resolve(test.change)
			if err != nil {
				t.Fatal(err)
			}
			var got []host
			for _, h := range c.Hosts {
				if h.Kubelet != nil && h.Kubelet.KubernetesVersion != h.KubeletVersion {
					t.Errorf("%s has the kubelet of %s, not of %s", h.Name, h.Kubelet.KubernetesVersion, h.KubeletVersion)
				}
				got = append(got, host{h.Name, h.Address, h.Pool, h.KubeletVersion, h.Role, h.Taints, h.Kubelet != nil})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the hosts differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatWasLeftOutHasItsDefault(t *testing.T) {
	no := false
	for name, test := range map[string]struct {
		change           func(*v1alpha1.Cluster, map[string]v1alpha1.Host)
		endpoint, public string
		metrics          bool
	}{
		"a local proxy and metrics-server": {nil, "127.0.0.1:7443", "https://192.0.2.1:6443", true},
		"another port of the local proxy": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.ControlPlane.Endpoint.Port = 8443
		}, "127.0.0.1:8443", "https://192.0.2.1:6443", true},
		"an external endpoint has the API server's port": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.ControlPlane.Endpoint = v1alpha1.ControlPlaneEndpoint{Type: v1alpha1.ExternalEndpoint, Host: "api.example.com"}
		}, "api.example.com:6443", "https://api.example.com:6443", true},
		"metrics-server turned off": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.Addons.MetricsServer = &no
		}, "127.0.0.1:7443", "https://192.0.2.1:6443", false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := resolve(test.change)
			if err != nil {
				t.Fatal(err)
			}
			if c.Endpoint.String() != test.endpoint || c.PublicEndpoint() != test.public || c.MetricsServer != test.metrics {
				t.Errorf("nodes use %s, people %s, metrics-server %t", c.Endpoint, c.PublicEndpoint(), c.MetricsServer)
			}
		})
	}
}

func TestADataDirectoryOfAHostWinsOverItsPoolAndThatOverTheCluster(t *testing.T) {
	c, err := resolve(func(c *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) {
		c.Spec.DataDirectories = v1alpha1.DataDirectories{Etcd: "/cluster/etcd", Containerd: "/cluster/containerd", Kubelet: "/cluster/kubelet"}
		c.Spec.ControlPlane.DataDirectories.Etcd = "/fast/etcd"
		c.Spec.Workers[0].DataDirectories.Containerd = "/pool/containerd"
		w2 := hosts["w2"]
		w2.Spec.DataDirectories = v1alpha1.DataDirectories{Containerd: "/own/containerd", Kubelet: desired.KubeletPlace}
		hosts["w2"] = w2
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]desired.DataDirectory{
		{{Place: "/var/lib/etcd", Path: "/fast/etcd", Field: "etcd"}, {Place: "/var/lib/containerd", Path: "/cluster/containerd", Field: "containerd"}, {Place: "/var/lib/kubelet", Path: "/cluster/kubelet", Field: "kubelet"}},
		{{Place: "/var/lib/containerd", Path: "/pool/containerd", Field: "containerd"}, {Place: "/var/lib/kubelet", Path: "/cluster/kubelet", Field: "kubelet"}},
		{{Place: "/var/lib/containerd", Path: "/own/containerd", Field: "containerd"}},
	} {
		if diff := cmp.Diff(want, c.Hosts[i].DataDirectories); diff != "" {
			t.Errorf("the data of %s (-want +got):\n%s", c.Hosts[i].Name, diff)
		}
	}
}

// notVerified is why kubelets cannot have other certificates.
const notVerified = "cannot be overridden while API servers verify kubelets by the cluster's authority: remove it, or name the authority of your certificates in kubelet-certificate-authority of spec.overrides.kubeadm.apiServer.extraArgs"

func TestWhatCannotBeUsedIsRefusedByItsField(t *testing.T) {
	overrides := func(cluster, controlPlane, pool string) func(*v1alpha1.Cluster, map[string]v1alpha1.Host) {
		return func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.Overrides.Kubeadm, c.Spec.ControlPlane.Overrides.Kubeadm, c.Spec.Workers[0].Overrides.Kubeadm = raw(cluster), raw(controlPlane), raw(pool)
		}
	}
	for name, test := range map[string]struct {
		change         func(*v1alpha1.Cluster, map[string]v1alpha1.Host)
		field, problem string
	}{
		"a control plane without Host": {func(_ *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) { delete(hosts, "cp1") },
			"spec.controlPlane.hosts[0]", `there is no Host "cp1" in the cluster's namespace; create it or correct the name`},
		"a worker without Host": {func(_ *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) { delete(hosts, "w2") },
			"spec.workers[0].hosts[1]", `there is no Host "w2" in the cluster's namespace; create it or correct the name`},
		"a Host at a DNS name without internal address": {func(_ *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) {
			hosts["w1"] = v1alpha1.Host{Spec: v1alpha1.HostSpec{Address: "w1.example.com"}}
		}, "spec.workers[0].hosts[0]", `Host "w1" is reached at "w1.example.com", which is not an IP address: set its spec.internalAddress to the IP address its node shall use`},
		"a node with an IPv6 address": {func(_ *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) {
			hosts["w1"] = v1alpha1.Host{Spec: v1alpha1.HostSpec{Address: "192.0.2.9", InternalAddress: "fd00::9"}}
		}, "spec.workers[0].hosts[0]", `Host "w1" would have the node address fd00::9, and nodes with IPv6 addresses cannot be set up yet: set its spec.internalAddress to an IPv4 address of the host`},
		"IPv6 ranges of an older object": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.Network.PodCIDR = "fd00:1::/48"
		}, "spec.network.podCIDR", "fd00:1::/48 is an IPv6 range, which Kubewright cannot set up yet: use an IPv4 range"},
		"an override that is no object": {overrides(`["not","an","object"]`, "", ""),
			"spec.overrides.kubeadm", "must be an object: json: cannot unmarshal array into Go value of type map[string]interface {}"},
		"a registration that is no object": {overrides("", "", `{"nodeRegistration":null}`),
			"spec.workers[0].overrides.kubeadm.nodeRegistration", "must be an object"},
		"another name of a node": {overrides(`{"nodeRegistration":{"name":"n"}}`, "", ""),
			"spec.overrides.kubeadm.nodeRegistration.name", "is always the name of the Host: remove it"},
		"another container runtime": {overrides("", `{"nodeRegistration":{"criSocket":"unix:///run/crio.sock"}}`, ""),
			"spec.controlPlane.overrides.kubeadm.nodeRegistration.criSocket", "is always that of the bundle's containerd: remove it"},
		"taints at a second place": {overrides("", "", `{"nodeRegistration":{"taints":[]}}`),
			"spec.workers[0].overrides.kubeadm.nodeRegistration.taints", "has fields of its own: use taints of the pool, or schedulable of the control plane"},
		"ignored checks at a second place": {overrides("", "", `{"nodeRegistration":{"ignorePreflightErrors":["all"]}}`),
			"spec.workers[0].overrides.kubeadm.nodeRegistration.ignorePreflightErrors", "has a field of its own: use ignorePreflightErrors of the overrides"},
		"what the cluster shares, for a pool": {overrides(`{"apiServer":{}}`, "", `{"timeouts":{},"apiServer":{}}`),
			"spec.workers[0].overrides.kubeadm.apiServer", "cannot differ between nodes, only nodeRegistration and timeouts can: move it to spec.overrides.kubeadm if it belongs to ClusterConfiguration, or remove it"},
		"etcd's data directory in an override": {overrides(`{"etcd":{"local":{"dataDir":"/data/etcd"}}}`, "", ""),
			"spec.overrides.kubeadm.etcd.local.dataDir", "cannot be overridden: use controlPlane.dataDirectories.etcd, or dataDirectories.etcd of a Host"},
		"a range of addresses in an override": {overrides(`{"networking":{"podSubnet":"10.0.0.0/8"}}`, "", ""),
			"spec.overrides.kubeadm.networking.podSubnet", "cannot be overridden: use spec.network.podCIDR"},
		"no anonymous requests at all": {overrides(`{"apiServer":{"extraArgs":[{"name":"v","value":"2"},{"name":"anonymous-auth","value":"F"}]}}`, "", ""),
			"spec.overrides.kubeadm.apiServer.extraArgs[1]", "anonymous-auth cannot be false, because kubelet's probes and the nodes' proxies ask /livez and /readyz without credentials: use authentication-config with a file whose anonymous.conditions allow /livez, /readyz and /healthz alone (docs/cluster.md, Anonymous requests)"},
		"the kubelet's root directory as a flag": {overrides("", "", `{"nodeRegistration":{"kubeletExtraArgs":[{"name":"v","value":"2"},{"name":"root-dir","value":"/data"}]}}`),
			"spec.workers[0].overrides.kubeadm.nodeRegistration.kubeletExtraArgs[1]", "flag root-dir cannot be given: use dataDirectories.kubelet of the cluster, the control plane, the pool or the Host"},
		"a kubelet's certificate as a flag": {overrides("", `{"nodeRegistration":{"kubeletExtraArgs":[{"name":"tls-cert-file","value":"/x"}]}}`, ""),
			"spec.controlPlane.overrides.kubeadm.nodeRegistration.kubeletExtraArgs[0]", "flag tls-cert-file cannot be given: use tlsCertFile, tlsPrivateKeyFile and serverTLSBootstrap of overrides.kubelet"},
		"a node address that kubelet would find itself": {overrides("", "", `{"nodeRegistration":{"kubeletExtraArgs":[{"name":"node-ip","value":"0.0.0.0"}]}}`),
			"spec.workers[0].overrides.kubeadm.nodeRegistration.kubeletExtraArgs[0]", `flag node-ip is "0.0.0.0", which is no address: API servers verify that a kubelet's certificate names the address that its node has`},
		"kubelets that do not renew their certificate": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.Overrides.Kubelet = raw(`{"serverTLSBootstrap":false}`)
		}, "spec.overrides.kubelet.serverTLSBootstrap", notVerified},
		"kubelets of a pool with certificates of somebody's own": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.Workers[0].Overrides.Kubelet = raw(`{"serverTLSBootstrap":true,"tlsCertFile":"/site/kubelet.crt"}`)
		}, "spec.workers[0].overrides.kubelet.tlsCertFile", notVerified},
		"containerd's root in an override": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.Workers[0].Overrides.Containerd = raw(`{"root":"/data/containerd"}`)
		}, "spec.workers[0].overrides.containerd.root", "cannot be overridden: use dataDirectories.containerd of the cluster, the control plane, the pool or the Host"},
		"containerd's state in an override": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.Overrides.Containerd = raw(`{"state":"/data/run"}`)
		}, "spec.overrides.containerd.state", "cannot be overridden: it is always /run/containerd: remove it"},
		"where static pods are, in an override": {func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
			c.Spec.ControlPlane.Overrides.Kubelet = raw(`{"staticPodPath":"/data/manifests"}`)
		}, "spec.controlPlane.overrides.kubelet.staticPodPath", "cannot be overridden: kubeadm writes static pods into /etc/kubernetes/manifests: remove it"},
		"one data directory within another": {func(c *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) {
			c.Spec.DataDirectories.Containerd = "/data"
			w2 := hosts["w2"]
			w2.Spec.DataDirectories.Kubelet = "/data/kubelet"
			hosts["w2"] = w2
		}, "spec.workers[0].hosts[1]", "dataDirectories puts containerd at /data and kubelet at /data/kubelet: each needs a directory of its own, apart from the others"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resolve(test.change)
			refused, ok := errors.AsType[*desired.SpecError](err)
			if !ok {
				t.Fatalf("got %v, want a *SpecError", err)
			}
			if diff := cmp.Diff(&desired.SpecError{Field: test.field, Problem: test.problem}, refused); diff != "" {
				t.Errorf("it was refused otherwise (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a version that the bundle does not hold, with those it holds", func(t *testing.T) {
		_, err := resolve(func(c *v1alpha1.Cluster, _ map[string]v1alpha1.Host) { c.Spec.Version = "v1.37.0" })
		missing, ok := errors.AsType[*bundle.VersionNotFoundError](err)
		if !ok || missing.Version != "v1.37.0" || len(missing.Available) != 2 {
			t.Errorf("got %v", err)
		}
	})
}

func TestPeopleUseTheServerThatTheSpecNamesAndItsHostIsInTheCertificate(t *testing.T) {
	for name, c := range map[string]struct {
		given v1alpha1.ControlPlane
		want  []string
	}{
		"none named":                     {v1alpha1.ControlPlane{CertSANs: []string{"a.example.com"}}, []string{"a.example.com"}},
		"none at all":                    {v1alpha1.ControlPlane{}, nil},
		"a name":                         {v1alpha1.ControlPlane{KubeconfigServer: "https://api.example.com:6443"}, []string{"api.example.com"}},
		"a name that is there already":   {v1alpha1.ControlPlane{KubeconfigServer: "https://a.example.com", CertSANs: []string{"a.example.com"}}, []string{"a.example.com"}},
		"an address beside others":       {v1alpha1.ControlPlane{KubeconfigServer: "https://192.0.2.9:443", CertSANs: []string{"a.example.com"}}, []string{"a.example.com", "192.0.2.9"}},
		"an address of IPv6 in brackets": {v1alpha1.ControlPlane{KubeconfigServer: "https://[2001:db8::9]:6443"}, []string{"2001:db8::9"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resolve(func(cluster *v1alpha1.Cluster, _ map[string]v1alpha1.Host) {
				cluster.Spec.ControlPlane.KubeconfigServer, cluster.Spec.ControlPlane.CertSANs = c.given.KubeconfigServer, c.given.CertSANs
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.CertSANs, c.want) {
				t.Errorf("the names are %q, want %q", got.CertSANs, c.want)
			}
			if want := c.given.KubeconfigServer; want != "" && got.PublicEndpoint() != want {
				t.Errorf("people use %s, want %s", got.PublicEndpoint(), want)
			}
		})
	}
}
