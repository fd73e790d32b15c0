package server_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
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

func TestFactsSayWhichFilesSetKernelParametersInTheOrderOfReading(t *testing.T) {
	h := hosttest.New(t)
	for path, content := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":              "1\n",
		"/usr/lib/sysctl.d/20-hidden.conf":           "net.ipv4.ip_forward = 7\n",
		"/etc/sysctl.d/20-hidden.conf":               "# net.ipv4.ip_forward = 8\n; net.ipv4.ip_forward = 9\n",
		"/run/sysctl.d/30-run.conf":                  "vm.swappiness = 10\n-net/ipv4/ip_forward=1\n",
		"/etc/sysctl.d/10-first.conf":                "net.ipv4.ip_forward=0\n",
		"/usr/local/lib/sysctl.d/zz-last.conf":       "  net.ipv4.ip_forward =  0  \n",
		"/etc/sysctl.d/zz-no-configuration":          "net.ipv4.ip_forward = 6\n",
		"/etc/sysctl.d/.hidden.conf":                 "net.ipv4.ip_forward = 5\n",
		"/etc/sysctl.conf":                           "net.ipv4.conf.all.forwarding = 0\nnet.ipv4.ip_forward = 1\n",
		"/lib/sysctl.d/40-never-ending-garbage.conf": strings.Repeat("x", 1<<20) + "\nnet.ipv4.ip_forward = 4\n",
	} {
		h.Write(t, path, content)
	}
	for link, target := range map[string]string{"/etc/sysctl.d/99-sysctl.conf": "../sysctl.conf", "/etc/sysctl.d/98-off.conf": "/dev/null"} {
		if err := os.Symlink(target, h.Path(link)); err != nil {
			t.Fatal(err)
		}
	}
	h.Write(t, "/usr/lib/sysctl.d/98-off.conf", "net.ipv4.ip_forward = 3\n")
	if err := syscall.Mkfifo(h.Path("/etc/sysctl.d/50-pipe.conf"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := h.Connect(t, "op-1", nil).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []api.SysctlSetting{
		{File: "/etc/sysctl.d/10-first.conf", Line: 1, Value: "0"}, {File: "/run/sysctl.d/30-run.conf", Line: 2, Value: "1"}, {File: "/etc/sysctl.d/99-sysctl.conf", Line: 2, Value: "1"},
		{File: "/usr/local/lib/sysctl.d/zz-last.conf", Line: 1, Value: "0"}, {File: "/etc/sysctl.conf", Line: 2, Value: "1"},
	}
	if got := f.Sysctl("net.ipv4.ip_forward"); got == nil || got.Value != "1" || !slices.Equal(got.Settings, want) {
		t.Errorf("forwarding is %+v, want %+v", got, want)
	}
	if got := f.Sysctl("net.ipv4.conf.all.forwarding"); got == nil || got.Value != "0" || len(got.Settings) != 2 {
		t.Errorf("its other name is %+v", got)
	}
	if got := f.Sysctl("vm.swappiness"); got != nil {
		t.Errorf("it looks at what no node depends on: %+v", got)
	}
}

func TestWhatFilesSayOfKernelParametersIsBounded(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/etc/sysctl.d/10-many.conf", strings.Repeat("net.ipv4.ip_forward = 0\n", 1000)+"net.ipv4.ip_forward = "+strings.Repeat("1", 1000)+"\n")
	f, err := h.Connect(t, "op-1", nil).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := f.Sysctl("net.ipv4.ip_forward").Settings
	if len(got) != 16 || got[15].Line != 1001 || len(got[15].Value) != 64 {
		t.Errorf("%d settings, %+v at the end", len(got), got[len(got)-1])
	}
}

func TestFactsNameLinksThatLeadNowhereAtDirectoriesOfANode(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/data/kubelet/x", "")
	for link, target := range map[string]string{
		"/var/lib/etcd": "/data/etcd", "/var/lib/kubelet": "../../data/kubelet", "/var/lib/containerd": "/var/lib/loop", "/var/lib/loop": "containerd",
		"/opt": "/data/opt", "/srv": "/data/asked-for", "/var/lib/other": "/nowhere",
	} {
		h.Write(t, "/var/lib/keep", "")
		if err := os.Symlink(target, h.Path(link)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := h.Connect(t, "op-1", nil).Facts(t.Context(), "/srv/etcd")
	if err != nil {
		t.Fatal(err)
	}
	want := []api.DanglingLink{{Path: "/opt", Target: "/data/opt"}, {Path: "/var/lib/etcd", Target: "/data/etcd"}, {Path: "/var/lib/containerd", Target: "/var/lib/loop"}, {Path: "/srv", Target: "/data/asked-for"}}
	if !slices.Equal(f.DanglingLinks, want) {
		t.Errorf("the links are %+v, want %+v", f.DanglingLinks, want)
	}
}
