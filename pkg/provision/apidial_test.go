package provision

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func TestAnAPIServerIsReachedThroughSSHToKnownHostsOnly(t *testing.T) {
	l := greeter(t, "127.0.0.1:0")
	s := sshtest.Start(t, sshtest.Config{
		Users: map[string]sshtest.User{"root": {Password: "secret"}}, Forward: true, Redirect: map[string]string{"127.0.0.1:6443": l.Addr().String()},
	})
	password := map[string][]byte{v1alpha1.SSHPasswordKey: []byte("secret")}
	known := v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: s.HostKeyLines()}
	at := func(keys v1alpha1.HostKeys, bastion string) v1alpha1.HostSpec {
		spec := v1alpha1.HostSpec{Address: s.Host(), Port: int32(s.Port()), HostKeys: keys}
		if bastion != "" {
			spec.BastionRef = &v1alpha1.LocalReference{Name: bastion}
		}
		return spec
	}
	for name, hosts := range map[string][]HostAccess{
		"directly":          {hostAt("cp-1", at(known, ""), password)},
		"through a bastion": {hostAt("cp-1", at(known, "jump"), password), hostAt("jump", at(known, ""), password)},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := DialAPIServer(t.Context(), hosts, "cp-1", addresses.Local(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "an API server\n" {
				t.Errorf("got %q, %v", line, err)
			}
			_ = conn.Close()
			s.Await(t, "the SSH connection has ended with it", func() bool { return s.Open() == 0 })
		})
	}
	t.Run("a host whose key nobody knows is told nothing", func(t *testing.T) {
		before := len(s.Attempts())
		_, err := DialAPIServer(t.Context(), []HostAccess{hostAt("cp-1", at(v1alpha1.HostKeys{Policy: v1alpha1.HostKeyTrustOnFirstUse}, ""), password)}, "cp-1", addresses.Local(), nil)
		if unknown := new(ssh.UnknownHostKeyError); !errors.As(err, &unknown) || len(s.Attempts()) != before {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an address that is not allowed is not connected to", func(t *testing.T) {
		before := s.Accepted()
		_, err := DialAPIServer(t.Context(), []HostAccess{hostAt("cp-1", at(known, ""), password)}, "cp-1", addresses.Policy{}, nil)
		if bad := new(ssh.TargetError); !errors.As(err, &bad) || s.Accepted() != before {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhereSSHDForbidsForwardingAnAPIServerIsReachedThroughTheHelper(t *testing.T) {
	// Every address of 127.0.0.0/8 is this machine, so the port clashes with nobody's.
	const loopback = "127.66.6.3"
	greeter(t, loopback+":6443")
	m := newMachineWith(t, false)
	hosts := []HostAccess{hostAt("cp-1", v1alpha1.HostSpec{
		Address: m.Host(), Port: int32(m.Port()), HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: m.HostKeyLines()},
	}, map[string][]byte{v1alpha1.SSHPasswordKey: []byte("secret")})}
	other := helperFile()
	other.Digest = digest.FromString("the helper of another bundle")
	dial := func(helpers ...*bundle.File) (net.Conn, error) {
		return dialAPIServer(t.Context(), hosts, "cp-1", addresses.Local(), helpers, loopback)
	}
	t.Run("through the one that is on the host", func(t *testing.T) {
		conn, err := dial(other, helperFile())
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "an API server\n" {
			t.Errorf("got %q, %v", line, err)
		}
		_ = conn.Close()
		m.Await(t, "the SSH connection has ended with it", func() bool { return m.Open() == 0 })
		m.with(func() {
			if m.placed != 0 {
				t.Error("a look has placed a helper")
			}
		})
	})
	t.Run("a host that has none is named with both ways", func(t *testing.T) {
		_, err := dial(other)
		if err == nil || !strings.Contains(err.Error(), "prohibited") || !strings.Contains(err.Error(), "host cp-1: the host has none of the cluster's bundle") {
			t.Errorf("got %v", err)
		}
		m.Await(t, "the SSH connection has ended", func() bool { return m.Open() == 0 })
	})
	t.Run("one that was exchanged is not used", func(t *testing.T) {
		m.with(func() { m.files[helperPath(helperFile())] = []byte("spoilt") })
		if _, err := dial(helperFile()); err == nil || !strings.Contains(err.Error(), "instead of "+helperFile().Digest.String()) {
			t.Errorf("got %v", err)
		}
	})
}

// greeter says at an address what it is to whoever connects.
func greeter(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "an API server\n")
			_ = conn.Close()
		}
	}()
	return l
}
