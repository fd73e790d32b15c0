// Package lease lets one session at a time change a host. The lock lives as long as the helper process, so a dead
// session never blocks the next; the token only ever grows, so a late request of an older session is told apart.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// retryInterval is how often a waiting Acquire tries again.
const retryInterval = 100 * time.Millisecond

// Lease is this process's view of the host's lease.
type Lease struct {
	lockPath, tokenPath string

	mu    sync.Mutex
	file  *os.File
	token int64
}

type holder struct {
	Holder    string `json:"holder"`
	Operation string `json:"operation"`
	PID       int    `json:"pid"`
}

// New returns the lease of the host; nothing is acquired or created.
func New(s *sys.System) *Lease {
	return &Lease{lockPath: s.State("lease"), tokenPath: s.State("lease.token")}
}

// Acquire takes the lease, waiting at most wait, and returns a token higher than all before. A session that holds it
// already gets a new token. Errors: *api.LeaseHeldError.
func (l *Lease) Acquire(ctx context.Context, wait time.Duration, name, operation string) (int64, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for {
		token, err := l.try(name, operation)
		var held *api.LeaseHeldError
		if err == nil || !errors.As(err, &held) || wait <= 0 {
			return token, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-deadline.C:
			return 0, err
		case <-tick.C:
		}
	}
}

func (l *Lease) try(name, operation string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.file
	if f == nil {
		if err := os.MkdirAll(filepath.Dir(l.lockPath), 0o700); err != nil {
			return 0, fmt.Errorf("acquire the lease: %w", err)
		}
		var err error
		if f, err = os.OpenFile(l.lockPath, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
			return 0, fmt.Errorf("acquire the lease: %w", err)
		}
		// An open-file-description lock goes away with the last descriptor of this opening, however the process ends,
		// and is not inherited by programs we start, because Go opens files close-on-exec.
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile(unix.F_WRLCK))
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			h := readHolder(f)
			_ = f.Close()
			return 0, &api.LeaseHeldError{Holder: h.Holder, Operation: h.Operation}
		}
		if err != nil {
			_ = f.Close()
			return 0, fmt.Errorf("lock %s: %w", l.lockPath, err)
		}
	}
	token, err := l.nextToken()
	if err == nil {
		err = writeHolder(f, holder{Holder: name, Operation: operation, PID: os.Getpid()})
	}
	if err != nil {
		if l.file == nil {
			_ = f.Close()
		}
		return 0, err
	}
	l.file, l.token = f, token
	return token, nil
}

// Release lets the lease go; without it, the end of the process does.
func (l *Lease) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Truncate(0)
		_ = l.file.Close()
		l.file, l.token = nil, 0
	}
}

// Verify refuses a request whose token is not the one this process holds the lease with. Errors: *api.FencedError.
func (l *Lease) Verify(token int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && token == l.token && token != 0 {
		return nil
	}
	current, err := l.readToken()
	if err != nil {
		return err
	}
	return &api.FencedError{Got: token, Current: current}
}

// Held says that this process holds the lease.
func (l *Lease) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file != nil
}

// State tells who holds the lease now, without disturbing anybody.
func (l *Lease) State() (api.LeaseState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	token, err := l.readToken()
	if err != nil {
		return api.LeaseState{}, err
	}
	state := api.LeaseState{Token: token}
	f := l.file
	if f == nil {
		f, err = os.OpenFile(l.lockPath, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return state, nil
		}
		if err != nil {
			return state, fmt.Errorf("look at the lease: %w", err)
		}
		defer func() { _ = f.Close() }()
		lock := wholeFile(unix.F_WRLCK)
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock); err != nil {
			return state, fmt.Errorf("look at the lease: %w", err)
		}
		if lock.Type == unix.F_UNLCK {
			return state, nil
		}
	}
	h := readHolder(f)
	state.Held, state.Holder, state.Operation = true, h.Holder, h.Operation
	return state, nil
}

func wholeFile(typ int16) *unix.Flock_t { return &unix.Flock_t{Type: typ, Whence: 0} }

func (l *Lease) readToken() (int64, error) {
	data, err := os.ReadFile(l.tokenPath)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the fencing token: %w", err)
	}
	t, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the fencing token in %s cannot be read (%w): put a number there that is higher than any used before", l.tokenPath, err)
	}
	return t, nil
}

func (l *Lease) nextToken() (int64, error) {
	t, err := l.readToken()
	if err != nil {
		return 0, err
	}
	t++
	if err := sys.WriteFileSync(l.tokenPath, []byte(strconv.FormatInt(t, 10)+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("write the fencing token: %w", err)
	}
	return t, nil
}

// readHolder is for messages only, so an unreadable holder is an empty one.
func readHolder(f *os.File) holder {
	var h holder
	buf := make([]byte, 4096)
	n, _ := f.ReadAt(buf, 0)
	_ = json.Unmarshal(buf[:n], &h)
	return h
}

func writeHolder(f *os.File, h holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode the lease's holder: %w", err)
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("write the lease's holder: %w", err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return fmt.Errorf("write the lease's holder: %w", err)
	}
	return nil
}
