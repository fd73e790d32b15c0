package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// sudoPatience is how long sudo and the login shell together may take to ask for a password or to run the program. PAM
// delays an answer by 2 to 3 seconds after a wrong password, and name services that do not answer cost 10 to 20 seconds.
const sudoPatience = 40 * time.Second

// pumpSize is the size of the buffer between the connection and the reader of Stdout; one SSH packet fits.
const pumpSize = 64 << 10

// Process is a program that runs on a host.
type Process struct {
	// Stdin is the program's standard input. Close ends it.
	Stdin io.WriteCloser
	// Stdout is the program's standard output. It ends with io.EOF, or with a *ConnectionLostError if the connection broke.
	// It must be read, or the program blocks once the window of 2 MiB is full. After io.EOF, Wait says how the program ended.
	Stdout io.Reader

	client  *Client
	command string
	sudo    bool
	secret  func() string
	session *ssh.Session
	stderr  *tail
	token   string // the line on standard output before which nothing counts; empty for none
	pipe    *io.PipeWriter

	heard  chan struct{} // closed when the token or, without one, the first byte came, or standard output ended before
	spoke  bool          // it came; valid once heard is closed
	exited chan struct{} // closed when err is set

	end    sync.Once
	closed chan struct{} // closed by Close

	mu  sync.Mutex
	err error // how it ended
}

// Start runs cmd and returns as soon as it is under way; cancelling ctx aborts only that. With SudoPassword it returns when
// sudo is content, since until then sudo would take what is written to Stdin for a password.
//
// The error is a *TargetError (nothing was sent), *SudoError, *SessionError, *ExitError or *ConnectionLostError. What a
// program that was started says of its end, sudo's refusal under SudoNoPassword included, comes from Process.Wait.
func (c *Client) Start(ctx context.Context, cmd Command) (*Process, error) {
	if c.sudo.mode == SudoPassword && cmd.Sudo {
		return c.startChecked(ctx, cmd, announceScript)
	}
	return c.startChecked(ctx, cmd, "")
}

// RunHelper starts a program that is meant to run for long, and returns when it is sure that it can run on this host: in
// the same session "PATH version" is run first and must end with status 0. If it does not, the error is an *ExitError,
// with Status 127 when there is no such program and 126 when it cannot run, for example because it is built for another
// platform. Text that start-up files of the login shell print does not get into Stdout. Else it is like Start.
func (c *Client) RunHelper(ctx context.Context, cmd Command) (*Process, error) {
	return c.startChecked(ctx, cmd, helperScript)
}

// These scripts run a program ($1 and following) and announce it by a line on standard output ($0) just before. They are
// constants, and of the same restricted form as placeScript.
const (
	announceScript = `echo "$0"; exec "$@"`
	helperScript   = `if [ -x "$1" ]; then :; else echo "$1 is not there" >&2; exit 127; fi; ` +
		`"$1" version < /dev/null > /dev/null || exit 126; ` + announceScript
)

func (c *Client) startChecked(ctx context.Context, cmd Command, script string) (*Process, error) {
	if field, reason := cmd.check(); reason != "" {
		return nil, &TargetError{Endpoint: c.endpoint, Field: field, Reason: reason}
	}
	return c.start(ctx, cmd.Sudo, script, cmd.Path, append([]string{cmd.Path}, cmd.Args...)...)
}

// start runs the words, each of which is a constant or has been checked, by way of script if there is one.
func (c *Client) start(ctx context.Context, sudo bool, script, name string, words ...string) (*Process, error) {
	mode := SudoNone
	if sudo {
		mode = c.sudo.mode
	}
	marker, err := newMarker("sudo")
	if err != nil {
		return nil, fmt.Errorf("%s: start %s: %w", c.endpoint, name, err)
	}
	p := &Process{
		client: c, command: name, sudo: mode != SudoNone, secret: c.sudo.password,
		stderr: newTail(marker),
		heard:  make(chan struct{}), exited: make(chan struct{}), closed: make(chan struct{}),
	}
	if script != "" {
		if p.token, err = newMarker("ready"); err != nil {
			return nil, fmt.Errorf("%s: start %s: %w", c.endpoint, name, err)
		}
		words = append([]string{"/bin/sh", "-c", "'" + script + "'", p.token}, words...)
	}
	if err := p.open(ctx, execString(mode, marker, words...)); err != nil {
		return nil, err
	}
	if script == "" {
		return p, nil
	}
	var password func() string
	if mode == SudoPassword {
		password = c.sudo.password
	}
	if err := p.settle(ctx, password); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// newMarker makes a word for what sudo asks with, or a program is announced with: random, so that nothing else is taken for it.
func newMarker(kind string) (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("no random numbers: %w", err)
	}
	return "kubewright-" + kind + "-" + hex.EncodeToString(b) + ":", nil
}

// open opens a session and starts the program in it.
func (p *Process) open(ctx context.Context, exec string) error {
	c := p.client
	type pipes struct {
		session        *ssh.Session
		stdin          io.WriteCloser
		stdout, stderr io.Reader
		err            error
	}
	opened := make(chan pipes, 1)
	go func() {
		var o pipes
		if o.session, o.err = c.conn.NewSession(); o.err == nil {
			var errs [3]error
			o.stdin, errs[0] = o.session.StdinPipe()
			o.stdout, errs[1] = o.session.StdoutPipe()
			o.stderr, errs[2] = o.session.StderrPipe()
			if o.err = errors.Join(errs[:]...); o.err == nil {
				o.err = o.session.Start(exec)
			}
			if o.err != nil {
				_ = o.session.Close()
			}
		}
		opened <- o
	}()
	abandon := func() {
		go func() {
			if o := <-opened; o.err == nil {
				_ = o.session.Close()
			}
		}()
	}
	var o pipes
	select {
	case o = <-opened:
	case <-ctx.Done():
		abandon()
		return fmt.Errorf("%s: start %s: %w", c.endpoint, p.command, context.Cause(ctx))
	case <-c.done:
		abandon()
		return fmt.Errorf("start %s: %w", p.command, c.Err())
	}
	if o.err != nil {
		if c.gone() {
			return fmt.Errorf("start %s: %w", p.command, c.Err())
		}
		return &SessionError{Endpoint: c.endpoint, What: "start " + p.command, Err: &heard{o.err}}
	}
	c.sessions.Add(1)
	p.session, p.Stdin = o.session, &stdin{p, o.stdin}
	out, in := io.Pipe()
	p.Stdout, p.pipe = out, in
	go p.pump(o.stdout)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(p.stderr, o.stderr)
	}()
	go p.await(drained)
	return nil
}

// pump carries standard output from the connection to the reader, from the token on. It stands between the two because a
// read from the connection ends only when the host says so, and a reader must not depend on that.
func (p *Process) pump(from io.Reader) {
	buf := make([]byte, pumpSize)
	line := []byte(p.token + "\n")
	var before []byte // what may be the beginning of line
	heard := false
	hear := func(spoke bool) {
		if !heard {
			heard, p.spoke = true, spoke
			close(p.heard)
		}
	}
	for {
		n, err := from.Read(buf)
		data := buf[:n]
		if !heard && p.token != "" {
			before = append(before, data...)
			data = nil
			if i := bytes.Index(before, line); i >= 0 {
				data = before[i+len(line):]
				hear(true)
			} else if over := len(before) - len(line); over > 0 {
				before = append(before[:0], before[over:]...)
			}
		} else if n > 0 {
			hear(true)
		}
		if len(data) > 0 {
			if _, werr := p.pipe.Write(data); werr != nil {
				return
			}
		}
		if err == nil {
			continue
		}
		if p.client.wire.broken.Load() {
			// The end of the transport looks like the end of the output; a reader must not take one for the other.
			<-p.client.done
			err = p.client.Err()
		}
		_ = p.pipe.CloseWithError(err)
		hear(false)
		return
	}
}

// await learns how the program ended.
func (p *Process) await(drained <-chan struct{}) {
	ended := make(chan error, 1)
	go func() {
		err := p.session.Wait()
		select {
		case <-drained:
		case <-p.client.done:
		}
		ended <- err
	}()
	var err error
	select {
	case err = <-ended:
		err = p.verdict(err)
	case <-p.closed:
		err = p.verdict(errClosed)
	case <-p.client.done:
		// A program that ended just before the connection did ended well.
		select {
		case err = <-ended:
			err = p.verdict(err)
		default:
			err = p.client.Err()
		}
	}
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.exited)
}

var errClosed = errors.New("closed before the program ended")

// verdict translates how a session ended.
func (p *Process) verdict(err error) error {
	c := p.client
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errClosed):
		return fmt.Errorf("%s: %s: %w: %w", c.endpoint, p.command, errClosed, net.ErrClosed)
	case errors.As(err, &exit):
		if reason, ok := sudoVerdict(exit.ExitStatus(), p.stderr.String()); ok && p.sudo && !p.hasSpoken() {
			return p.sudoError(reason)
		}
		return &ExitError{Endpoint: c.endpoint, Path: p.command, Status: exit.ExitStatus(), Signal: inbound.Head(exit.Signal(), 50), Stderr: p.Stderr()}
	case c.gone():
		return c.Err()
	}
	return &SessionError{Endpoint: c.endpoint, What: "run " + p.command, Err: &heard{err}}
}

// hasSpoken says of a program that has ended whether it had begun to run, as far as standard output tells.
func (p *Process) hasSpoken() bool {
	select {
	case <-p.heard:
		return p.spoke
	case <-p.client.done:
		return false
	}
}

// settle returns when the program is announced. Until then it answers sudo's question with password, once.
func (p *Process) settle(ctx context.Context, password func() string) error {
	c := p.client
	patience := time.NewTimer(sudoPatience)
	defer patience.Stop()
	asked, heard := 0, p.heard
	for {
		select {
		case <-p.stderr.marked:
			asked++
			if asked > 1 {
				return p.sudoError(WrongPassword)
			}
			if password == nil {
				return p.sudoError(PasswordRequired)
			}
			// sudo reads byte by byte up to the line break, so nothing that follows is lost to it. The write has a goroutine
			// of its own because it can block on a stuck connection; whether it arrived shows in what happens next.
			go func() { _, _ = io.WriteString(p.Stdin, password()+"\n") }()
		case <-heard:
			if !p.spoke {
				heard = nil // it closed its output without a word: only its end can tell more
				continue
			}
			return nil
		case <-p.exited:
			if p.hasSpoken() {
				return nil // what it said may matter more than how it ended; Wait tells that
			}
			return p.Wait()
		case <-ctx.Done():
			return fmt.Errorf("%s: start %s: %w", c.endpoint, p.command, context.Cause(ctx))
		case <-patience.C:
			if p.sudo {
				return p.sudoError(NoAnswer)
			}
			return &SessionError{Endpoint: c.endpoint, What: "start " + p.command,
				Err: fmt.Errorf("it did not start within %s", sudoPatience)}
		}
	}
}

func (p *Process) sudoError(r SudoReason) error {
	return &SudoError{Endpoint: p.client.endpoint, User: p.client.user, Reason: r, Stderr: p.Stderr()}
}

// Stderr is the end of what the program has written to standard error so far, at most 8 KiB. It never holds the sudo password.
func (p *Process) Stderr() string { return p.stderr.redacted(p.secret) }

// Wait returns when the program has ended or the process was closed: nil for status 0, otherwise an *ExitError, *SudoError,
// *SessionError, *ConnectionLostError, or an error that wraps net.ErrClosed. It may be called any number of times.
func (p *Process) Wait() error {
	<-p.exited
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close ends the session without waiting for the host. A program that still runs is not killed by that; it sees the end of
// its standard input. It may be called any number of times.
func (p *Process) Close() {
	p.end.Do(func() {
		close(p.closed)
		_ = p.pipe.CloseWithError(fmt.Errorf("%s: %s: %w", p.client.endpoint, p.command, net.ErrClosed))
		// Closing sends a message, which can block on a stuck connection.
		go func() { _ = p.session.Close() }()
	})
}

// stdin is a program's standard input, with errors that say what happened.
type stdin struct {
	p *Process
	io.WriteCloser
}

// Write implements io.Writer.
func (s *stdin) Write(b []byte) (int, error) {
	n, err := s.WriteCloser.Write(b)
	if err == nil {
		return n, nil
	}
	c := s.p.client
	if c.wire.broken.Load() {
		<-c.done
		return n, fmt.Errorf("write to %s: %w", s.p.command, c.Err())
	}
	return n, fmt.Errorf("%s: write to %s: it reads no more: %w", c.endpoint, s.p.command, err)
}
