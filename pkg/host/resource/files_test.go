package resource_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/fetch"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/journal"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/resource"
	"github.com/kubewright/kubewright/pkg/host/stamp"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// newTask works on a host without a session.
func newTask(t *testing.T, h *hosttest.Host) *resource.Task {
	t.Helper()
	if err := os.MkdirAll(h.Path(sys.StateDir), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(h.Sys)
	if err != nil {
		t.Fatal(err)
	}
	host := &resource.Host{Sys: h.Sys, Ledger: l, Journal: journal.New(h.Sys), Stamps: stamp.Open(h.Sys), Runs: &detach.Manager{Sys: h.Sys}, Fetch: fetch.New("", nil)}
	return host.NewTask("op", "step", fetch.Way{}, nil)
}

func applied(t *testing.T, task *resource.Task, rs ...api.Resource) []api.Verdict {
	t.Helper()
	vs, err := task.Apply(t.Context(), rs)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

func checked(t *testing.T, task *resource.Task, r api.Resource) api.Verdict {
	t.Helper()
	vs, err := task.Check(t.Context(), []api.Resource{r})
	if err != nil {
		t.Fatal(err)
	}
	return vs[0]
}

func failure(t *testing.T, task *resource.Task, r api.Resource) *api.ResourceError {
	t.Helper()
	_, err := task.Apply(t.Context(), []api.Resource{r})
	var re *api.ResourceError
	if !errors.As(err, &re) {
		t.Fatalf("got %v, want a ResourceError", err)
	}
	return re
}

func entry(t *testing.T, task *resource.Task, typ ledger.Type, name string) *ledger.Entry {
	t.Helper()
	for _, e := range task.Ledger.Entries() {
		if e.Type == typ && e.Name == name {
			return &e
		}
	}
	return nil
}

func TestAFileIsMadeWithItsParentsAndThenLeftAlone(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	r := api.Resource{ID: "f", File: &api.File{Path: "/etc/kw/deep/f", Mode: 0o640, Content: []byte("one\n")}}
	if v := applied(t, task, r)[0]; !v.Changed || v.State != api.Done {
		t.Errorf("first: %+v", v)
	}
	fi, err := os.Stat(h.Path("/etc/kw/deep/f"))
	if err != nil || fi.Mode().Perm() != 0o640 || h.Read("/etc/kw/deep/f") != "one\n" {
		t.Errorf("made as %v, %v", fi, err)
	}
	if v := applied(t, task, r)[0]; v.Changed {
		t.Errorf("second: %+v", v)
	}
	for _, d := range []string{"/etc/kw", "/etc/kw/deep"} {
		if e := entry(t, task, ledger.TypeDir, d); e == nil || !e.Created {
			t.Errorf("the ledger says of %s: %+v", d, e)
		}
	}
	if e := entry(t, task, ledger.TypeDir, "/etc"); e != nil {
		t.Error("/etc was there before us, yet is in the ledger")
	}
	if err := os.Chmod(h.Path("/etc/kw/deep/f"), 0o666); err != nil {
		t.Fatal(err)
	}
	if v := checked(t, task, r); v.State != api.Needed || !strings.Contains(v.Why, "mode") {
		t.Errorf("with another mode: %+v", v)
	}
}

func TestAFileShowsWhatWouldChangeUnlessItIsSecret(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	h.Write(t, "/etc/kw/f", "keep\nold\nkeep2\n")
	want := &api.File{Path: "/etc/kw/f", Content: []byte("keep\nnew\nkeep2\n")}
	if v := checked(t, task, api.Resource{ID: "f", File: want}); v.Diff != " keep\n-old\n+new\n keep2\n" {
		t.Errorf("the diff is %q", v.Diff)
	}
	want.Secret = true
	if v := checked(t, task, api.Resource{ID: "f", File: want}); v.Diff != "" || strings.Contains(v.Why, "old") {
		t.Errorf("a secret file shows %+v", v)
	}
	applied(t, task, api.Resource{ID: "f", File: want})
	if strings.Contains(h.Read("/var/lib/kubewright/journal/op.jsonl"), "new") {
		t.Error("the journal holds the content of a secret file")
	}
}

func TestAReplacedFileIsBackedUpOnceWithWhatOthersWrote(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	h.Write(t, "/etc/kw/f", "theirs")
	applied(t, task, api.Resource{ID: "f", File: &api.File{Path: "/etc/kw/f", Content: []byte("ours 1")}})
	applied(t, task, api.Resource{ID: "f", File: &api.File{Path: "/etc/kw/f", Content: []byte("ours 2")}})
	e := entry(t, task, ledger.TypeFile, "/etc/kw/f")
	if e == nil || e.Created || h.Read("/var/lib/kubewright/backups/"+e.Backup) != "theirs" {
		t.Errorf("the ledger says %+v", e)
	}
}

func TestTheLedgerIsOnDiskBeforeTheChange(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	// A state directory that cannot be written makes recording fail, so the change must not happen.
	if err := os.RemoveAll(h.Path(sys.StateDir)); err != nil {
		t.Fatal(err)
	}
	h.Write(t, sys.StateDir, "in the way")
	_, err := task.Apply(t.Context(), []api.Resource{{ID: "f", File: &api.File{Path: "/etc/f", Content: []byte("x")}}})
	if err == nil || h.Read("/etc/f") != "" {
		t.Errorf("changed without a record: %v, %q", err, h.Read("/etc/f"))
	}
}

func TestLeftoversOfAKilledWriteAreRemoved(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	h.Write(t, "/etc/kw/"+sys.TempPrefix+"123.tmp", "half")
	applied(t, task, api.Resource{ID: "f", File: &api.File{Path: "/etc/kw/f", Content: []byte("x")}})
	left, _ := filepath.Glob(h.Path("/etc/kw/.kubewright-*"))
	if len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestDirectoriesLinksAndAbsence(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	h.Write(t, "/etc/foreign/x", "theirs")
	h.Write(t, "/etc/old", "theirs")
	applied(t, task,
		api.Resource{ID: "dir", Dir: &api.Dir{Path: "/var/lib/etcd", Mode: 0o700, Purge: true}},
		api.Resource{ID: "link", Symlink: &api.Symlink{Path: "/usr/local/bin/x", Target: "/opt/x"}},
		api.Resource{ID: "gone", Absent: &api.Absent{Path: "/etc/old"}},
		api.Resource{ID: "never", Absent: &api.Absent{Path: "/etc/never/was"}})
	if fi, err := os.Stat(h.Path("/var/lib/etcd")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", fi, err)
	}
	if got, err := os.Readlink(h.Path("/usr/local/bin/x")); err != nil || got != "/opt/x" {
		t.Errorf("link to %q, %v", got, err)
	}
	if v := applied(t, task, api.Resource{ID: "link", Symlink: &api.Symlink{Path: "/usr/local/bin/x", Target: "/opt/y"}})[0]; !v.Changed {
		t.Errorf("another target: %+v", v)
	}
	if sys.Exists(h.Path("/etc/old")) {
		t.Error("/etc/old is still there")
	}
	if e := entry(t, task, ledger.TypeTree, "/var/lib/etcd"); e == nil || !e.Created {
		t.Errorf("the tree is recorded as %+v", e)
	}
	if re := failure(t, task, api.Resource{ID: "theirs", Absent: &api.Absent{Path: "/etc/foreign"}}); re.Reason != api.ReasonInvalid {
		t.Errorf("removing a directory of others: %+v", re)
	}
	if h.Read("/etc/foreign/x") != "theirs" {
		t.Error("others' content is gone")
	}
}

func TestADirectoryWithOthersContentIsNotTakenOver(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	h.Write(t, "/var/lib/theirs/data", "x")
	applied(t, task, api.Resource{ID: "d", Dir: &api.Dir{Path: "/var/lib/theirs", Purge: true}})
	if e := entry(t, task, ledger.TypeTree, "/var/lib/theirs"); e != nil {
		t.Errorf("recorded as ours: %+v", e)
	}
}

func TestALinkToADirectoryThatIsNotThereIsNamedBeforeAnythingIsRecorded(t *testing.T) {
	for name, r := range map[string]api.Resource{
		"the directory itself": {ID: "d", Dir: &api.Dir{Path: "/var/lib/kubelet", Purge: true}},
		"one above a file":     {ID: "f", File: &api.File{Path: "/var/lib/kubelet/config.yaml", Content: []byte("x")}},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			task := newTask(t, h)
			if err := os.MkdirAll(h.Path("/var/lib"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/data/kubelet", h.Path("/var/lib/kubelet")); err != nil {
				t.Fatal(err)
			}
			if re := failure(t, task, r); re.Reason != api.ReasonInvalid || !strings.Contains(re.Message, "/var/lib/kubelet is a link to /data/kubelet, which is not there: make that directory") {
				t.Errorf("%+v", re)
			}
			if all := task.Ledger.Entries(); len(all) > 0 {
				t.Errorf("the ledger has %+v", all)
			}
		})
	}
}

func TestTheLedgerSaysWhereALinkLedWhenItWasTakenOver(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	if err := os.MkdirAll(h.Path("/data/kubelet"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.Path("/var/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../data/kubelet", h.Path("/var/lib/kubelet")); err != nil {
		t.Fatal(err)
	}
	h.Write(t, "/proc/self/mountinfo", "20 1 8:1 / / rw - ext4 x rw\n30 20 8:2 / /data rw - ext4 x rw\n")
	applied(t, task, api.Resource{ID: "d", Dir: &api.Dir{Path: "/var/lib/kubelet", Purge: true}})
	if e := entry(t, task, ledger.TypeTree, "/var/lib/kubelet"); e == nil || e.Created || e.At != "/data/kubelet" || e.Mount != "/data" {
		t.Errorf("recorded as %+v", e)
	}
}

func TestAnEmptyDirectoryIntoWhichOnlyWeWroteIsTakenOver(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	if err := os.MkdirAll(h.Path("/var/lib/kubelet"), 0o755); err != nil {
		t.Fatal(err)
	}
	applied(t, task,
		api.Resource{ID: "f", File: &api.File{Path: "/var/lib/kubelet/pki/k", Content: []byte("x")}},
		api.Resource{ID: "d", Dir: &api.Dir{Path: "/var/lib/kubelet", Purge: true}})
	if e := entry(t, task, ledger.TypeTree, "/var/lib/kubelet"); e == nil || e.Created {
		t.Errorf("recorded as %+v", e)
	}
}

func TestKernelParametersAndModules(t *testing.T) {
	h := hosttest.New(t)
	task := newTask(t, h)
	forward := api.Resource{ID: "s", Sysctl: &api.Sysctl{Key: "net.ipv4.ip_forward", Value: "1"}}
	applied(t, task, forward)
	if got := h.Read("/proc/sys/net/ipv4/ip_forward"); got != "1\n" {
		t.Errorf("ip_forward is %q", got)
	}
	if e := entry(t, task, ledger.TypeSysctl, "net.ipv4.ip_forward"); e == nil || e.Previous != "0" {
		t.Errorf("the ledger says %+v", e)
	}
	if v := applied(t, task, forward)[0]; v.Changed {
		t.Errorf("again: %+v", v)
	}
	failure(t, task, api.Resource{ID: "s", Sysctl: &api.Sysctl{Key: "net.no.such", Value: "1"}})

	if v := checked(t, task, api.Resource{ID: "m", Module: &api.Module{Name: "overlay"}}); v.State != api.Done {
		t.Errorf("overlay is in /proc/filesystems, yet %+v", v)
	}
	absent := api.Resource{ID: "m", Module: &api.Module{Name: "br_netfilter"}}
	if re := failure(t, task, absent); !strings.Contains(re.Message, "/lib/modules") {
		t.Errorf("without /lib/modules: %+v", re)
	}
	h.Write(t, "/lib/modules/6.1.0-test/modules.dep", "")
	h.Write(t, "/lib/modules/6.1.0-test/modules.builtin", "kernel/net/netfilter/nf-conntrack.ko\n")
	applied(t, task, absent)
	if n := len(h.System.Calls("modprobe")); n != 1 {
		t.Errorf("modprobe was called %d times", n)
	}
	if v := checked(t, task, api.Resource{ID: "m", Module: &api.Module{Name: "nf_conntrack"}}); v.State != api.Done {
		t.Errorf("a module that is built in: %+v", v)
	}
}

func TestAProbeWaitsUntilItsTimeIsOver(t *testing.T) {
	task := newTask(t, hosttest.New(t))
	if re := failure(t, task, api.Resource{ID: "p", Probe: &api.Probe{TCP: "127.0.0.1:1", TimeoutSeconds: 1}}); re.Reason != api.ReasonTimeout || !re.Retryable {
		t.Errorf("%+v", re)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := task.Apply(ctx, []api.Resource{{ID: "p", Probe: &api.Probe{TCP: "127.0.0.1:1", TimeoutSeconds: 3600}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait: %v", err)
	}
}

func TestALimitOfTheKernelIsRaisedAndNeverLowered(t *testing.T) {
	for now, after := range map[string]string{"128\n": "8192\n", "8192\n": "8192\n", "1048576\n": "1048576\n", "none\n": "8192\n"} {
		h := hosttest.New(t)
		h.Write(t, "/proc/sys/fs/inotify/max_user_instances", now)
		applied(t, newTask(t, h), api.Resource{ID: "limit", Sysctl: &api.Sysctl{Key: "fs.inotify.max_user_instances", Value: "8192", AtLeast: true}})
		if got := h.Read("/proc/sys/fs/inotify/max_user_instances"); got != after {
			t.Errorf("%q became %q, want %q", now, got, after)
		}
	}
}
