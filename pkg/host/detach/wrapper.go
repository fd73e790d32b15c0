package detach

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/redact"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// maxOutputFile is when output moves to the old file; two of this size are kept.
	maxOutputFile = 512 << 10
	// maxLine bounds one line of output.
	maxLine = 64 << 10
	// timedOutCode is the exit code reported for a run that was stopped for its bound, as timeout(1) does.
	timedOutCode = 124
	// stoppedCode is the exit code reported for a run that was stopped because what it waited for ended again and again: that of SIGTERM.
	stoppedCode = 128 + int(syscall.SIGTERM)
	// notStartedCode is reported when the program could not be started, as shells do.
	notStartedCode = 127
	// stopGrace is between SIGTERM and SIGKILL at the bound.
	stopGrace = 10 * time.Second
)

// Wrap is the program inside the transient unit: it runs what the request of name says, keeps its output (redacted and
// bounded), and leaves result and receipt behind. It returns the exit code of the unit.
func Wrap(s *sys.System, name string) (int, error) {
	m := &Manager{Sys: s}
	lock, err := m.lock(name)
	if err != nil {
		return notStartedCode, err
	}
	// The lock is held up to the end of the process: nobody sees "not running" before the result is there.
	defer func() { _ = lock.Close() }()
	defer func() { _ = s.RemoveTree(api.RunDir(name)) }()
	req, err := m.Request(name)
	if err != nil {
		return notStartedCode, err
	}
	if req == nil {
		return notStartedCode, fmt.Errorf("command %s has no request on this host", name)
	}
	result := m.executeWithout(req)
	if err := m.Sweep(req.Scratch); err != nil {
		// The check afterwards finds what stayed, and says so.
		result.Error = strings.TrimPrefix(result.Error+"; "+err.Error(), "; ")
	}
	if result.ExitCode == 0 {
		if err := m.discard(req.Discards); err != nil {
			return notStartedCode, err
		}
		if err := m.leaveReceipts(req, result); err != nil {
			return notStartedCode, err
		}
	}
	return result.ExitCode, writeJSON(m.runPath(name, resultFile), result)
}

// executeWithout runs the program without the files it should not find. They come back when it fails.
func (m *Manager) executeWithout(req *Request) Result {
	err := m.putAside(req)
	if err != nil {
		now := m.Sys.Now().UTC()
		return Result{
			Operation: req.Operation, Key: req.Key, ExitCode: notStartedCode, Started: now, Finished: now,
			Error: errors.Join(err, m.putBack(req)).Error(),
		}
	}
	result := m.execute(req)
	if result.ExitCode == 0 {
		err = m.dropAside(req)
	} else {
		err = m.putBack(req)
	}
	if err != nil {
		result.Error = strings.TrimPrefix(result.Error+"; "+err.Error(), "; ")
	}
	return result
}

func (m *Manager) lock(name string) (*os.File, error) {
	f, err := os.OpenFile(m.runPath(name, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock command %s: %w", name, err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("command %s runs already: %w", name, err)
	}
	return f, nil
}

func (m *Manager) execute(req *Request) Result {
	result := Result{Operation: req.Operation, Key: req.Key, Started: m.Sys.Now().UTC()}
	fail := func(err error) Result {
		result.ExitCode, result.Error, result.Finished = notStartedCode, err.Error(), m.Sys.Now().UTC()
		return result
	}
	var secrets [][]byte
	for _, p := range req.SecretFiles {
		data, err := os.ReadFile(m.Sys.Path(p))
		if err != nil {
			return fail(fmt.Errorf("read input: %w", err))
		}
		secrets = append(secrets, data)
	}
	watch := api.Watch{}
	var watched *watcher
	if req.Watch != nil {
		// Before the program begins: what ends from then on counts.
		watch, watched = *req.Watch, newWatcher(m.Sys, req.Watch)
	}
	kept, err := m.keep(watch.Restores)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), req.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, req.Argv[0], req.Argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = environment(req.Env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	pr, pw := io.Pipe()
	cmd.Stdout, cmd.Stderr = pw, pw
	written := make(chan error, 1)
	go func() { written <- m.keepOutput(req.Name, pr, redact.New(secrets...)) }()

	// systemd's SIGTERM reaches the wrapper alone (KillMode=mixed); the program must hear it, and its end be recorded.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	if err = cmd.Start(); err == nil {
		running, over := context.WithCancel(ctx)
		var watching sync.WaitGroup
		watching.Go(func() {
			select {
			case <-signals:
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
			case <-running.Done():
			}
		})
		if watched != nil {
			watching.Go(func() {
				watched.until(running, func(e *Ended) {
					result.Ended = e
					cancel()
				})
			})
		}
		err = cmd.Wait()
		over()
		watching.Wait()
	}
	_ = pw.Close()
	outputErr := <-written
	result.Finished = m.Sys.Now().UTC()
	var exit *exec.ExitError
	switch {
	case result.Ended != nil && err != nil:
		result.ExitCode = stoppedCode
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		result.TimedOut, result.ExitCode = true, timedOutCode
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &exit):
		result.ExitCode = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			result.ExitCode = 128 + int(status.Signal())
		}
	default:
		return fail(err)
	}
	if outputErr != nil {
		result.Error = outputErr.Error()
	}
	switch {
	case result.ExitCode == 0:
		result.Ended = nil // it got through all the same
	case result.Ended != nil:
		if result.Ended.Restored, err = m.restore(kept); err != nil {
			result.Error = strings.TrimPrefix(result.Error+"; "+err.Error(), "; ")
		}
	}
	return result
}

func environment(extra map[string]string) []string {
	env := []string{"PATH=" + sys.SearchPath, "HOME=/root", "LC_ALL=C"}
	for k, v := range extra {
		env = append(env, k+"="+v)
	}
	slices.Sort(env[3:])
	return env
}

// keepOutput writes redacted lines. It reads to the end even when the disk is full, or the program would block.
func (m *Manager) keepOutput(name string, r io.Reader, red *redact.Redactor) error {
	path := m.runPath(name, outputFile)
	f, firstErr := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	size := 0
	br := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 && firstErr == nil {
			var n int
			n, firstErr = fmt.Fprintln(f, red.Line(strings.TrimRight(string(line), "\r\n")))
			if size += n; size > maxOutputFile && firstErr == nil {
				size = 0
				f, firstErr = rotate(f, path, m.runPath(name, oldOutput))
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	if f != nil {
		_ = f.Close()
	}
	return firstErr
}

func rotate(f *os.File, path, old string) (*os.File, error) {
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err := os.Rename(path, old); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}
