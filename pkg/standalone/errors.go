package standalone

import (
	"errors"
	"fmt"
)

// ErrNoState says that a state directory holds nothing yet.
var ErrNoState = errors.New("there is no state")

// LockedError says that another process uses the state directory.
type LockedError struct {
	// Dir is the state directory.
	Dir string
	// PID of the process that holds it; 0 when it could not be read.
	PID int
	// Command that process runs, e.g. up.
	Command string
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d (kubewright %s)", e.PID, e.Command)
	}
	return fmt.Sprintf("the state directory %s is in use by %s; wait for it to end, or use another --state-dir", e.Dir, who)
}

// ProgramError says that etcd or kube-apiserver ended though it should run.
type ProgramError struct {
	// Program is etcd or kube-apiserver, LogPath its log.
	Program, LogPath string
	// Tail holds the last lines of the log.
	Tail string
	// Err is how it ended.
	Err error
}

func (e *ProgramError) Error() string {
	s := fmt.Sprintf("the embedded %s ended: %v; its log is %s", e.Program, e.Err, e.LogPath)
	if e.Tail != "" {
		s += ", and ends with:\n" + e.Tail
	}
	return s
}

func (e *ProgramError) Unwrap() error { return e.Err }
