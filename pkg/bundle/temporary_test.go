package bundle

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatKilledWritersHaveLeftIsRemovedAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k8s.bundle")
	stays := map[string]bool{
		".k8s.bundle.4711":     false,
		".k8s.bundle.0815":     true, // another process is writing it
		".k8s.bundle.old.4711": true, // it is of another file
		".k8s.bundle.":         true,
		".k8s.bundle.notes":    true,
		"k8s.bundle.4711":      true,
		"k8s.bundle.partial":   true,
	}
	for name := range stays {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half a bundle"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(filepath.Join(dir, ".k8s.bundle.0815"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close() //nolint:errcheck // it only holds a lock
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	cfg, blobs := fixture(t)
	if _, err := Write(t.Context(), path, cfg, blobs); err != nil {
		t.Fatal(err)
	}
	for name, want := range stays {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: is there %v, want %v", name, err == nil, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != len(stays) { // one has gone, and the bundle is there
		t.Errorf("there are %v, %v", left, err)
	}
}

func TestATemporaryFileIsNotTakenForALeftoverWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k8s.bundle")
	err := writeAtomicMode(path, 0o644, func(w io.Writer) error {
		if err := removeLeftovers(path); err != nil {
			return err
		}
		_, err := io.WriteString(w, "content")
		return err
	})
	if err != nil || string(readFile(t, path)) != "content" {
		t.Errorf("the file that was being written is gone: %v", err)
	}
}
