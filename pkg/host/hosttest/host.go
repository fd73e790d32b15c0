// Package hosttest is a host in a directory, for tests: the real helper code over a temporary root, with stand-ins for
// the programs of the operating system (systemctl, systemd-run, ctr, modprobe). It must not be linked into a program.
package hosttest

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/host/netlink"
	"github.com/kubewright/kubewright/pkg/host/reset"
	"github.com/kubewright/kubewright/pkg/host/server"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Host is a directory that stands for a machine.
type Host struct {
	Sys    *sys.System
	Root   string
	System *System
	Kernel *Kernel
	helper string
}

// New makes a host with the few files every machine has.
func New(t testing.TB) *Host {
	t.Helper()
	root := t.TempDir()
	h := &Host{Root: root, Kernel: &Kernel{}}
	h.Sys = &sys.System{Root: root, Now: time.Now}
	h.System = newSystem(h.Sys)
	h.Sys.Runner = h.System
	h.Write(t, "/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
	h.Write(t, "/proc/sys/kernel/hostname", "n1\n")
	h.Write(t, "/proc/sys/kernel/osrelease", "6.1.0-test\n")
	for _, key := range []string{"ip_forward", "conf/all/forwarding", "conf/default/forwarding"} {
		h.Write(t, "/proc/sys/net/ipv4/"+key, "0\n")
	}
	h.Write(t, "/proc/filesystems", "nodev\toverlay\n")
	h.Write(t, "/proc/self/mountinfo", "")
	h.Write(t, "/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
	h.Write(t, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	h.helper = filepath.Join(t.TempDir(), "kubewright-host")
	if err := os.WriteFile(h.helper, []byte(fakeBackup(root)), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.System.wait)
	return h
}

// Path is the place of a path of the host on this machine.
func (h *Host) Path(p string) string { return filepath.Join(h.Root, p) }

// Write makes a file on the host.
func (h *Host) Write(t testing.TB, p, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.Path(p)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Path(p), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Read returns the content of a file on the host, "" when there is none.
func (h *Host) Read(p string) string {
	data, err := os.ReadFile(h.Path(p))
	if err != nil {
		return ""
	}
	return string(data)
}

// Session is a client with the helper at its other end.
type Session struct {
	*client.Client
	kill func()
	done chan struct{}
}

// Connect starts a helper and opens a session with it, for a cluster with the given addresses; the session ends with the test.
func (h *Host) Connect(t testing.TB, operation string, blobs http.Handler, peers ...string) *Session {
	t.Helper()
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Session{done: make(chan struct{})}
	s.kill = func() {
		cancel()
		_ = far.Close()
	}
	go func() {
		defer close(s.done)
		// How it ends is what the client sees.
		_ = server.Serve(ctx, far, server.Options{Sys: h.Sys, Helper: h.helper, Peer: "127.0.0.1", Kernel: h.Kernel, KeepAlive: time.Second})
	}()
	c, err := client.Connect(ctx, near, client.Options{Operation: operation, Holder: t.Name(), Peers: peers, Blobs: blobs, KeepAlive: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.Client = c
	t.Cleanup(func() {
		_ = c.Close()
		s.kill()
		<-s.done
	})
	return s
}

// Kill ends the helper at once, as when its process is killed, and waits until it is gone.
func (s *Session) Kill() {
	s.kill()
	<-s.done
}

// Kernel records what Reset would do to the kernel.
type Kernel struct {
	mu        sync.Mutex
	Links     map[string]bool
	Tables    map[string]bool
	Unmounted []string
	Killed    []int
	Unloaded  []string
	// Busy are modules that something uses.
	Busy map[string]bool
	// Chains4 and Rules4 are those of IPv4; Removed is what was taken out of them.
	Chains4 []netlink.Chain
	Rules4  []netlink.Rule
	Removed netlink.Removal
	// OnUnmount is called at each Unmount, OnKill at each Kill.
	OnUnmount, OnKill func()
}

// Unmount implements reset.Kernel.
func (k *Kernel) Unmount(path string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Unmounted = append(k.Unmounted, path)
	if k.OnUnmount != nil {
		k.OnUnmount()
	}
	return nil
}

// Kill implements reset.Kernel.
func (k *Kernel) Kill(_ context.Context, pids []int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Killed = append(k.Killed, pids...)
	if k.OnKill != nil {
		k.OnKill()
	}
	return nil
}

// Unload implements reset.Kernel.
func (k *Kernel) Unload(module string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Busy[module] {
		return reset.ErrInUse
	}
	k.Unloaded = append(k.Unloaded, module)
	return nil
}

// Chains implements reset.Kernel.
func (k *Kernel) Chains(family uint8) ([]netlink.Chain, []netlink.Rule, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if family != netlink.FamilyIP {
		return nil, nil, nil
	}
	return k.Chains4, k.Rules4, nil
}

// Remove implements reset.Kernel.
func (k *Kernel) Remove(_ uint8, r netlink.Removal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Removed, k.Chains4, k.Rules4 = r, nil, nil
	return nil
}

// DeleteLink implements reset.Kernel.
func (k *Kernel) DeleteLink(name string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.Links[name]
	delete(k.Links, name)
	return found, nil
}

// DeleteTable implements reset.Kernel.
func (k *Kernel) DeleteTable(_ uint8, name string) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.Tables[name]
	delete(k.Tables, name)
	return found, nil
}

// HasLink implements reset.Kernel.
func (k *Kernel) HasLink(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Links[name]
}

// HasTable implements reset.Kernel.
func (k *Kernel) HasTable(_ uint8, name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.Tables[name]
}

// Silent starts a helper whose other side never says a word, and returns a channel that is closed when the helper ends.
func (h *Host) Silent(t testing.TB) <-chan struct{} {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ctx, far, server.Options{Sys: h.Sys, Helper: h.helper, Kernel: h.Kernel, KeepAlive: time.Second})
	}()
	t.Cleanup(func() {
		cancel()
		_ = near.Close()
		<-done
	})
	// What the helper sends is swallowed, as by a machine that lost power behind a proxy.
	go func() { _, _ = io.Copy(io.Discard, near) }()
	return done
}
