// Package sys is how the helper touches the machine: paths below a root, programs by argv, files written so that a
// crash leaves the old or the new content. It must not know what a resource, a ledger or a cluster is.
package sys

import (
	"path/filepath"
	"time"
)

// StateDir is where the helper keeps everything that outlives a session.
const StateDir = "/var/lib/kubewright"

// RuntimeDir is where the helper keeps what must not outlive a boot.
const RuntimeDir = "/run/kubewright"

// System is one machine, or a directory that stands for one in tests.
type System struct {
	// Root is put before every path; "" or "/" is the real machine.
	Root string
	// Runner starts programs.
	Runner Runner
	// Now is the clock.
	Now func() time.Time
}

// Path is the place of an absolute path of the host.
func (s *System) Path(elem ...string) string {
	return filepath.Join(append([]string{"/" + s.Root}, elem...)...)
}

// State is the place of a path below StateDir.
func (s *System) State(elem ...string) string {
	return s.Path(append([]string{StateDir}, elem...)...)
}

// Real says that Root is the machine itself, so that what exists once per kernel may be asked.
func (s *System) Real() bool { return s.Root == "" || s.Root == "/" }
