package server_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

func TestFactsSayWhatAHostResolvesNamesWith(t *testing.T) {
	for name, test := range map[string]struct {
		arrange       func(*testing.T, *hosttest.Host)
		missing       bool
		names, behind []string
	}{
		"no resolv.conf": {func(*testing.T, *hosttest.Host) {}, true, nil, nil},
		"an empty one":   {func(t *testing.T, h *hosttest.Host) { h.Write(t, "/etc/resolv.conf", "") }, false, nil, nil},
		"a link that leads nowhere": {func(t *testing.T, h *hosttest.Host) {
			if err := os.Symlink("../run/systemd/resolve/stub-resolv.conf", h.Path("/etc/resolv.conf")); err != nil {
				t.Fatal(err)
			}
		}, true, nil, nil},
		"two name servers": {func(t *testing.T, h *hosttest.Host) {
			h.Write(t, "/etc/resolv.conf", "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.53\nnameserver fd00::53\n")
		}, false, []string{"192.0.2.53", "fd00::53"}, nil},
		"systemd-resolved": {func(t *testing.T, h *hosttest.Host) {
			h.Write(t, "/etc/resolv.conf", "nameserver 127.0.0.53\n")
			h.Write(t, "/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
			h.Write(t, "/proc/77/comm", "systemd-resolve\n")
		}, false, []string{"127.0.0.53"}, []string{"192.0.2.53"}},
		"what systemd-resolved left when it ended": {func(t *testing.T, h *hosttest.Host) {
			h.Write(t, "/etc/resolv.conf", "nameserver 127.0.0.53\n")
			h.Write(t, "/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
		}, false, []string{"127.0.0.53"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			test.arrange(t, h)
			f, err := h.Connect(t, "op-1", nil).Facts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.ResolvConfMissing != test.missing || !slices.Equal(f.Nameservers, test.names) || f.Resolved != (test.behind != nil) || !slices.Equal(f.ResolvedNameservers, test.behind) {
				t.Errorf("missing %v, names %v, systemd-resolved %v with %v", f.ResolvConfMissing, f.Nameservers, f.Resolved, f.ResolvedNameservers)
			}
		})
	}
}

func TestFactsNameWhatAnotherInstallerTellsKubeletAndContainerd(t *testing.T) {
	h := hosttest.New(t)
	for path, content := range map[string]string{
		"/etc/default/kubelet": "# flags\nKUBELET_EXTRA_ARGS=\"--cgroup-driver=cgroupfs\"\n",
		"/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf":   "[Service]\n",
		"/etc/systemd/system/containerd.service.d/http-proxy.conf":    "[Service]\n",
		"/etc/systemd/system/containerd.service.d/README":             "no drop-in\n",
		"/run/systemd/system/kubelet.service.d/50-CPUQuota.conf":      "[Service]\n",
		"/usr/local/lib/systemd/system/kubelet.service.d/10-own.conf": "[Service]\n",
	} {
		h.Write(t, path, content)
	}
	session := h.Connect(t, "op-1", nil)
	var got []string
	look := func() {
		f, err := session.Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, p := range f.Paths {
			got = append(got, p.Path)
		}
	}
	look()
	want := []string{
		"/etc/default/kubelet", "/etc/systemd/system/containerd.service.d/http-proxy.conf", "/run/systemd/system/kubelet.service.d/50-CPUQuota.conf",
		"/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", "/usr/local/lib/systemd/system/kubelet.service.d/10-own.conf",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	for name, content := range map[string]string{"as shipped": "KUBELET_EXTRA_ARGS=\n", "quoted nothing": "KUBELET_EXTRA_ARGS=\"\"\n", "comments": "# A=b\n;A=b\n", "empty": ""} {
		h.Write(t, "/etc/default/kubelet", content)
		if look(); slices.Contains(got, "/etc/default/kubelet") {
			t.Errorf("%s: a file that sets nothing is named", name)
		}
	}
}

func TestFactsListTheRoutesOfAHostAndItsOlderFirewall(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/proc/net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"+
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"+
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"+
		"eth1\t0000F40A\tFE0200C0\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n"+
		"broken\n")
	h.Write(t, "/proc/net/ip_tables_names", "mangle\nfilter\n")
	f, err := h.Connect(t, "op-1", nil).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !f.LegacyFirewall {
		t.Error("the older iptables is not seen")
	}
	want := []api.Route{{Network: "192.0.2.0/24", Interface: "eth0"}, {Network: "10.244.0.0/16", Interface: "eth1", Gateway: true}}
	if !slices.Equal(f.Routes, want) || f.DefaultRoute4 != "eth0" {
		t.Errorf("the routes are %+v, the default one goes over %q", f.Routes, f.DefaultRoute4)
	}
}

func TestANameThatDoesNotResolveIsSaid(t *testing.T) {
	s := hosttest.New(t).Connect(t, "op-1", nil)
	for name, known := range map[string]bool{"localhost": true, "no-such-host.invalid": false} {
		vs, err := s.Check(t.Context(), api.CheckRequest{Resources: []api.Resource{{ID: "name", Probe: &api.Probe{Name: name}}}})
		if err != nil {
			t.Fatal(err)
		}
		if (vs[0].State == api.Done) != known || (!known && !strings.Contains(vs[0].Why, name)) {
			t.Errorf("%s: %+v", name, vs[0])
		}
	}
}

func TestFactsSayWhatTheKernelIsBuiltWithAndHasOn(t *testing.T) {
	h := hosttest.New(t)
	look := func() *api.Facts {
		f, err := h.Connect(t, "op-1", nil).Facts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := look(); f.KernelConfig != nil || f.CgroupControllers != nil {
		t.Errorf("a host that does not say has %v and %v", f.KernelConfig, f.CgroupControllers)
	}
	h.Write(t, "/boot/config-6.1.0-test", "#\n# CONFIG_EXT4_FS is not set\nCONFIG_NAMESPACES=y\nCONFIG_CGROUP_BPF=m\nCONFIG_HZ=250\n")
	h.Write(t, "/proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t1\t1\nmemory\t0\t1\t0\npids\t3\t1\t1\n")
	f := look()
	if f.KernelConfig["NAMESPACES"] != "y" || f.KernelConfig["CGROUP_BPF"] != "m" || f.KernelConfig["EXT4_FS"] != "n" || f.KernelConfig["HZ"] != "" {
		t.Errorf("the kernel is built with %v", f.KernelConfig)
	}
	if !slices.Equal(f.CgroupControllers, []string{"cpu", "pids"}) {
		t.Errorf("the controllers are %v", f.CgroupControllers)
	}
	h.Write(t, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
	if f := look(); f.Cgroup != "v2" || !slices.Equal(f.CgroupControllers, []string{"cpuset", "cpu", "io", "memory", "pids", "devices", "freezer"}) {
		t.Errorf("the controllers of version %s are %v", f.Cgroup, f.CgroupControllers)
	}
}
