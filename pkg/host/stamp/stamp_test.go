package stamp_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/stamp"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func write(t *testing.T, s *sys.System, p, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.Path(p)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(p), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAStampHoldsUntilTheFileOrTheBootChanges(t *testing.T) {
	s := &sys.System{Root: t.TempDir()}
	write(t, s, "/proc/sys/kernel/random/boot_id", "boot-1\n")
	write(t, s, sys.StateDir+"/x", "")
	write(t, s, "/f", "content")
	c := stamp.Open(s)
	want, err := c.Digest("/f")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if got, ok := stamp.Open(s).Known("/f"); !ok || got != want {
		t.Errorf("after saving: %q, %v", got, ok)
	}
	if p, ok := c.Find(want); !ok || p != "/f" {
		t.Errorf("found at %q, %v", p, ok)
	}
	write(t, s, "/f", "CONTENT")
	if _, ok := c.Known("/f"); ok {
		t.Error("the stamp outlived other bytes of the same length")
	}
	if _, ok := c.Find(want); ok {
		t.Error("a changed file was found by its old digest")
	}
	if _, err := c.Digest("/f"); err != nil {
		t.Fatal(err)
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	write(t, s, "/proc/sys/kernel/random/boot_id", "boot-2\n")
	if _, ok := stamp.Open(s).Known("/f"); ok {
		t.Error("the stamp outlived a reboot, after which unsynced bytes may be missing")
	}
}

func TestLookingAtAHostWithoutStateWritesNothing(t *testing.T) {
	s := &sys.System{Root: t.TempDir()}
	write(t, s, "/f", "content")
	c := stamp.Open(s)
	if _, err := c.Digest("/f"); err != nil {
		t.Fatal(err)
	}
	if err := c.Save(); err != nil || sys.Exists(s.State()) {
		t.Errorf("%v, state exists: %v", err, sys.Exists(s.State()))
	}
}
