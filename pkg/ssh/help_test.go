package ssh_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// hard holds every character that a shell, a template or an inventory might trip over.
const hard = `it's a "hard" $PASS\word` + " `id` ;&|<>(){}[]*?!#~%^ü€"

// server starts a server on which user "ops" may log in with the password hard.
func server(t *testing.T, change func(*sshtest.Config)) *sshtest.Server {
	t.Helper()
	c := sshtest.Config{Users: map[string]sshtest.User{"ops": {Password: hard}}, Forward: true, Handler: sshtest.Plain(helper)}
	if change != nil {
		change(&c)
	}
	return sshtest.Start(t, c)
}

// target is how to reach s, all right.
func target(s *sshtest.Server) kssh.Target {
	return kssh.Target{
		Name: "n1", Address: s.Host(), Port: s.Port(), User: "ops",
		Auth:     kssh.Auth{Password: hard},
		HostKeys: kssh.HostKeyPolicy{Known: s.HostKeyLines()},
	}
}

func dial(t *testing.T, target kssh.Target) *kssh.Client {
	t.Helper()
	c, err := kssh.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// helper greets and then echoes.
func helper(e *sshtest.Exec) int {
	_, _ = io.WriteString(e.Stdout, "hello\n")
	_, _ = io.Copy(e.Stdout, e.Stdin)
	return 0
}

// memory records host keys.
type memory struct {
	mu    sync.Mutex
	lines []string
	err   error
	look  func()
}

func (m *memory) record(_ context.Context, line string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.look != nil {
		m.look()
	}
	m.lines = append(m.lines, line)
	return m.err
}

func (m *memory) tofu() kssh.HostKeyPolicy {
	return kssh.HostKeyPolicy{Mode: kssh.TrustOnFirstUse, Record: m.record}
}

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// soon fails the test when f has not returned after a time that is far longer than it should take.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		panic(fmt.Sprintf("%s: %s still blocks", t.Name(), what))
	}
}

// echo sends n bytes through the helper of a server and reads them back.
func echo(t *testing.T, c *kssh.Client, n int) {
	t.Helper()
	p, err := c.RunHelper(t.Context(), kssh.Command{Path: "/opt/helper"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	data := make([]byte, n)
	_, _ = rand.Read(data)
	go func() {
		_, _ = p.Stdin.Write(data)
		_ = p.Stdin.Close()
	}()
	got, err := io.ReadAll(p.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, append([]byte("hello\n"), data...)) {
		t.Fatalf("%d bytes came back, and not the same", len(got))
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}
