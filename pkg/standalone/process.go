package standalone

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// tailBytes is how much of a log is shown when a program ended.
const tailBytes = 1500

// process is a running child.
type process struct {
	program string
	logPath string
	cmd     *exec.Cmd
	// done is closed when the child has ended; ended is how, and must be read only afterwards.
	done  chan struct{}
	ended error
}

// startProcess starts a child that the kernel kills when this process ends, in whatever way. Its output goes to the log, of which
// the one before is kept.
func startProcess(program, path string, args []string, dir, logPath string) (*process, error) {
	if err := os.Rename(logPath, logPath+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("put away the log of %s: %w", program, err)
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", program, err)
	}
	cmd := exec.Command(path, args...) //nolint:gosec // the program was taken out of a verified bundle
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	// The environment is not handed on: proxies and certificates of the user's shell have no business between the two children.
	cmd.Env = []string{"PATH=" + filepath.Dir(path)}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		// A group of its own, so that Ctrl-C reaches only this process, which stops its children in order.
		Setpgid: true,
	}

	p := &process{program: program, logPath: logPath, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child's life to the thread that started it, so that thread is kept until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close() //nolint:errcheck // the child wrote to it, not we
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.ended = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

// failure describes a child that has ended though it should run.
func (p *process) failure() error {
	err := p.ended
	if err == nil {
		err = errors.New("it exited without an error")
	}
	return &ProgramError{Program: p.program, LogPath: p.logPath, Tail: tail(p.logPath), Err: err}
}

// stop asks the child to end, and kills it when it has not done so after grace.
func (p *process) stop(grace time.Duration) {
	// Errors mean that it has ended already, which is what is wanted.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
	}
}

// kill ends the child at once.
func (p *process) kill() {
	// An error means that it has ended already, which is what is wanted.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// tail returns the last whole lines of a file.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if len(content) > tailBytes {
		content = content[len(content)-tailBytes:]
		if i := strings.IndexByte(string(content), '\n'); i >= 0 {
			content = content[i+1:]
		}
	}
	return strings.TrimSpace(string(content))
}
