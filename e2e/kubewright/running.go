package kubewright

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"sync"
	"time"
)

// Running is a call of the program that goes on in the background.
type Running struct {
	command *exec.Cmd
	output  *lines
	ended   chan struct{}
	// err is how it ended; set before ended is closed.
	err error
}

// Start begins a call and returns at once. What it prints is kept, and copied to Output if there is one.
func (i *Installation) Start(command *exec.Cmd) (*Running, error) {
	r := &Running{command: command, output: &lines{changed: make(chan struct{}), copy: i.Output}, ended: make(chan struct{})}
	command.Stdout, command.Stderr = r.output, r.output
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		r.err = command.Wait()
		close(r.ended)
	}()
	return r, nil
}

// EndedEarlyError says that the program ended before it printed what was waited for.
type EndedEarlyError struct {
	Pattern string
	Output  string
	Err     error
}

// Error shows what it printed.
func (e *EndedEarlyError) Error() string {
	return fmt.Sprintf("the program ended (%v) before it printed %q; it printed\n%s", e.Err, e.Pattern, e.Output)
}

// Unwrap is how it ended; nil when it ended well.
func (e *EndedEarlyError) Unwrap() error { return e.Err }

// Await returns the first match in what the program has printed, as soon as there is one. When it ends without one the error is an
// *EndedEarlyError.
func (r *Running) Await(ctx context.Context, pattern *regexp.Regexp) (string, error) {
	for {
		// Asked before the text is read, so that nothing that is printed in between is missed.
		changed, over := r.output.wait(), r.over()
		text := r.Output()
		if found := pattern.FindString(text); found != "" {
			return found, nil
		}
		if over {
			return "", &EndedEarlyError{Pattern: pattern.String(), Output: text, Err: r.err}
		}
		select {
		case <-changed:
		case <-r.ended:
		case <-ctx.Done():
			return "", fmt.Errorf("the program did not print %q: %w; it printed\n%s", pattern, ctx.Err(), text)
		}
	}
}

// Outlives waits so long and tells whether the program still runs then.
func (r *Running) Outlives(d time.Duration) bool {
	select {
	case <-r.ended:
		return false
	case <-time.After(d):
		return true
	}
}

// Wait returns what was printed and how the program ended.
func (r *Running) Wait() (string, error) {
	<-r.ended
	return r.Output(), r.err
}

// Kill sends SIGKILL and returns when the program is gone. One that has ended by itself stays ended.
func (r *Running) Kill() {
	_ = r.command.Process.Kill()
	<-r.ended
}

// Output is what has been printed so far.
func (r *Running) Output() string {
	r.output.mu.Lock()
	defer r.output.mu.Unlock()
	return r.output.text.String()
}

func (r *Running) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// lines keeps what is written and tells who waits.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
	copy    io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	close(l.changed)
	l.changed = make(chan struct{})
	if l.copy != nil {
		return l.copy.Write(p)
	}
	return len(p), nil
}

// wait returns a channel that is closed at the next write.
func (l *lines) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}
