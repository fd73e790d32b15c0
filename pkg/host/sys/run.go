package sys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// SearchPath is the PATH programs are looked up in and started with: the bundle's place first, because sudo and sshd
// often leave /usr/local out.
const SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Output is what a program that ran left behind.
type Output struct {
	Stdout, Stderr string
	ExitCode       int
}

// Runner starts a program by its argument list; there is no shell. An exit code other than 0 is not an error: err is
// for programs that could not be started or were stopped because ctx ended.
type Runner interface {
	Run(ctx context.Context, argv ...string) (Output, error)
}

// maxOutput bounds what is kept of either stream of a program.
const maxOutput = 4 << 20

// Exec is the Runner of a real machine.
type Exec struct{}

// Run implements Runner.
func (Exec) Run(ctx context.Context, argv ...string) (Output, error) {
	program, err := LookPath(argv[0])
	if err != nil {
		return Output{}, err
	}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Env = []string{"PATH=" + SearchPath, "LC_ALL=C", "HOME=/root", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"}
	cmd.Dir = "/"
	cmd.WaitDelay = 2 * time.Second
	// What we started must not go on when we are killed: an orphaned pull would work against the next one. The kernel counts the
	// starting thread as the parent, so that thread has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, stderr := &capped{}, &capped{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Run()
	out := Output{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("run %s: %w", argv[0], ctx.Err())
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return out, nil
	case errors.As(err, &exit):
		if out.ExitCode < 0 {
			out.ExitCode = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
		}
		return out, nil
	}
	return out, fmt.Errorf("run %s: %w", argv[0], err)
}

// LookPath finds a program in SearchPath; a name with a slash is taken as it is.
func LookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(SearchPath, ":") {
		p := dir + "/" + name
		if Executable(p) {
			return p, nil
		}
	}
	return "", &NotFoundError{Program: name}
}

// NotFoundError says that a program is not on the host.
type NotFoundError struct{ Program string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("program %q is not on the host (looked in %s)", e.Program, SearchPath)
}

// LastLines returns the last n lines of the program's words, stderr after stdout.
func (o Output) LastLines(n int) []string {
	return LastLines(o.Stdout+"\n"+o.Stderr, n)
}

// LastLines returns the last n lines of s that are not blank.
func LastLines(s string, n int) []string {
	var lines []string
	for l := range strings.Lines(s) {
		if l = strings.TrimRight(l, "\r\n \t"); l != "" {
			lines = append(lines, l)
		}
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines
}

// capped keeps the first maxOutput bytes and swallows the rest.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if room := maxOutput - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
