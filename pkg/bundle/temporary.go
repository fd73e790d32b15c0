package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// temporaryPrefix is what the names of temporary files for path begin with; a number follows.
func temporaryPrefix(path string) string { return "." + filepath.Base(path) + "." }

// createTemporary makes a temporary file beside path and holds its lock until it is closed.
func createTemporary(path string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Dir(path), temporaryPrefix(path)+"*")
		if err != nil {
			return nil, err
		}
		// Where nothing can be locked it is not busy, and nobody removes what he cannot lock.
		busy := errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		same, err := stillNamed(f)
		if err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
		if same && !busy {
			return f, nil
		}
		// Another process took it for a leftover before it was locked, and removes it.
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// removeLeftovers removes the temporary files for path that no process holds: their writers were killed.
func removeLeftovers(path string) error {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), temporaryPrefix(path))
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		if err := removeLeftover(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove what an earlier run has left: %w", err)
		}
	}
	return nil
}

// removeLeftover removes one temporary file unless somebody holds it.
func removeLeftover(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil // it was finished or removed meanwhile, or is another user's
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // somebody is writing it, or nothing can be locked here
	}
	if same, err := stillNamed(f); err != nil || !same {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}
