package provision

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/server"
	"github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// helperContent is what the helper's file holds in tests. It never runs: the helper's own code does, in the test's process.
var helperContent = []byte("the host helper")

// machine is a host behind an SSH server: the helper's own code over a directory.
type machine struct {
	*sshtest.Server
	host *hosttest.Host

	mu sync.Mutex
	// files are the programs on the host by path, placed counts those put there.
	files  map[string][]byte
	placed int
	// spoils makes every file that is placed another one.
	spoils bool
	// losses is how many requests to check break the connection before they are answered.
	losses int
	// received is everything that helpers were sent.
	received bytes.Buffer
	// earlier makes the helper one of an earlier release, which does not open connections.
	earlier bool
}

// newMachine starts a machine that has the helper already.
func newMachine(t *testing.T) *machine { return newMachineWith(t, true) }

// newMachineWith is newMachine with an sshd that allows forwarding, or does not.
func newMachineWith(t *testing.T, forwarding bool) *machine {
	t.Helper()
	m := &machine{host: hosttest.New(t), files: map[string][]byte{helperPath(helperFile()): helperContent}}
	m.Server = sshtest.Start(t, sshtest.Config{
		Users:   map[string]sshtest.User{"root": {Password: "secret"}},
		Handler: func(e *sshtest.Exec) int { return m.run(t, e) },
		Forward: forwarding,
	})
	return m
}

// with looks at the machine, or changes it, while nothing else does.
func (m *machine) with(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
}

func helperFile() *bundle.File {
	return &bundle.File{
		Name: "kubewright-host", Kind: bundle.FileHelper, Component: "kubewright", Version: "1", Platform: "linux/amd64",
		Digest: digest.FromBytes(helperContent), Size: int64(len(helperContent)),
	}
}

// run does what a shell on the machine would do with the few commands it is given.
func (m *machine) run(t *testing.T, e *sshtest.Exec) int {
	words := e.Argv
	if len(words) > 1 && words[len(words)-1] == "serve" {
		var content []byte
		there := false
		m.with(func() { content, there = m.files[words[len(words)-2]] })
		if !there {
			return 127
		}
		return sshtest.Plain(func(e *sshtest.Exec) int { return m.serve(t, e, content) })(e)
	}
	return sshtest.Plain(m.place)(e)
}

// serve is the helper.
func (m *machine) serve(t *testing.T, e *sshtest.Exec, content []byte) int {
	own := filepath.Join(t.TempDir(), "kubewright-host")
	if err := os.WriteFile(own, content, 0o755); err != nil {
		_, _ = fmt.Fprintln(e.Stderr, err)
		return 1
	}
	// How it ends is what the client sees.
	_ = server.Serve(context.Background(), &lossy{e, m}, server.Options{Sys: m.host.Sys, Helper: own, Kernel: m.host.Kernel})
	return 0
}

// place stands in for the script that puts a file in place.
func (m *machine) place(e *sshtest.Exec) int {
	if len(e.Argv) < 4 {
		return 127
	}
	words := e.Argv[len(e.Argv)-4:]
	size, err := strconv.Atoi(words[2])
	if err != nil {
		return 127
	}
	_, _ = fmt.Fprintln(e.Stdout, "send 0")
	content := make([]byte, size)
	if _, err := io.ReadFull(e.Stdin, content); err != nil {
		return 1
	}
	m.with(func() {
		if m.spoils {
			content = []byte("spoilt")
		}
		m.files[words[0]] = content
		m.placed++
	})
	_, _ = fmt.Fprintln(e.Stdout, "placed")
	return 0
}

// lossy is the standard streams of a helper, over a connection that breaks on demand.
type lossy struct {
	exec *sshtest.Exec
	m    *machine
}

func (l *lossy) Read(p []byte) (int, error) {
	n, err := l.exec.Stdin.Read(p)
	l.m.with(func() { l.m.received.Write(p[:n]) })
	if bytes.Contains(p[:n], []byte(hostapi.PathCheck)) {
		lose := false
		l.m.with(func() {
			if lose = l.m.losses > 0; lose {
				l.m.losses--
			}
		})
		if lose {
			l.m.DropAll()
			return 0, io.EOF
		}
	}
	return n, err
}

func (l *lossy) Write(p []byte) (int, error) {
	earlier := false
	l.m.with(func() { earlier = l.m.earlier })
	if earlier {
		p = bytes.ReplaceAll(p, []byte(`"dials":true`), []byte(`"dials":null`))
	}
	return l.exec.Stdout.Write(p)
}

func (l *lossy) Close() error {
	if c, ok := l.exec.Stdin.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// sessionsWith are sessions with machines by name; the bundle holds the helper.
func sessionsWith(t *testing.T, machines map[string]*machine) *sessions {
	t.Helper()
	pool, err := ssh.NewPool()
	if err != nil {
		t.Fatal(err)
	}
	release := bundle.Release{KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"}, Files: []bundle.File{*helperFile()}}
	path := filepath.Join(t.TempDir(), "small.bundle")
	sum, blob := bundle.BytesBlob(helperContent)
	config := &bundle.Config{Name: "small", Created: time.Unix(0, 0), Releases: []bundle.Release{release}}
	if _, err := bundle.Write(t.Context(), path, config, map[digest.Digest]bundle.Blob{sum: blob}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	s := &sessions{operation: "demo-install-1", holder: t.Name(), access: map[string]HostAccess{}, bundle: b, release: &release, pool: pool, hosts: map[string]*session{}}
	for name, m := range machines {
		s.access[name] = hostAt(name, v1alpha1.HostSpec{
			Address: m.Host(), Port: int32(m.Port()), HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: m.HostKeyLines()},
		}, map[string][]byte{v1alpha1.SSHPasswordKey: []byte("secret")})
	}
	t.Cleanup(s.closeAll)
	return s
}

// instant is a clock whose waits are over at once.
type instant struct{ engine.SystemClock }

func (instant) After(time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	c <- time.Now()
	return c
}
