package server_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// snapshot lists every path of the host outside the helper's own state with its content.
func snapshot(t *testing.T, h *hosttest.Host) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(h.Root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, h.Root)
		if strings.HasPrefix(rel, "/var/lib/kubewright") || strings.HasPrefix(rel, "/run/kubewright") {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		line := rel + " " + fi.Mode().String()
		if fi.Mode().IsRegular() {
			line += " " + h.Read(rel)
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// node applies about everything a node consists of.
func node(t *testing.T, h *hosttest.Host, s *hosttest.Session) {
	t.Helper()
	apply(t, s,
		file("config", "/etc/app/config", "ours"),
		file("manifest", "/etc/kubernetes/manifests/etcd.yaml", "x"),
		api.Resource{ID: "etcd", Dir: &api.Dir{Path: "/var/lib/etcd", Mode: 0o700, Purge: true}},
		api.Resource{ID: "kubelet-dir", Dir: &api.Dir{Path: "/var/lib/kubelet", Purge: true}},
		api.Resource{ID: "link", Symlink: &api.Symlink{Path: "/etc/link", Target: "ours"}},
		api.Resource{ID: "gone", Absent: &api.Absent{Path: "/etc/gone"}},
		api.Resource{ID: "sysctl", Sysctl: &api.Sysctl{Key: "net.ipv4.ip_forward", Value: "1"}},
		file("containerd-unit", "/etc/systemd/system/containerd.service", "x"),
		file("kubelet-unit", "/etc/systemd/system/kubelet.service", "x"),
		api.Resource{ID: "containerd", Unit: &api.Unit{Name: "containerd.service", Enabled: true, Active: true, Inputs: "1"}},
		api.Resource{ID: "kubelet", Unit: &api.Unit{Name: "kubelet.service", Enabled: true, Active: true, Inputs: "1"}},
		api.Resource{ID: "theirs", Unit: &api.Unit{Name: "theirs.service"}},
		command(h, "k", `echo made > "$1/etc/kubernetes/admin.conf"; mkdir -p "$1/var/lib/etcd/member"; echo data > "$1/var/lib/etcd/member/wal"`, func(c *api.Command) {
			c.Creates = []string{"/etc/kubernetes/admin.conf"}
			c.Owns = []string{"/etc/kubernetes"}
		}))
}

func TestResetBringsTheHostBackToWhatItWas(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/etc/app/config", "theirs")
	h.Write(t, "/etc/gone", "theirs")
	h.Write(t, "/etc/foreign", "theirs")
	if err := os.Symlink("theirs", h.Path("/etc/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.Path("/var/lib/kubelet"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.Path("/etc/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.Path("/run"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.System.SetUnit("theirs.service", true, true)
	before := snapshot(t, h)

	s := h.Connect(t, "op", nil)
	lease(t, s)
	node(t, h, s)
	h.Write(t, "/var/lib/kubelet/pods/uid/data", "made by kubelet")
	h.Kernel.Links = map[string]bool{"cni0": true, "flannel.1": true, "eth0": true, "veth1": true, "veth2": true}
	h.Write(t, "/sys/class/net/cni0/brif/veth1", "")
	if err := os.MkdirAll(h.Path("/sys/class/net/other/brif/veth2"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.Kernel.Tables = map[string]bool{"kube-proxy": true, "firewall": true}
	h.Write(t, "/proc/self/mountinfo", "30 1 8:1 / / rw - ext4 x rw\n31 30 0:1 / /var/lib/kubelet rw - ext4 x rw\n32 31 0:2 / /var/lib/kubelet/pods/a\\040b rw - tmpfs x rw\n33 30 0:3 / /var/lib/other rw - tmpfs x rw\n")

	dry, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner, DryRun: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h.Read("/etc/app/config") != "ours" || !h.System.Active("kubelet.service") || len(dry.Items) < 10 {
		t.Errorf("a dry run changed something or says too little: %+v", dry)
	}
	// The mounts are gone once they are unmounted.
	h.Kernel.OnUnmount = func() {
		h.Write(t, "/proc/self/mountinfo", "31 30 0:1 / /var/lib/kubelet rw - ext4 x rw\n")
	}
	report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	h.Write(t, "/proc/self/mountinfo", "")
	if err := os.RemoveAll(h.Path("/sys")); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, h); !slices.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if h.System.Active("kubelet.service") || h.System.Active("containerd.service") || !h.System.Active("theirs.service") {
		t.Error("units are not as they were")
	}
	if !slices.Equal(h.Kernel.Unmounted, []string{"/var/lib/kubelet/pods/a b"}) {
		t.Errorf("unmounted %q", h.Kernel.Unmounted)
	}
	if !h.Kernel.Links["eth0"] || !h.Kernel.Links["veth2"] || h.Kernel.Links["veth1"] || h.Kernel.Links["cni0"] || !h.Kernel.Tables["firewall"] || h.Kernel.Tables["kube-proxy"] {
		t.Errorf("links %v, tables %v", h.Kernel.Links, h.Kernel.Tables)
	}
	if got := h.Read("/var/lib/kubewright/ledger.json"); got != "" {
		t.Errorf("the ledger is still there: %s", got)
	}
	again, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || len(again.Items) != 0 {
		t.Errorf("a second reset finds %+v, %v", again, err)
	}
	// The host is free for another cluster, and the journal still tells what happened.
	if _, err := s.Apply(t.Context(), api.ApplyRequest{Owner: api.Owner{ClusterName: "next", ClusterUID: "uid-2"}, Resources: []api.Resource{file("a", "/etc/a", "x")}}, nil); err != nil {
		t.Error(err)
	}
	if logs, err := s.Logs(t.Context(), "op", 0); err != nil || len(logs.Entries) < 20 {
		t.Errorf("the journal has %d entries, %v", len(logs.Entries), err)
	}
}

func TestResetStopsKubeletBeforeContainerd(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.System.SetUnit("theirs.service", true, true)
	node(t, h, s)
	if _, err := s.Reset(t.Context(), api.ResetRequest{}, nil); err != nil {
		t.Fatal(err)
	}
	stops := h.System.Calls("systemctl stop")
	if slices.Index(stops, "systemctl stop -- kubelet.service") > slices.Index(stops, "systemctl stop -- containerd.service") {
		t.Errorf("stopped in the order %q", stops)
	}
}

func TestResetDoesNotMindAFileOfOursThatALaterVersionHasRemoved(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/etc/sysctl.d/theirs.conf", "x")
	h.Write(t, "/var/lib/theirs", "x")
	s := h.Connect(t, "op", nil)
	before := snapshot(t, h)
	lease(t, s)
	apply(t, s, file("former", "/etc/sysctl.d/99-ours.conf", "x"))
	apply(t, s, file("ours", "/etc/sysctl.d/zzz-ours.conf", "x"), api.Resource{ID: "gone", Absent: &api.Absent{Path: "/etc/sysctl.d/99-ours.conf"}})
	if h.Read("/etc/sysctl.d/99-ours.conf") != "" {
		t.Error("the former file is still there")
	}
	report, err := s.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if after := snapshot(t, h); !slices.Equal(before, after) {
		t.Errorf("before: %q\nafter: %q", before, after)
	}
}

func TestResetGoesOnOverErrorsAndFinishesTheNextTime(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	h.System.SetUnit("theirs.service", true, true)
	node(t, h, s)
	h.System.Fail("systemctl stop -- kubelet.service", sys.Output{ExitCode: 1, Stderr: "it hangs\n"})
	report, err := s.Reset(t.Context(), api.ResetRequest{}, nil)
	if err != nil || report.Errors != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if h.Read("/etc/app/config") != "" {
		t.Error("it stopped at the error")
	}
	// The first answer is from the opening of the session; the next one is asked for.
	if _, err := s.Facts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Facts(t.Context()); err != nil || f.Owner == nil {
		t.Errorf("a host that is not clean is free: %+v, %v", f.Owner, err)
	}
	h.System.Heal("systemctl stop -- kubelet.service")
	report, err = s.Reset(t.Context(), api.ResetRequest{}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if h.Read("/var/lib/kubewright/ledger.json") != "" {
		t.Error("the ledger is still there")
	}
	if h.System.Active("kubelet.service") {
		t.Error("what failed the first time was forgotten: kubelet still runs")
	}
}

func TestResetLeavesWhatOthersPutIntoADirectoryOfOurs(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	apply(t, s, file("a", "/etc/shared/ours", "x"))
	h.Write(t, "/etc/shared/theirs", "x")
	report, err := s.Reset(t.Context(), api.ResetRequest{}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if h.Read("/etc/shared/theirs") != "x" || h.Read("/etc/shared/ours") != "" {
		t.Error("the directory holds the wrong files")
	}
}

func TestResetForgetsReceipts(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/etc/x", "")
	s := h.Connect(t, "op", nil)
	lease(t, s)
	apply(t, s, command(h, "k", "true"))
	report, err := s.Reset(t.Context(), api.ResetRequest{}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	if vs := apply(t, s, command(h, "k", "true")); !vs[0].Changed {
		t.Error("the receipt outlived the reset")
	}
}
