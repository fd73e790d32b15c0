package detach

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubewright/kubewright/pkg/host/sys"
	"syscall"
)

// Left is the first directory that matches one of the patterns of what a program leaves and that must not stay; "" when there is none.
func (m *Manager) Left(patterns []string) string {
	found := m.scratch(patterns)
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// Sweep removes the directories that match the patterns.
func (m *Manager) Sweep(patterns []string) error {
	var errs []error
	for _, dir := range m.scratch(patterns) {
		if err := m.Sys.RemoveTree(dir); err != nil {
			errs = append(errs, fmt.Errorf("remove what the command left: %w", err))
		}
	}
	return errors.Join(errs...)
}

// scratch lists the directories of the host that match. A link is not followed, and what something is mounted on is not the
// program's: neither counts.
func (m *Manager) scratch(patterns []string) []string {
	var dirs []string
	for _, pattern := range patterns {
		matches, err := filepath.Glob(m.Sys.Path(pattern))
		if err != nil {
			continue // requests are validated
		}
		for _, match := range matches {
			below, err := filepath.Rel(m.Sys.Path("/"), match)
			if err == nil && ordinaryDir(match) {
				dirs = append(dirs, "/"+below)
			}
		}
	}
	return dirs
}

// ordinaryDir says that a path is a directory on the file system of the one above it.
func ordinaryDir(path string) bool {
	fi, err := os.Lstat(path)
	if err != nil || !fi.IsDir() {
		return false
	}
	above, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return false
	}
	own, ok := fi.Sys().(*syscall.Stat_t)
	other, okAbove := above.Sys().(*syscall.Stat_t)
	return ok && okAbove && own.Dev == other.Dev
}

// discard removes files that a program which ended well needs no more; a link goes itself.
func (m *Manager) discard(paths []string) error {
	for _, p := range paths {
		if err := os.Remove(m.Sys.Path(p)); err != nil && !sys.Missing(err) {
			return fmt.Errorf("remove what the command needs no more: %w", err)
		}
	}
	return nil
}
