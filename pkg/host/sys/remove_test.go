package sys_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

func host(t *testing.T) *sys.System {
	t.Helper()
	return &sys.System{Root: t.TempDir()}
}

func write(t *testing.T, s *sys.System, p, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.Path(p)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(p), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, s *sys.System, target, p string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.Path(p)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, s.Path(p)); err != nil {
		t.Fatal(err)
	}
}

func TestATreeIsRemovedAndWhatItsLinksLeadToStays(t *testing.T) {
	for _, c := range []struct {
		name   string
		remove func(*sys.System) error
		gone   []string
		stay   []string
	}{
		{"a tree", func(s *sys.System) error { return s.RemoveTree("/srv/tree") }, []string{"/srv/tree"}, []string{"/srv/link", "/srv/other/file"}},
		{"a link is removed itself", func(s *sys.System) error { return s.RemoveTree("/srv/link") }, []string{"/srv/link"}, []string{"/srv/tree/deep/er/file", "/srv/other/file"}},
		{"what is behind a link", func(s *sys.System) error { return s.EmptyTree("/srv/link") }, []string{"/srv/tree/deep", "/srv/tree/theirs"}, []string{"/srv/link", "/srv/tree/lost+found", "/srv/other/file"}},
		{"what is not there", func(s *sys.System) error { return s.RemoveTree("/none/there") }, nil, []string{"/srv/tree/deep/er/file"}},
		{"a file", func(s *sys.System) error { return s.RemoveTree("/srv/other/file") }, []string{"/srv/other/file"}, []string{"/srv/other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := host(t)
			write(t, s, "/srv/tree/deep/er/file", "x")
			write(t, s, "/srv/tree/lost+found", "x")
			write(t, s, "/srv/other/file", "x")
			link(t, s, "../other", "/srv/tree/theirs")
			link(t, s, "tree", "/srv/link")
			if err := c.remove(s); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.gone {
				if sys.Exists(s.Path(p)) {
					t.Errorf("%s is still there", p)
				}
			}
			for _, p := range c.stay {
				if !sys.Exists(s.Path(p)) {
					t.Errorf("%s is gone", p)
				}
			}
		})
	}
}

func TestAPathIsResolvedBelowTheRoot(t *testing.T) {
	s := host(t)
	write(t, s, "/data/kubelet/config.yaml", "x")
	link(t, s, "/data/kubelet", "/var/lib/kubelet")
	link(t, s, "../data", "/srv/up")
	link(t, s, "../../../../../../data", "/srv/out")
	link(t, s, "/srv/circle", "/srv/circle")
	for p, want := range map[string]string{
		"/": "/", "/data": "/data", "/var/lib/kubelet": "/data/kubelet", "/var/lib/kubelet/pods/x": "/data/kubelet/pods/x",
		"/srv/up/kubelet": "/data/kubelet", "/srv/out/kubelet/../kubelet": "/data/kubelet", "/not/there": "/not/there",
	} {
		if got, err := s.Resolve(p); err != nil || got != want {
			t.Errorf("%s leads to %q, %v", p, got, err)
		}
	}
	if _, err := s.Resolve("/srv/circle/x"); err == nil {
		t.Error("a link to itself leads somewhere")
	}
}

// table is what a machine with a disk at /data has, whose kubelet's directory is a bind mount of a part of it. Mount 40 was made by the
// other path to that directory, 41 lies in it, 42 hides 43, and 50 mounts a part of the kubelet's directory elsewhere.
const table = `20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
30 20 8:17 / /data rw - ext4 /dev/sdb1 rw
31 20 8:17 /kubelet /var/lib/kubelet rw - ext4 /dev/sdb1 rw
40 30 8:1 /srv/foreign /data/kubelet/pods/a\040b rw - ext4 /dev/sda1 rw
41 40 0:50 / /data/kubelet/pods/a\040b/in rw - tmpfs x rw
43 31 0:52 / /var/lib/kubelet/pods/y/z rw - tmpfs x rw
42 31 0:51 / /var/lib/kubelet/pods/y rw - tmpfs x rw
50 20 8:17 /kubelet/pods /srv/pods rw - ext4 /dev/sdb1 rw
60 20 8:1 /etc/self /etc/self rw shared:1 - ext4 /dev/sda1 rw
70 20 8:17 /kubelet-other /opt/other rw - ext4 /dev/sdb1 rw
71 70 0:53 / /opt/other/x rw - tmpfs x rw
`

func TestMountsAreFoundByDeviceWhateverPathTheyWereMadeBy(t *testing.T) {
	s := host(t)
	write(t, s, "/proc/self/mountinfo", table)
	m, err := s.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string][]int{
		"/var/lib/kubelet": {42, 43, 41, 40}, "/data/kubelet": {42, 43, 41, 40}, "/srv/pods": {42, 43, 41, 40},
		"/data/kubelet-other": {71}, "/etc/self": nil, "/var/lib/etcd": nil,
	} {
		var got []int
		for _, x := range m.In(dir) {
			got = append(got, x.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in %s: %v", dir, got)
		}
	}
	for p, want := range map[string]string{"/etc": "/", "/data/x": "/data", "/var/lib/kubelet/pods/y/z/q": "/var/lib/kubelet/pods/y", "/data/kubelet/pods/a b/in": "/data/kubelet/pods/a b/in"} {
		if over, ok := m.Over(p); !ok || over.At != want {
			t.Errorf("%s lies on the mount at %q", p, over.At)
		}
	}
	for p, want := range map[string]bool{"/": false, "/data": true, "/data/kubelet": false, "/etc/self": false, "/var/lib/kubelet": true} {
		if m.Point(p) != want {
			t.Errorf("%s is a mount point: %t", p, !want)
		}
	}
	for _, x := range m.In("/var/lib/kubelet") {
		if m.Visible(x) == (x.ID == 43) {
			t.Errorf("%s (%d) is visible: %t", x.At, x.ID, m.Visible(x))
		}
	}
}

func TestWhatTheMachineMountsByItselfIsKnown(t *testing.T) {
	s := host(t)
	write(t, s, "/etc/fstab", "# /dev/x /commented ext4\nUUID=1 / ext4 defaults 0 1\n/dev/sdb1 /var/lib/a\\040b ext4\nnone none swap sw\n")
	write(t, s, "/etc/systemd/system/srv-x.mount", "[Mount]\nWhat=/dev/sdc1\nWhere=/srv/link/x\n")
	link(t, s, "/data", "/srv/link")
	if got := s.Configured(); !slices.Equal(got, []string{"/", "/var/lib/a b", "/data/x"}) {
		t.Errorf("%q", got)
	}
}
