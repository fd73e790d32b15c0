package fetch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

const (
	// stopLimit is how long the program may take to make safe what it has, once told to stop.
	stopLimit = 10 * time.Second
	// maxLine bounds what one message may hold; a path and two sentences are far below.
	maxLine = 64 << 10
	// maxComplaint is how much of what a broken program says on its standard error is kept.
	maxComplaint = 4 << 10
)

// Program is kubewright-fetch on this machine. It may be used by several goroutines; each fetch is a process of its own.
type Program struct {
	// Path of the executable, absolute.
	Path string
	// Args are for a program that holds this one as a subcommand; kubewright-fetch takes none.
	Args []string
}

// Fetch carries out one request and calls progress, from this goroutine, whenever there is news. Whatever happens, the destination
// holds the whole expected file or is as it was. Errors: *Error, or the context's when it was cancelled.
func (p *Program) Fetch(ctx context.Context, request Request, progress func(Progress)) (Result, error) {
	request.Protocol = ProtocolVersion
	document, err := json.Marshal(request)
	if err != nil {
		return Result{}, fmt.Errorf("write the request of a fetch: %w", err)
	}
	var complaint tail
	cmd := exec.CommandContext(ctx, p.Path, p.Args...) //nolint:gosec // the path is the installation's, not a user's
	// No environment: no proxy, home directory, cloud profile or token of this process has any say in there.
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(document)
	cmd.Stderr = &complaint
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	// A Ctrl-C in a terminal reaches this process, which then says stop.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, fmt.Errorf("start %s: %w", p.Path, err)
	}
	if err := cmd.Start(); err != nil {
		return Result{}, &Error{Kind: Failed, Message: fmt.Sprintf("start the program that fetches: %v: install kubewright-fetch beside kubewright, or say where it is", err)}
	}
	last, readErr := follow(out, progress)
	// Nothing more is listened to. A program that goes on talking ends by that, instead of waiting for a reader for ever.
	readErr = errors.Join(readErr, out.Close())
	waitErr := cmd.Wait()
	switch {
	case last.Result != nil && waitErr == nil:
		return *last.Result, nil
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	case last.Failure != nil:
		return Result{}, last.Failure
	}
	return Result{}, &Error{Kind: Failed, Message: fmt.Sprintf("the program that fetches ended without an answer (%v): %s", errors.Join(waitErr, readErr), complaint.String())}
}

// follow reads messages until the last one, or until what is none.
func follow(out io.Reader, progress func(Progress)) (Message, error) {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for lines.Scan() {
		var m Message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return Message{}, fmt.Errorf("it said what is no message: %.200q", lines.Text())
		}
		if m.Progress == nil {
			return m, nil
		}
		if progress != nil {
			progress(*m.Progress)
		}
	}
	return Message{}, lines.Err()
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxComplaint; over > 0 {
		t.kept = t.kept[over:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.kept)) }
