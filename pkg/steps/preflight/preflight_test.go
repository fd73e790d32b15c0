package preflight

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
)

func goodFacts(machineID, address string) *hostapi.Facts {
	return &hostapi.Facts{
		MachineID: machineID, Platform: "linux/amd64", CPUs: 2, MemoryBytes: 4 << 30, Cgroup: "v2", SystemdVersion: 252,
		Interfaces:  []hostapi.Interface{{Name: "eth0", Addresses: []string{address + "/24"}}},
		Disks:       []hostapi.Disk{{Path: "/var/lib", FreeBytes: 10 << 30}, {Path: "/var/lib/containerd", FreeBytes: 10 << 30}},
		Features:    hostapi.KernelFeatures{Overlay: true, NFTables: true, Conntrack: true, VXLAN: true},
		Nameservers: []string{"192.0.2.53"},
		Programs:    []hostapi.Program{{Name: "cp", Path: "/usr/bin/cp"}, {Name: "losetup", Path: "/usr/sbin/losetup"}, {Name: "mount", Path: "/usr/bin/mount"}},
	}
}

// kernelWithout is the configuration of a kernel that has everything but these options.
func kernelWithout(names ...string) map[string]string {
	config := map[string]string{}
	for _, option := range slices.Concat(kernelOptions, kernelOptionsV1, kernelOptionsV2) {
		for _, name := range strings.Split(option, "|") {
			config[name] = "m"
		}
	}
	for _, name := range names {
		config[name] = "n"
	}
	return config
}

// withWorker adds the worker w1, which is well.
func withWorker(c *desired.Cluster) { withWorkerAt("192.0.2.2")(c) }

func withWorkerAt(address string) func(*desired.Cluster) {
	return func(c *desired.Cluster) {
		c.Hosts = append(c.Hosts, desired.Host{Name: "w1", Address: address, Role: v1alpha1.WorkerRole, KubeletVersion: "v1.36.3"})
	}
}

// network gives the cluster its ranges.
func network(pods, services string) func(*desired.Cluster) {
	return func(c *desired.Cluster) { c.Network.PodCIDR, c.Network.ServiceCIDR = pods, services }
}

// upstreams names servers for names outside the cluster.
func upstreams(c *desired.Cluster) {
	c.Network.DNS = &v1alpha1.ClusterDNS{Upstreams: []string{"192.0.2.54"}}
}

// forwardingOff has a line of a file turn forwarding off, after one that turns it on.
func forwardingOff(file string) func(*hostapi.Facts) {
	return func(f *hostapi.Facts) {
		f.Sysctls = []hostapi.SysctlFact{{Key: "net.ipv4.ip_forward", Value: "1", Settings: []hostapi.SysctlSetting{
			{File: "/etc/sysctl.d/10-router.conf", Line: 1, Value: "1"}, {File: file, Line: 28, Value: "0"},
		}}}
	}
}

// ownNameserver makes a host ask itself.
func ownNameserver(f *hostapi.Facts) {
	f.Nameservers, f.Listening = []string{"127.0.0.1"}, []hostapi.Listening{{Address: "127.0.0.1", Port: 53, Process: "dnsmasq"}}
}

// kubelet overrides kubelet's configuration.
func kubelet(override string) func(*desired.Cluster) {
	return func(c *desired.Cluster) { c.Kubelet = &runtime.RawExtension{Raw: []byte(override)} }
}

// kubeletVersion gives the control plane a kubelet.
func kubeletVersion(version string) func(*desired.Cluster) {
	return func(c *desired.Cluster) { c.Hosts[0].KubeletVersion = version }
}

func both(a, b func(*desired.Cluster)) func(*desired.Cluster) {
	return func(c *desired.Cluster) { a(c); b(c) }
}

func initialised(c *desired.Cluster) { c.Initialized = true }

func TestHostsAreJudgedByTheirFacts(t *testing.T) {
	authorities, err := pki.NewAuthorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := authorities.Cluster.PublicKeyHash()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		// change makes the control plane's facts bad.
		change func(*hostapi.Facts)
		// want makes the cluster another one; nil leaves it as it is.
		want   func(*desired.Cluster)
		ignore []string
		data   []desired.DataDirectory
		// stop names the checks that stop the operation, says a text of the first.
		stop []string
		says string
		// notes is a text of what is told although nothing stops; "" when nothing is.
		notes string
	}{
		"a fresh machine of the bundle's platform may": {change: func(*hostapi.Facts) {}},
		"a machine without systemd may not": {
			change: func(f *hostapi.Facts) { f.SystemdVersion = 0 }, ignore: []string{"Systemd"}, stop: []string{"Systemd"}, says: "systemd does not run the host",
		},
		"a machine of another platform may not": {
			change: func(f *hostapi.Facts) { f.Platform = "linux/arm64" },
			stop:   []string{"PlatformNotInBundle"}, says: "the host is linux/arm64, the bundle holds v1.36.3 linux/amd64 only",
		},
		"another platform cannot be ignored": {
			change: func(f *hostapi.Facts) { f.Platform = "linux/arm64" }, ignore: []string{"PlatformNotInBundle"},
			stop: []string{"PlatformNotInBundle"},
		},
		"a machine on which a file that is read after ours turns forwarding off may not": {
			change: forwardingOff("/etc/sysctl.conf"), stop: []string{"KernelParameters"},
			says: "/etc/sysctl.conf:28 sets net.ipv4.ip_forward = 0 (nodes need 1), which is read after /etc/sysctl.d/zzz-kubewright.conf and so wins at boot or with `sysctl --system`; remove the line",
		},
		"a file in another directory whose name sorts after ours wins as well": {
			change: forwardingOff("/usr/lib/sysctl.d/zzzz.conf"), stop: []string{"KernelParameters"}, says: "/usr/lib/sysctl.d/zzzz.conf:28 sets",
		},
		"that can be accepted":                            {change: forwardingOff("/etc/sysctl.conf"), ignore: []string{"KernelParameters"}},
		"a file that is read before ours does not matter": {change: forwardingOff("/etc/sysctl.d/zz-theirs.conf")},
		"a node that runs is told what would turn forwarding off": {
			change: func(f *hostapi.Facts) {
				f.Owner = &hostapi.Owner{ClusterName: "demo", ClusterUID: "1"}
				forwardingOff("/etc/sysctl.conf")(f)
			},
			notes: "/etc/sysctl.conf:28 sets net.ipv4.ip_forward = 0",
		},
		"a low limit that wins over ours is told": {
			change: func(f *hostapi.Facts) {
				f.Sysctls = []hostapi.SysctlFact{{Key: "fs.inotify.max_user_instances", Value: "128", Settings: []hostapi.SysctlSetting{{File: "/etc/sysctl.conf", Line: 3, Value: "256"}}}}
			},
			notes: "/etc/sysctl.conf:3 sets fs.inotify.max_user_instances = 256 (nodes should have 8192 or more)",
		},
		"a machine on which the link at a data directory leads nowhere may not": {
			change: func(f *hostapi.Facts) {
				f.DanglingLinks = []hostapi.DanglingLink{{Path: "/var/lib/etcd", Target: "/data/etcd"}}
			},
			ignore: []string{"DanglingLink"}, stop: []string{"DanglingLink"},
			says: "/var/lib/etcd is a link to /data/etcd, which is not there: mount what holds that directory, make it, or remove the link",
		},
		"cgroup v1 without the override may not": {
			change: func(f *hostapi.Facts) { f.Cgroup = "v1" },
			stop:   []string{"CgroupV1"}, says: "cgroup v1, which kubelet v1.36.3 refuses; boot it with cgroup v2, or set failCgroupV1: false in overrides.kubelet",
		},
		"cgroup v1 with the override may": {
			change: func(f *hostapi.Facts) { f.Cgroup = "v1" }, want: kubelet(`{"failCgroupV1": false}`),
		},
		"cgroup v1 may not with the first kubelet that refuses it": {
			change: func(f *hostapi.Facts) { f.Cgroup = "v1" }, want: kubeletVersion("v1.35.0"), stop: []string{"CgroupV1"}, says: "kubelet v1.35.0",
		},
		"cgroup v1 may with a kubelet that does not refuse it yet": {
			change: func(f *hostapi.Facts) { f.Cgroup = "v1" }, want: kubeletVersion("v1.34.9"),
		},
		"cgroup v1 may not with an old kubelet that is told to refuse it": {
			change: func(f *hostapi.Facts) { f.Cgroup = "v1" }, want: both(kubeletVersion("v1.34.9"), kubelet(`{"failCgroupV1": true}`)), stop: []string{"CgroupV1"}, says: "kubelet v1.34.9",
		},
		"a cluster that has lost its data may not begin anew": {
			change: func(*hostapi.Facts) {}, want: initialised, stop: []string{"ClusterDataLost"}, says: "restore a snapshot",
		},
		"lost data cannot be ignored": {
			change: func(*hostapi.Facts) {}, want: initialised, ignore: []string{"ClusterDataLost"}, stop: []string{"ClusterDataLost"},
		},
		"a cluster that still has its data may go on": {
			change: func(f *hostapi.Facts) {
				f.Owner = &hostapi.Owner{ClusterName: "demo", ClusterUID: "1"}
				f.Paths = []hostapi.PathFact{{Path: "/var/lib/etcd/member", Owned: true}}
			}, want: initialised,
		},
		"without root rights nothing may": {
			change: func(f *hostapi.Facts) { f.UID = 1000 }, stop: []string{"NotRoot"}, says: "runs as uid 1000; log in as root or set spec.sudo",
		},
		"missing root rights cannot be ignored": {
			change: func(f *hostapi.Facts) { f.UID = 1000 }, ignore: []string{"NotRoot"}, stop: []string{"NotRoot"},
		},
		"an address that no interface has may not": {
			change: func(f *hostapi.Facts) { f.Interfaces[0].Addresses = []string{"192.0.2.11/24", "not an address"} },
			stop:   []string{"AddressNotOnHost"}, says: "no interface of the host has the address 192.0.2.1;",
		},
		"swap may not": {
			change: func(f *hostapi.Facts) { f.SwapBytes = 1 << 30 }, stop: []string{"Swap"}, says: "swapoff -a",
		},
		"swap that kubelet is told to bear may": {
			change: func(f *hostapi.Facts) { f.SwapBytes = 1 << 30 }, want: kubelet(`{"failSwapOn": false}`),
		},
		"a control plane with too little memory may not": {
			change: func(f *hostapi.Facts) { f.MemoryBytes = 1700<<20 - 1 }, stop: []string{"Memory"}, says: "1699 MiB of memory, a control plane needs 1700 MiB",
		},
		"a control plane with just enough memory may": {change: func(f *hostapi.Facts) { f.MemoryBytes = 1700 << 20 }},
		"a control plane with one CPU may not": {
			change: func(f *hostapi.Facts) { f.CPUs = 1 }, stop: []string{"CPUs"}, says: "has 1 CPU, a control plane needs 2",
		},
		"a small worker may": {
			change: func(f *hostapi.Facts) { f.CPUs, f.MemoryBytes = 1, 1<<30 }, want: func(c *desired.Cluster) { c.Hosts[0].Role = v1alpha1.WorkerRole },
		},
		"a kernel that lacks what is needed and has no modules may not": {
			change: func(f *hostapi.Facts) {
				f.Kernel, f.Features = "6.1.0", hostapi.KernelFeatures{Overlay: true, VXLAN: true}
			},
			stop: []string{"KernelFeatures"}, says: "the kernel 6.1.0 lacks nf_tables, nf_conntrack and has no modules to load",
		},
		"a kernel that can load what is needed may": {
			change: func(f *hostapi.Facts) { f.Features = hostapi.KernelFeatures{ModulesDir: true} },
		},
		"a kernel without vxlan may not where flannel uses it": {
			change: func(f *hostapi.Facts) { f.Features.VXLAN = false },
			want: func(c *desired.Cluster) {
				c.Network.CNI.Type, c.Network.CNI.FlannelBackend = v1alpha1.FlannelCNI, "vxlan"
			},
			stop: []string{"KernelFeatures"}, says: "lacks vxlan",
		},
		"a kernel without vxlan may where nothing uses it": {change: func(f *hostapi.Facts) { f.Features.VXLAN = false }},
		"a disk that is mounted read-only may not": {
			change: func(f *hostapi.Facts) { f.Disks[0].ReadOnly = true }, stop: []string{"DiskReadOnly"}, says: "/var/lib is on a file system mounted read-only",
		},
		"a disk that is mounted read-only cannot be ignored": {
			change: func(f *hostapi.Facts) { f.Disks[0].ReadOnly = true }, ignore: []string{"DiskReadOnly"}, stop: []string{"DiskReadOnly"},
		},
		"a pod range over the host's own network may not": {
			change: func(*hostapi.Facts) {}, want: network("192.0.0.0/16", "10.96.0.0/16"),
			stop: []string{"NetworkOverlap"}, says: "spec.network.podCIDR 192.0.0.0/16 overlaps 192.0.2.1/24 of eth0, the name server 192.0.2.53; choose a range that nothing else uses",
		},
		"a Service range over another node may not": {
			change: func(f *hostapi.Facts) { f.Nameservers = []string{"203.0.113.53"} }, want: both(withWorkerAt("10.96.7.7"), network("10.244.0.0/16", "10.96.0.0/16")),
			stop: []string{"NetworkOverlap"}, says: "spec.network.serviceCIDR 10.96.0.0/16 overlaps the node w1 at 10.96.7.7",
		},
		"a pod range over a network of a second interface may not": {
			change: func(f *hostapi.Facts) {
				f.Interfaces = append(f.Interfaces, hostapi.Interface{Name: "docker0", Addresses: []string{"10.244.9.1/24"}})
				f.Routes = []hostapi.Route{{Network: "10.244.9.0/24", Interface: "docker0"}}
			}, want: network("10.244.0.0/16", "10.96.0.0/16"), stop: []string{"NetworkOverlap"}, says: "overlaps 10.244.9.1/24 of docker0; choose",
		},
		"a pod range over a network behind a route may not": {
			change: func(f *hostapi.Facts) {
				f.Routes = []hostapi.Route{{Network: "10.244.128.0/17", Interface: "eth0", Gateway: true}}
			},
			want: network("10.244.0.0/16", "10.96.0.0/16"), stop: []string{"NetworkOverlap"}, says: "overlaps the route to 10.244.128.0/17 over eth0",
		},
		"a pod range within all that is routed somewhere may": {
			change: func(f *hostapi.Facts) {
				f.Routes = []hostapi.Route{{Network: "10.0.0.0/8", Interface: "eth0", Gateway: true}}
			}, want: network("10.244.0.0/16", "10.96.0.0/16"),
		},
		"pods' own addresses on a running node may": {
			change: func(f *hostapi.Facts) {
				f.Owner = &hostapi.Owner{ClusterName: "demo", ClusterUID: "1"}
				f.Interfaces = append(f.Interfaces, hostapi.Interface{Name: "cni0", Addresses: []string{"10.244.0.1/24"}})
			}, want: network("10.244.0.0/16", "10.96.0.0/16"),
		},
		"an endpoint whose name the host does not know may not": {
			change: func(f *hostapi.Facts) { f.EndpointProblem = "lookup api.example.com: no such host" },
			want:   func(c *desired.Cluster) { c.Endpoint.Host = "api.example.com" },
			stop:   []string{"EndpointName"}, says: "the host cannot resolve api.example.com, the name in spec.controlPlane.endpoint.host: lookup api.example.com: no such host; add it",
		},
		"an endpoint whose name a running node does not know now is told": {
			change: func(f *hostapi.Facts) {
				f.Owner, f.EndpointProblem = &hostapi.Owner{ClusterName: "demo", ClusterUID: "1"}, "no such host"
			}, notes: "EndpointName: the host cannot resolve",
		},
		"rules of the older iptables are told": {
			change: func(f *hostapi.Facts) { f.LegacyFirewall = true }, notes: "Firewall: iptables-legacy filters packets on the host",
		},
		"a kernel built without what kubeadm asks for may not": {
			change: func(f *hostapi.Facts) {
				f.Kernel, f.KernelConfig = "6.1.0", kernelWithout("EXT4_FS", "IP_NF_TARGET_REDIRECT", "NETFILTER_XT_TARGET_REDIRECT")
			}, stop: []string{"KernelConfig"}, says: "the kernel 6.1.0 was built without CONFIG_EXT4_FS, CONFIG_NETFILTER_XT_TARGET_REDIRECT or CONFIG_IP_NF_TARGET_REDIRECT;",
		},
		"a kernel built without it may under kubeadm's name of the check": {
			change: func(f *hostapi.Facts) { f.KernelConfig = kernelWithout("EXT4_FS") }, ignore: []string{"SystemVerification"},
		},
		"a kernel with either name of an option may":               {change: func(f *hostapi.Facts) { f.KernelConfig = kernelWithout("IP_NF_TARGET_REDIRECT") }},
		"what only cgroup v1 needs may be left out with version 2": {change: func(f *hostapi.Facts) { f.KernelConfig = kernelWithout("CGROUP_FREEZER") }},
		"what cgroup v1 needs may not be left out with it": {
			change: func(f *hostapi.Facts) { f.Cgroup, f.KernelConfig = "v1", kernelWithout("CGROUP_FREEZER") }, want: kubelet(`{"failCgroupV1": false}`),
			stop: []string{"KernelConfig"}, says: "CONFIG_CGROUP_FREEZER",
		},
		"a host without the memory controller may not": {
			change: func(f *hostapi.Facts) { f.CgroupControllers = []string{"cpu", "cpuset", "devices", "freezer", "pids"} },
			stop:   []string{"CgroupControllers"}, says: "the cgroup controllers memory are off",
		},
		"a host with all controllers of cgroup v1 may": {
			change: func(f *hostapi.Facts) {
				f.Cgroup, f.CgroupControllers = "v1", []string{"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"}
			}, want: kubelet(`{"failCgroupV1": false}`),
		},
		"a host whose helper is of an earlier release, which does not look for programs, may": {
			change: func(f *hostapi.Facts) { f.Programs = nil },
		},
		"a host without losetup may not": {
			change: func(f *hostapi.Facts) { f.Programs = f.Programs[:1] }, stop: []string{"Programs"}, says: "the host lacks losetup, mount, which kubelet and kubeadm run",
		},
		"few CPUs may under kubeadm's name of the check":                   {change: func(f *hostapi.Facts) { f.CPUs = 1 }, ignore: []string{"NumCPU"}},
		"few CPUs may under Kubewright's name of the check":                {change: func(f *hostapi.Facts) { f.CPUs = 1 }, ignore: []string{"CPUs"}},
		"little memory may under kubeadm's name of the check, in any case": {change: func(f *hostapi.Facts) { f.MemoryBytes = 1 << 30 }, ignore: []string{"mem"}},
		"leftovers may under kubeadm's name of the check": {
			change: func(f *hostapi.Facts) { f.Paths = []hostapi.PathFact{{Path: "/var/lib/etcd"}} }, ignore: []string{"DirAvailable--var-lib-etcd"},
		},
		"everything that can be accepted may with kubeadm's word for all": {
			change: func(f *hostapi.Facts) { f.CPUs, f.SwapBytes, f.Listening = 1, 1, []hostapi.Listening{{Port: 6443}} }, ignore: []string{"all"},
		},
		"a nameserver on the host's loopback may not": {
			change: ownNameserver, stop: []string{"LoopbackNameserver"}, says: "/etc/resolv.conf names 127.0.0.1, which inside a pod is the pod itself; name servers that pods can reach in spec.network.dns.upstreams",
		},
		"a nameserver on the loopback of IPv6 may not": {
			change: func(f *hostapi.Facts) {
				f.Nameservers, f.Listening = []string{"::1"}, []hostapi.Listening{{Address: "::", Port: 53}}
			}, stop: []string{"LoopbackNameserver"}, says: "names ::1",
		},
		"a nameserver on the loopback that is gone may not beside one that is there": {
			change: func(f *hostapi.Facts) { f.Nameservers = []string{"192.0.2.53", "127.0.0.1"} }, stop: []string{"LoopbackNameserver"}, says: "names 127.0.0.1",
		},
		"a nameserver on the host's loopback may where the spec names others": {change: ownNameserver, want: upstreams},
		"a nameserver on the host's loopback may where kubelet reads another file": {
			change: ownNameserver, want: kubelet(`{"resolvConf": "/etc/resolv.kubelet"}`),
		},
		"the stub of systemd-resolved may": {change: func(f *hostapi.Facts) {
			f.Nameservers, f.Resolved, f.ResolvedNameservers = []string{"127.0.0.53"}, true, []string{"192.0.2.53"}
		}},
		"the stub of systemd-resolved without it may where no host has a name server, and is told": {
			change: func(f *hostapi.Facts) { f.Nameservers = []string{"127.0.0.53"} },
			notes:  "Nameservers: /etc/resolv.conf names 127.0.0.53, where nothing answers: cluster DNS answers names inside the cluster only; name servers for other names in spec.network.dns.upstreams",
		},
		"an empty resolv.conf may where no host has a name server, and is told": {
			change: func(f *hostapi.Facts) { f.Nameservers = nil }, notes: "Nameservers: /etc/resolv.conf names no server: cluster DNS answers names inside the cluster only",
		},
		"a missing resolv.conf may where no host has a name server, and is told": {
			change: func(f *hostapi.Facts) { f.Nameservers, f.ResolvConfMissing = nil, true },
			notes:  "Nameservers: /etc/resolv.conf is missing, or a link that leads nowhere: cluster DNS answers",
		},
		"systemd-resolved that knows no server may where no host has one, and is told": {
			change: func(f *hostapi.Facts) { f.Nameservers, f.Resolved = []string{"127.0.0.53"}, true }, notes: "/run/systemd/resolve/resolv.conf names no server",
		},
		"an empty resolv.conf is no word where the spec names servers": {change: func(f *hostapi.Facts) { f.Nameservers = nil }, want: upstreams},
		"an empty resolv.conf may not where another host has a name server": {
			change: func(f *hostapi.Facts) { f.Nameservers = nil }, want: withWorker,
			stop: []string{"Nameservers"}, says: "/etc/resolv.conf names no server, unlike on w1: pods of cluster DNS could not start here",
		},
		"an empty resolv.conf of a running node is told where another host has a name server": {
			change: func(f *hostapi.Facts) {
				f.Nameservers, f.Owner = nil, &hostapi.Owner{ClusterName: "demo", ClusterUID: "1"}
			}, want: withWorker, notes: "unlike on w1",
		},
		"a clock that is behind may not": {
			change: func(f *hostapi.Facts) { f.ClockSkew = -3 * time.Minute }, stop: []string{"Clock"}, says: "3m0s off; synchronise time",
		},
		"a clock that is ahead may not": {
			change: func(f *hostapi.Facts) { f.ClockSkew = 3 * time.Minute }, stop: []string{"Clock"}, says: "3m0s off",
		},
		"a clock that is a little off may": {change: func(f *hostapi.Facts) { f.ClockSkew = time.Minute }},
		"a port in use and leftovers are both named": {
			change: func(f *hostapi.Facts) {
				f.Listening = []hostapi.Listening{{Port: 6443, Process: "nginx", PID: 7}}
				f.Paths = []hostapi.PathFact{{Path: "/etc/cni/net.d/10-other.conflist"}}
			},
			stop: []string{"Leftovers", "Port-6443"}, says: "/etc/cni/net.d/10-other.conflist",
		},
		"programs that only lie there may": {change: func(f *hostapi.Facts) {
			f.Paths = []hostapi.PathFact{{Path: "/usr/bin/kubectl"}, {Path: "/usr/local/bin/kubewright"}, {Path: "/usr/local/bin/kubectl"}, {Path: "/opt/cni/bin/bridge"}}
			f.Programs = append(f.Programs, []hostapi.Program{{Name: "kubectl", Path: "/usr/bin/kubectl"}, {Name: "podman", Running: true}}...)
		}},
		"the machine that kubewright up runs on may": {change: func(f *hostapi.Facts) {
			f.Programs = append(f.Programs, []hostapi.Program{{Name: "etcd", Running: true}, {Name: "kube-apiserver", Running: true}}...)
			f.Listening = []hostapi.Listening{{Address: "127.0.0.1", Port: 40123, Process: "kube-apiserver"}, {Address: "127.0.0.1", Port: 40124, Process: "etcd"}}
		}},
		"load balancers on ports of their own may": {change: func(f *hostapi.Facts) {
			f.Programs = append(f.Programs, []hostapi.Program{{Name: "keepalived", Running: true}, {Name: "haproxy", Running: true}}...)
			f.Listening = []hostapi.Listening{{Address: "0.0.0.0", Port: 8443, Process: "haproxy"}}
		}},
		"a load balancer on the API server's port may not": {
			change: func(f *hostapi.Facts) {
				f.Programs = append(f.Programs, []hostapi.Program{{Name: "haproxy", Running: true}}...)
				f.Listening = []hostapi.Listening{{Address: "192.0.2.100", Port: 6443, Process: "haproxy", PID: 7}}
			}, stop: []string{"Port-6443"}, says: "TCP port 6443, which kube-apiserver needs, is in use by haproxy (pid 7)",
		},
		"somebody else's port at an address of the host is in nobody's way on its loopback": {change: func(f *hostapi.Facts) {
			f.Listening = []hostapi.Listening{{Address: "192.0.2.1", Port: 10257}}
		}},
		"a running node agent or container runtime may not": {
			change: func(f *hostapi.Facts) {
				f.Programs = append(f.Programs, []hostapi.Program{{Name: "dockerd", Running: true}, {Name: "containerd", Running: true}, {Name: "k3s", Running: true}}...)
			}, stop: []string{"Leftovers"}, says: "containerd (running), dockerd (running), k3s (running)",
		},
		"flags and drop-ins of another installer may not": {
			change: func(f *hostapi.Facts) {
				f.Paths = []hostapi.PathFact{{Path: "/etc/default/kubelet"}, {Path: "/etc/systemd/system/containerd.service.d/http-proxy.conf"}, {Path: "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"}}
			}, stop: []string{"Leftovers"}, says: "/etc/default/kubelet, /etc/systemd/system/containerd.service.d/http-proxy.conf, /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
		},
		"a port in use over IPv4 and IPv6 is named once": {
			change: func(f *hostapi.Facts) {
				f.Listening = []hostapi.Listening{{Address: "0.0.0.0", Port: 10250, Process: "x", PID: 7}, {Address: "::", Port: 10250, Process: "x", PID: 7}}
			},
			stop: []string{"Port-10250"}, says: "TCP port 10250, which kubelet needs, is in use by x (pid 7)",
		},
		"a port in use can be ignored": {
			change: func(f *hostapi.Facts) { f.Listening = []hostapi.Listening{{Port: 6443}} }, ignore: []string{"Port-6443"},
		},
		"a host of another cluster is refused for that alone": {
			change: func(f *hostapi.Facts) {
				f.Owner = &hostapi.Owner{ClusterName: "other", ClusterUID: "2"}
				f.Listening = []hostapi.Listening{{Port: 6443, Process: "kube-apiserver", PID: 7}}
				f.Paths = []hostapi.PathFact{{Path: "/etc/kubernetes/kubelet.conf"}}
			},
			stop: []string{"HostOwnedByOtherCluster"}, says: `"other"`,
		},
		"a host with another authority is refused for that alone": {
			change: func(f *hostapi.Facts) {
				f.CAHash = "sha256:00"
				f.Listening = []hostapi.Listening{{Port: 6443, Process: "kube-apiserver", PID: 7}}
				f.Paths = []hostapi.PathFact{{Path: "/etc/kubernetes/pki/ca.crt"}}
			},
			stop: []string{"HostInOtherCluster"}, says: "/etc/kubernetes/pki/ca.crt",
		},
		"our own running node may": {
			change: func(f *hostapi.Facts) {
				f.Owner, f.CAHash = &hostapi.Owner{ClusterName: "demo", ClusterUID: "1"}, ours
				f.Listening = []hostapi.Listening{{Port: 6443}}
				f.Paths = []hostapi.PathFact{{Path: "/etc/kubernetes/pki/ca.crt"}}
			},
		},
		"a disk that is too small may not": {
			change: func(f *hostapi.Facts) { f.Disks[1].FreeBytes = 64 << 20 },
			stop:   []string{"Disk"}, says: "/var/lib/containerd has 64 MiB free, 2048 MiB are needed",
		},
		"a disk of its own for images counts instead of the one below /var/lib/containerd": {
			change: func(f *hostapi.Facts) {
				f.Disks[1].FreeBytes = 64 << 20
				f.Disks = append(f.Disks, hostapi.Disk{Path: "/data/containerd", FreeBytes: 100 << 30})
			},
			data: []desired.DataDirectory{{Place: "/var/lib/containerd", Path: "/data/containerd", Field: "containerd"}},
		},
		"a disk of its own for images that is too small may not": {
			change: func(f *hostapi.Facts) {
				f.Disks = append(f.Disks, hostapi.Disk{Path: "/data/containerd", FreeBytes: 64 << 20})
			},
			data: []desired.DataDirectory{{Place: "/var/lib/containerd", Path: "/data/containerd", Field: "containerd"}},
			stop: []string{"Disk"}, says: "/data/containerd has 64 MiB free, 2048 MiB are needed",
		},
		"a data directory cannot appear where a disk is mounted for it": {
			change: func(f *hostapi.Facts) { f.DataMounts = []string{"/var/lib/etcd"} },
			data:   []desired.DataDirectory{{Place: "/var/lib/etcd", Path: "/data/etcd", Field: "etcd"}},
			stop:   []string{"DataDirectoryMounted"}, says: "leave dataDirectories.etcd out to use what is mounted, or unmount it",
		},
		"a disk mounted at the well-known place is what a user may want": {
			change: func(f *hostapi.Facts) { f.DataMounts = []string{"/var/lib/etcd"} },
		},
		"a machine cloned with its identity may not": {
			change: func(f *hostapi.Facts) { f.MachineID = "b" },
			stop:   []string{"MachineIDUnique"}, says: "w1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := desired.Host{
				Name: "cp1", Address: "192.0.2.1", Role: v1alpha1.ControlPlaneRole, KubeletVersion: "v1.36.3", IgnorePreflightErrors: test.ignore,
				DataDirectories: test.data,
			}
			cluster := &desired.Cluster{
				UID: "1", Version: "v1.36.3", Authorities: authorities, Hosts: []desired.Host{host},
				Release: &bundle.Release{KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"}},
			}
			if test.want != nil {
				test.want(cluster)
			}
			facts := goodFacts("a", "192.0.2.1")
			test.change(facts)
			found := Evaluate(cluster, cluster.Hosts[0], Snapshot{"cp1": facts, "w1": goodFacts("b", "192.0.2.2")})
			stopping, ignored := found.Stopping, found.Ignored
			var got []string
			for _, p := range stopping {
				got = append(got, p.Check)
			}
			if strings.Join(got, " ") != strings.Join(test.stop, " ") {
				t.Fatalf("stopped by %v, want %v: %s", got, test.stop, Format(stopping))
			}
			if len(ignored)+len(stopping) < len(test.ignore) {
				t.Errorf("what is ignored is not told: %v", ignored)
			}
			if notes := Format(found.Notes); !strings.Contains(notes, test.notes) || (test.notes == "") != (notes == "") {
				t.Errorf("it is told %q, want %q", notes, test.notes)
			}
			if len(stopping) > 0 && !strings.Contains(stopping[0].Message, test.says) {
				t.Errorf("the message is %q, want one with %q", stopping[0].Message, test.says)
			}
		})
	}
}

func TestEveryCheckHasANameThatCanBeIgnored(t *testing.T) {
	packages, err := parser.ParseDir(token.NewFileSet(), ".", nil, 0) //nolint:staticcheck // the files of one directory are all it is about
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	ast.Inspect(packages["preflight"], func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"refuse", "object", "note"}, f.Sel.Name) {
			return true
		}
		name, ok := call.Args[0].(*ast.BasicLit)
		if !ok {
			return true // the ports, whose names are made of numbers
		}
		text, err := strconv.Unquote(name.Value)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if !desired.IsOwnCheck(text) {
			t.Errorf("%s is not among the checks that desired knows", text)
		}
		return true
	})
	if seen < 20 || !desired.IsOwnCheck("Port-6443") || desired.IsOwnCheck("Port-") || desired.IsOwnCheck("NoSuchCheck") {
		t.Errorf("%d checks were seen", seen)
	}
}
