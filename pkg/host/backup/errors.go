package backup

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// ExitNoSpace is the exit code of the backup program when there is too little room: that of ENOSPC.
const ExitNoSpace = 28

// SpaceError says that there is, or was on the way, too little room. Nothing was left behind.
type SpaceError struct {
	// Path is in the file system that is too small, or names the two where it may have been either.
	Path string
	// Need and Free are bytes; both are 0 when the file system filled up on the way.
	Need, Free int64
	// Err is the failure on the way.
	Err error
}

func (e *SpaceError) Error() string {
	if e.Need == 0 {
		return fmt.Sprintf("the file system of %s filled up: free some space and take the backup again (%v)", e.Path, e.Err)
	}
	return fmt.Sprintf("a backup needs %d MiB in the file system of %s, which has %d MiB free: free some space, or put backups elsewhere",
		e.Need>>20, e.Path, e.Free>>20)
}

func (e *SpaceError) Unwrap() error { return e.Err }

// asSpace gives an error its type when a full file system is behind it, also one that another program met.
func asSpace(err error, path string) error {
	if err != nil && (sys.NoSpace(err) || strings.Contains(err.Error(), "no space left on device")) {
		return &SpaceError{Path: path, Err: err}
	}
	return err
}

// TakenError says that a file of this name is there which is not this cluster's backup.
type TakenError struct{ Path string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("%s is there already and is not a backup of this cluster: give the backup another name, or move the file away", e.Path)
}

// DamagedError says that a snapshot cannot be what etcd holds.
type DamagedError struct{ Why string }

func (e *DamagedError) Error() string { return "the snapshot of etcd is no good: " + e.Why }
