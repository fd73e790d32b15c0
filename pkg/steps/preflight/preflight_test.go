package preflight

import (
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
)

func goodFacts(machineID, address string) *hostapi.Facts {
	return &hostapi.Facts{
		MachineID: machineID, Platform: "linux/amd64", CPUs: 2, MemoryBytes: 4 << 30, Cgroup: "v2",
		Interfaces: []hostapi.Interface{{Name: "eth0", Addresses: []string{address + "/24"}}},
		Disks:      []hostapi.Disk{{Path: "/var/lib", FreeBytes: 10 << 30}, {Path: "/var/lib/containerd", FreeBytes: 10 << 30}},
		Features:   hostapi.KernelFeatures{Overlay: true, NFTables: true, Conntrack: true, VXLAN: true},
	}
}

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
		ignore []string
		// stop names the checks that stop the operation, says a text of the first.
		stop []string
		says string
	}{
		"a fresh machine of the bundle's platform may": {change: func(*hostapi.Facts) {}},
		"a machine of another platform may not": {
			change: func(f *hostapi.Facts) { f.Platform = "linux/arm64" },
			stop:   []string{"PlatformNotInBundle"}, says: "the host is linux/arm64, the bundle holds v1.36.3 linux/amd64 only",
		},
		"another platform cannot be ignored": {
			change: func(f *hostapi.Facts) { f.Platform = "linux/arm64" }, ignore: []string{"PlatformNotInBundle"},
			stop: []string{"PlatformNotInBundle"},
		},
		"cgroup v1 without the override may not": {
			change: func(f *hostapi.Facts) { f.Cgroup = "v1" },
			stop:   []string{"CgroupV1"}, says: "failCgroupV1: false in overrides.kubelet",
		},
		"a port in use and leftovers are both named": {
			change: func(f *hostapi.Facts) {
				f.Listening = []hostapi.Listening{{Port: 6443, Process: "nginx", PID: 7}}
				f.Paths = []hostapi.PathFact{{Path: "/etc/cni/net.d/10-other.conflist"}}
			},
			stop: []string{"Leftovers", "Port-6443"}, says: "/etc/cni/net.d/10-other.conflist",
		},
		"a port in use over IPv4 and IPv6 is named once": {
			change: func(f *hostapi.Facts) {
				f.Listening = []hostapi.Listening{{Address: "0.0.0.0", Port: 10250, Process: "x", PID: 7}, {Address: "::", Port: 10250, Process: "x", PID: 7}}
			},
			stop: []string{"Port-10250"}, says: "TCP port 10250 is in use by x (pid 7)",
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
		"a machine cloned with its identity may not": {
			change: func(f *hostapi.Facts) { f.MachineID = "b" },
			stop:   []string{"MachineIDUnique"}, says: "w1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := desired.Host{Name: "cp1", Address: "192.0.2.1", Role: v1alpha1.ControlPlaneRole, IgnorePreflightErrors: test.ignore}
			cluster := &desired.Cluster{
				UID: "1", Version: "v1.36.3", Authorities: authorities, Hosts: []desired.Host{host},
				Release: &bundle.Release{KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"}},
			}
			facts := goodFacts("a", "192.0.2.1")
			test.change(facts)
			stopping, _ := Evaluate(cluster, host, Snapshot{"cp1": facts, "w1": goodFacts("b", "192.0.2.2")})
			var got []string
			for _, p := range stopping {
				got = append(got, p.Check)
			}
			if strings.Join(got, " ") != strings.Join(test.stop, " ") {
				t.Fatalf("stopped by %v, want %v: %s", got, test.stop, Format(stopping))
			}
			if len(stopping) > 0 && !strings.Contains(stopping[0].Message, test.says) {
				t.Errorf("the message is %q, want one with %q", stopping[0].Message, test.says)
			}
		})
	}
}
