package standalone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// holder is what the lock file says about the process that holds it.
type holder struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
}

// lock holds a state directory for this process. The kernel gives it back when the process ends in whatever way.
type lock struct {
	file *os.File
}

// lock takes the directory or returns a *LockedError at once.
func (d *Dir) lock(command string) (*lock, error) {
	file, err := os.OpenFile(d.lockPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the state directory: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer file.Close() //nolint:errcheck // nothing was written
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the state directory %s: %w; it must be on a file system that can lock", d.path, err)
		}
		var by holder
		if content, err := io.ReadAll(file); err == nil {
			// A holder that has not written yet is unknown; the refusal stands all the same.
			_ = json.Unmarshal(content, &by)
		}
		return nil, &LockedError{Dir: d.path, PID: by.PID, Command: by.Command}
	}
	l := &lock{file: file}
	content, err := json.Marshal(holder{PID: os.Getpid(), Command: command})
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt(content, 0)
	}
	if err != nil {
		_ = l.release()
		return nil, fmt.Errorf("write the lock of the state directory: %w", err)
	}
	return l, nil
}

// release gives the directory back.
func (l *lock) release() error { return l.file.Close() }
