package server_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/netlink"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// shim puts a process into /proc that looks like a container's shim.
func shim(t *testing.T, h *hosttest.Host, pid, namespace, id string) {
	t.Helper()
	h.Write(t, "/proc/"+pid+"/stat", pid+" (shim) S 1 1 1")
	h.Write(t, "/proc/"+pid+"/cmdline", strings.Join([]string{"/usr/local/bin/containerd-shim-runc-v2", "-namespace", namespace, "-id", id, ""}, "\x00"))
	if err := os.Symlink("/usr/local/bin/containerd-shim-runc-v2", h.Path("/proc/"+pid+"/exe")); err != nil {
		t.Fatal(err)
	}
}

func runtime() []api.Resource {
	return []api.Resource{
		file("shim", "/usr/local/bin/containerd-shim-runc-v2", "shim"), file("kubelet-program", "/usr/local/bin/kubelet", "kubelet"),
		{ID: "store", Dir: &api.Dir{Path: "/var/lib/containerd", Purge: true}}, {ID: "cni", Dir: &api.Dir{Path: "/etc/cni/net.d", Purge: true}},
	}
}

func TestContainersOfOthersKeepTheirRuntimeAndTheHostSaysSo(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	node(t, h, s)
	apply(t, s, runtime()...)
	h.Write(t, "/var/lib/containerd/content", "blobs")
	shim(t, h, "100", "k8s.io", "pod")
	shim(t, h, "200", "foreign", "database")
	h.Write(t, "/proc/300/stat", "300 (database) S 200 1 1")

	report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	said := ""
	for _, i := range report.Items {
		said += i.Error
	}
	if !strings.Contains(said, "foreign/database") || !strings.Contains(said, "reset again") {
		t.Errorf("it says %q", said)
	}
	// It looks twice, because a pod may have been starting.
	if !slices.Equal(slices.Compact(h.Kernel.Killed), []int{100}) || !h.System.Active("containerd.service") || h.System.Active("kubelet.service") {
		t.Errorf("killed %v, containerd runs: %t", h.Kernel.Killed, h.System.Active("containerd.service"))
	}
	for _, p := range []string{"/usr/local/bin/containerd-shim-runc-v2", "/var/lib/containerd/content", "/etc/systemd/system/containerd.service", "/etc/cni/net.d"} {
		if !sys.Exists(h.Path(p)) {
			t.Errorf("%s is gone", p)
		}
	}
	if sys.Exists(h.Path("/usr/local/bin/kubelet")) || sys.Exists(h.Path("/var/lib/etcd")) {
		t.Error("what nobody else needs is still there")
	}

	for _, p := range []string{"/proc/100", "/proc/200", "/proc/300"} {
		if err := os.RemoveAll(h.Path(p)); err != nil {
			t.Fatal(err)
		}
	}
	report, err = s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 || h.System.Active("containerd.service") || sys.Exists(h.Path("/var/lib/containerd")) || sys.Exists(h.Path("/var/lib/kubewright/ledger.json")) {
		t.Errorf("when they are gone: %+v, %v", report, err)
	}
}

func TestResetTakesBackWhatANodesProgramsMakeAndChangeByThemselves(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/proc/sys/vm/overcommit_memory", "0\n")
	h.Write(t, "/proc/sys/net/netfilter/nf_conntrack_max", "262144\n")
	h.Write(t, "/usr/libexec/kubernetes/kubelet-plugins/theirs", "was there before")
	if err := os.MkdirAll(h.Path("/var/lib/containerd"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/lib", "/run", "/var/log", "/usr/local/bin", "/etc/systemd/system"} {
		if err := os.MkdirAll(h.Path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := snapshot(t, h)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	node(t, h, s)
	apply(t, s, runtime()...)
	// What kubelet, kube-proxy, flannel and containerd do.
	h.Write(t, "/proc/sys/vm/overcommit_memory", "1\n")
	h.Write(t, "/proc/sys/net/netfilter/nf_conntrack_max", "131072\n")
	for _, p := range []string{"/var/log/pods/uid/0.log", "/var/log/containers/pod.log", "/run/nri/nri.sock", "/run/xtables.lock", "/usr/libexec/kubernetes/kubelet-plugins/volume/x"} {
		h.Write(t, p, "x")
	}
	if err := os.MkdirAll(h.Path("/lib/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.Path("/var/lib/containerd"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.Kernel.Chains4 = []netlink.Chain{{Table: "filter", Name: "KUBE-FIREWALL"}}
	h.System.SetUnit("kubepods.slice", false, true)
	if err := os.MkdirAll(h.Path("/sys/fs/cgroup/kubepods.slice"), 0o755); err != nil {
		t.Fatal(err)
	}
	report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if h.System.Active("kubepods.slice") {
		t.Error("the slice of the pods is still active")
	}
	if err := os.RemoveAll(h.Path("/sys")); err != nil {
		t.Fatal(err)
	}
	// It was there before us, so what came into it since is not known to be ours.
	if err := os.RemoveAll(h.Path("/usr/libexec/kubernetes/kubelet-plugins/volume")); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, h); !slices.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if len(h.Kernel.Removed.Chains) != 1 {
		t.Errorf("chains removed: %+v", h.Kernel.Removed)
	}
}

func TestModulesThatWeLoadedAreUnloadedUnlessInUse(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/lib/modules/6.1.0-test/modules.dep", "")
	h.Kernel.Busy = map[string]bool{"busy_now": true}
	s := h.Connect(t, "op", nil)
	lease(t, s)
	for _, m := range []string{"vxlan", "br_netfilter", "ip_vs", "busy_now"} {
		apply(t, s, api.Resource{ID: m, Module: &api.Module{Name: m}})
	}
	for m, users := range map[string]string{"vxlan": "0\n", "br_netfilter": "0\n", "ip_vs": "12\n", "busy_now": "0\n"} {
		h.Write(t, "/sys/module/"+m+"/refcnt", users)
	}
	report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if !slices.Equal(h.Kernel.Unloaded, []string{"br_netfilter", "vxlan"}) {
		t.Errorf("unloaded %q", h.Kernel.Unloaded)
	}
	var kept []string
	for _, i := range report.Items {
		if i.Action == api.ActionKeep {
			kept = append(kept, i.Target)
		}
	}
	if !slices.Equal(kept, []string{"kernel module busy_now (in use)", "kernel module ip_vs (in use)"}) {
		t.Errorf("kept %q", kept)
	}
}

func TestAHalfDeadHostIsResetAsFarAsItGoesAndSaysWhatIsLeft(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	node(t, h, s)
	apply(t, s, runtime()...)
	// systemd does not answer, containerd's program is gone, and something else is mounted in etcd's place.
	h.System.Fail("systemctl", sys.Output{ExitCode: 1, Stderr: "Failed to connect to bus\n"})
	remove(t, h, "/usr/local/bin/containerd-shim-runc-v2")
	h.Write(t, "/proc/self/mountinfo", "33 30 0:3 / /var/lib/etcd/foreign rw - tmpfs x rw\n")
	report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	failed := map[string]string{}
	for _, i := range report.Items {
		if i.Error != "" {
			failed[i.Target] = i.Error
		}
	}
	if !strings.Contains(failed["kubelet.service"], "connect to bus") || !strings.Contains(failed["/var/lib/etcd"], "still mounted") {
		t.Errorf("failed: %v", failed)
	}
	if sys.Exists(h.Path("/usr/local/bin/kubelet")) || sys.Exists(h.Path("/var/lib/kubelet")) || h.Read("/etc/app/config") != "" {
		t.Error("what could be undone was not")
	}
	h.System.Heal("systemctl")
	h.Write(t, "/proc/self/mountinfo", "")
	if report, err = s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil); err != nil || report.Errors != 0 || sys.Exists(h.Path("/var/lib/etcd")) {
		t.Errorf("the next time: %+v, %v", report, err)
	}
}

func TestPodsWhoseShimsAreGoneAreKilledByTheirCgroups(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	node(t, h, s)
	const pod = "/sys/fs/cgroup/pids/kubepods/burstable/pod1/c1/cgroup.procs"
	h.Write(t, pod, "400\n401\n")
	h.Write(t, "/sys/fs/cgroup/memory/kubepods/burstable/pod1/c1/cgroup.procs", "400\n401\n")
	h.Write(t, "/sys/fs/cgroup/pids/foreign/c2/cgroup.procs", "500\n")
	h.Kernel.OnKill = func() {
		// A file of a cgroup does not keep it from being removed; here it would.
		for _, controller := range []string{"pids", "memory"} {
			remove(t, h, "/sys/fs/cgroup/"+controller+"/kubepods/burstable/pod1/c1/cgroup.procs")
		}
	}
	report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if !slices.Equal(h.Kernel.Killed, []int{400, 401}) || sys.Exists(h.Path("/sys/fs/cgroup/pids/kubepods")) || h.Read("/sys/fs/cgroup/pids/foreign/c2/cgroup.procs") == "" {
		t.Errorf("killed %v", h.Kernel.Killed)
	}
}

func TestADirectoryGoesWithWhatCouldNotBeRemovedFromItBefore(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	apply(t, s, api.Resource{ID: "data", Dir: &api.Dir{Path: "/srv/app/data", Purge: true}})
	h.Write(t, "/proc/self/mountinfo", "33 30 0:3 / /srv/app/data/foreign rw - tmpfs x rw\n")
	h.Write(t, "/srv/app/data/foreign/file", "behind the mount")
	if report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil); err != nil || report.Errors != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	h.Write(t, "/proc/self/mountinfo", "")
	if report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil); err != nil || report.Errors != 0 || sys.Exists(h.Path("/srv")) {
		t.Errorf("%+v, %v, /srv is there: %t", report, err, sys.Exists(h.Path("/srv")))
	}
}

func TestADryRunOfAResetChangesNothingOfTheNode(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/lib/modules/6.1.0-test/modules.dep", "")
	s := h.Connect(t, "op", nil)
	lease(t, s)
	node(t, h, s)
	apply(t, s, api.Resource{ID: "m", Module: &api.Module{Name: "vxlan"}})
	h.Write(t, "/sys/module/vxlan/refcnt", "0\n")
	h.Kernel.Chains4 = []netlink.Chain{{Table: "filter", Name: "KUBE-FIREWALL"}}
	if _, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner, DryRun: true}, nil); err != nil {
		t.Fatal(err)
	}
	if len(h.Kernel.Unloaded) > 0 || len(h.Kernel.Removed.Chains) > 0 {
		t.Errorf("unloaded %q, removed %+v", h.Kernel.Unloaded, h.Kernel.Removed)
	}
}

func TestALedgerOfAnEarlierVersionDoesNotLeadIntoForeignData(t *testing.T) {
	for _, c := range []struct {
		name, mounts string
		link         bool
		says         string
	}{
		{"a directory that we made is a link now", "", true, "/var/lib/etcd leads to /srv/foreign now"},
		{"something is mounted over a directory that we made", "20 1 8:1 / / rw - ext4 x rw\n33 20 8:2 / /var/lib/etcd rw - ext4 x rw\n", false, "mounted at /var/lib/etcd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := hosttest.New(t)
			h.Write(t, "/srv/foreign/member/snap", "theirs")
			s := h.Connect(t, "op", nil)
			lease(t, s)
			// Where no mount is known, nothing is recorded of mounts: such are all entries of earlier versions.
			apply(t, s, api.Resource{ID: "etcd", Dir: &api.Dir{Path: "/var/lib/etcd", Purge: true}})
			if c.link {
				remove(t, h, "/var/lib/etcd")
				if err := os.Symlink("../../srv/foreign", h.Path("/var/lib/etcd")); err != nil {
					t.Fatal(err)
				}
			} else {
				h.Write(t, "/var/lib/etcd/member/snap", "theirs")
			}
			h.Write(t, "/proc/self/mountinfo", c.mounts)
			report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
			if err != nil || report.Errors != 1 {
				t.Fatalf("%+v, %v", report, err)
			}
			said := ""
			for _, i := range report.Items {
				said += i.Error
			}
			if !strings.Contains(said, c.says) || h.Read("/srv/foreign/member/snap") != "theirs" || h.Read("/var/lib/etcd/member/snap") != "theirs" {
				t.Errorf("it says %q", said)
			}
		})
	}
}
