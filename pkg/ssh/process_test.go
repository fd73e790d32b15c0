package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// quick makes a silent connection count as lost after a few hundredths of a second.
func quick(to kssh.Target) kssh.Target {
	to.KeepAlive = kssh.KeepAlive{Interval: 20 * time.Millisecond, Misses: 3}
	return to
}

func TestAProgramRuns(t *testing.T) {
	s := server(t, func(c *sshtest.Config) {
		c.Handler = func(e *sshtest.Exec) int {
			in, _ := io.ReadAll(e.Stdin)
			_, _ = fmt.Fprintf(e.Stdout, "%s:%s", strings.Join(e.Argv, "|"), in)
			_, _ = fmt.Fprintln(e.Stderr, "a word at the end")
			return len(in)
		}
	})
	c := dial(t, target(s))
	for _, tc := range []struct {
		name, in, out string
		status        int
	}{
		{"its output arrives, and status 0 is no error", "", "/bin/x|-v|a=b/c:d,e+f:", 0},
		{"another status is an ExitError with the end of what it said", "abc", "/bin/x|-v|a=b/c:d,e+f:abc", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := c.Start(t.Context(), kssh.Command{Path: "/bin/x", Args: []string{"-v", "a=b/c:d,e+f"}})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(p.Stdin, tc.in)
			_ = p.Stdin.Close()
			out, err := io.ReadAll(p.Stdout)
			if err != nil || string(out) != tc.out {
				t.Errorf("output %q, %v", out, err)
			}
			err = p.Wait()
			var exit *kssh.ExitError
			switch {
			case tc.status == 0 && err != nil:
				t.Error(err)
			case tc.status != 0 && (!errors.As(err, &exit) || exit.Status != tc.status || exit.Path != "/bin/x" || exit.Host != "n1" ||
				!strings.Contains(err.Error(), "a word at the end") || kssh.IsRetryable(err)):
				t.Errorf("got %v", err)
			}
		})
	}
	if got := c.Stats(); got.Connections != 1 || got.Sessions != 2 || got.BytesSent == 0 || got.BytesReceived == 0 {
		t.Errorf("stats %+v", got)
	}
}

func TestSessionsThatAreRefused(t *testing.T) {
	s := server(t, func(c *sshtest.Config) { c.MaxSessions = 1 })
	c := dial(t, target(s))
	cmd := kssh.Command{Path: "/opt/helper"}
	refused := func(t *testing.T, err error) {
		t.Helper()
		var session *kssh.SessionError
		if !errors.As(err, &session) || session.Host != "n1" || !kssh.IsRetryable(err) {
			t.Errorf("got %v", err)
		}
		if c.Err() != nil {
			t.Errorf("the connection ended: %v", c.Err())
		}
	}
	t.Run("one session too many is a SessionError, and the first goes on", func(t *testing.T) {
		first, err := c.RunHelper(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.RunHelper(t.Context(), cmd)
		refused(t, err)
		_ = first.Stdin.Close()
		if out, err := io.ReadAll(first.Stdout); err != nil || string(out) != "hello\n" {
			t.Errorf("the first ended with %q, %v", out, err)
		}
		if err := first.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a refusal to execute", func(t *testing.T) {
		s.SetFaults(sshtest.Faults{RefuseExec: true})
		_, err := c.Start(t.Context(), cmd)
		refused(t, err)
	})
	t.Run("a session that ends without a word", func(t *testing.T) {
		s.SetFaults(sshtest.Faults{VanishExec: true})
		_, err := c.RunHelper(t.Context(), cmd)
		refused(t, err)
	})
}

func TestAConnectionThatBreaks(t *testing.T) {
	isLost := func(t *testing.T, what string, err error) {
		t.Helper()
		var lost *kssh.ConnectionLostError
		if !errors.As(err, &lost) || lost.Host != "n1" || lost.Address == "" || !kssh.IsRetryable(err) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, tc := range []struct {
		name string
		cut  func(*sshtest.Server)
	}{
		{"dropped by the host", (*sshtest.Server).DropAll},
		{"stalled without a word", (*sshtest.Server).StallAll},
		{"a host that answers no keepalive", func(s *sshtest.Server) { s.SetFaults(sshtest.Faults{IgnoreRequests: true}) }},
	} {
		t.Run(tc.name+" unblocks everything with a ConnectionLostError", func(t *testing.T) {
			s := server(t, nil)
			c := dial(t, quick(target(s)))
			p, err := c.RunHelper(t.Context(), kssh.Command{Path: "/opt/helper"})
			if err != nil {
				t.Fatal(err)
			}
			tc.cut(s)
			soon(t, "Stdout", func() { _, err = io.ReadAll(p.Stdout) })
			isLost(t, "Stdout", err)
			soon(t, "Wait", func() { err = p.Wait() })
			isLost(t, "Wait", err)
			soon(t, "Done", func() { <-c.Done() })
			isLost(t, "Err", c.Err())
			soon(t, "Stdin", func() { _, err = p.Stdin.Write(make([]byte, 8<<20)) })
			isLost(t, "Stdin", err)
			soon(t, "Start", func() { _, err = c.Start(t.Context(), kssh.Command{Path: "/opt/helper"}) })
			isLost(t, "Start", err)
			soon(t, "DialContext", func() { _, err = c.DialContext(t.Context(), "tcp", "127.0.0.1:1") })
			isLost(t, "DialContext", err)
			soon(t, "Close", func() { p.Close(); _ = c.Close() })
		})
	}
	t.Run("a write into a stalled connection is unblocked", func(t *testing.T) {
		s := server(t, nil)
		c := dial(t, quick(target(s)))
		p, err := c.RunHelper(t.Context(), kssh.Command{Path: "/opt/helper"})
		if err != nil {
			t.Fatal(err)
		}
		s.StallAll()
		soon(t, "Stdin", func() { _, err = io.Copy(struct{ io.Writer }{p.Stdin}, zeros{}) })
		isLost(t, "Stdin", err)
	})
	t.Run("one that drops in the middle of much output does not look like its end", func(t *testing.T) {
		s := server(t, func(c *sshtest.Config) { c.Handler = flood })
		s.SetFaults(sshtest.Faults{DropAfterSent: 1 << 20})
		c := dial(t, target(s))
		p, err := c.Start(t.Context(), kssh.Command{Path: "/opt/helper"})
		if err != nil {
			t.Fatal(err)
		}
		soon(t, "Stdout", func() { _, err = io.Copy(io.Discard, p.Stdout) })
		isLost(t, "Stdout", err)
	})
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// flood writes without end to both outputs.
func flood(e *sshtest.Exec) int {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(e.Stderr, zeros{})
	}()
	_, _ = io.Copy(e.Stdout, zeros{})
	<-done
	return 0
}

func TestAHostThatTalksIsAlive(t *testing.T) {
	s := server(t, func(c *sshtest.Config) { c.Handler = flood })
	to := target(s)
	to.KeepAlive = kssh.KeepAlive{Interval: 100 * time.Millisecond, Misses: 5}
	c := dial(t, to)
	s.SetFaults(sshtest.Faults{IgnoreRequests: true})
	p, err := c.Start(t.Context(), kssh.Command{Path: "/opt/helper"})
	if err != nil {
		t.Fatal(err)
	}
	// Three times as long as a silent connection would be given.
	for end := time.Now().Add(1800 * time.Millisecond); time.Now().Before(end); {
		if _, err := io.CopyN(io.Discard, p.Stdout, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
}

func TestAFlood(t *testing.T) {
	s := server(t, func(c *sshtest.Config) {
		c.Handler = func(e *sshtest.Exec) int {
			switch e.Argv[0] {
			case "/bin/flood":
				return flood(e)
			case "/bin/complain":
				_, _ = io.CopyN(e.Stderr, zeros{}, 20<<20)
				_, _ = io.WriteString(e.Stderr, "the last words")
				return 1
			}
			return helper(e)
		}
		c.Handler = sshtest.Plain(c.Handler)
	})
	c := dial(t, target(s))
	t.Run("on standard error that nobody reads does not block, and only its end is kept", func(t *testing.T) {
		p, err := c.Start(t.Context(), kssh.Command{Path: "/bin/complain"})
		if err != nil {
			t.Fatal(err)
		}
		var exit *kssh.ExitError
		soon(t, "Wait", func() { err = p.Wait() })
		if !errors.As(err, &exit) || !strings.HasSuffix(exit.Stderr, "the last words") || len(exit.Stderr) > 8<<10 {
			t.Errorf("got %T with %d bytes of standard error", err, len(p.Stderr()))
		}
	})
	t.Run("on standard output that nobody reads does not hold up another program, nor Close", func(t *testing.T) {
		p, err := c.RunHelper(t.Context(), kssh.Command{Path: "/bin/flood"})
		if err != nil {
			t.Fatal(err)
		}
		echo(t, c, 1<<20)
		soon(t, "Close", p.Close)
		soon(t, "Wait", func() { err = p.Wait() })
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestClosing(t *testing.T) {
	s := server(t, nil)
	c := dial(t, target(s))
	p, err := c.RunHelper(t.Context(), kssh.Command{Path: "/opt/helper"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.Stdout, make([]byte, len("hello\n"))); err != nil {
		t.Fatal(err)
	}
	t.Run("a process ends a read of its output", func(t *testing.T) {
		read := make(chan error)
		go func() {
			_, err := p.Stdout.Read(make([]byte, 1))
			read <- err
		}()
		p.Close()
		soon(t, "Stdout", func() { err = <-read })
		if !errors.Is(err, net.ErrClosed) || !errors.Is(p.Wait(), net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a client is not an accident", func(t *testing.T) {
		_ = c.Close()
		<-c.Done()
		var lost *kssh.ConnectionLostError
		_, err := c.Start(t.Context(), kssh.Command{Path: "/opt/helper"})
		if !errors.Is(c.Err(), net.ErrClosed) || errors.As(c.Err(), &lost) || !errors.Is(err, net.ErrClosed) || kssh.IsRetryable(err) {
			t.Errorf("got %v and %v", c.Err(), err)
		}
	})
}

func TestCancellingAbortsTheStartOfASilentProgram(t *testing.T) {
	s := server(t, func(c *sshtest.Config) {
		c.Handler = func(e *sshtest.Exec) int {
			_, _ = io.Copy(io.Discard, e.Stdin)
			return 0
		}
	})
	c := dial(t, target(s))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s.Await(t, "the program runs", func() bool { return len(s.Commands()) == 1 })
		cancel()
	}()
	var err error
	soon(t, "RunHelper", func() { _, err = c.RunHelper(ctx, kssh.Command{Path: "/opt/helper"}) })
	if !errors.Is(err, context.Canceled) || kssh.IsRetryable(err) || c.Err() != nil {
		t.Fatalf("got %v, connection %v", err, c.Err())
	}
}

func TestTunnel(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
	defer web.Close()
	s := server(t, nil)
	c := dial(t, target(s))
	t.Run("carries HTTP", func(t *testing.T) {
		transport := &http.Transport{DialContext: c.DialContext}
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport}).Get(web.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "served" {
			t.Errorf("got %q, %v", body, err)
		}
	})
	t.Run("to a closed port is a SessionError", func(t *testing.T) {
		_, err := c.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", closedPort(t)))
		var session *kssh.SessionError
		if !errors.As(err, &session) || !kssh.IsRetryable(err) || c.Err() != nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is for TCP only", func(t *testing.T) {
		_, err := c.DialContext(t.Context(), "unix", "/run/x.sock")
		var bad *kssh.TargetError
		if !errors.As(err, &bad) {
			t.Errorf("got %v", err)
		}
	})
}
