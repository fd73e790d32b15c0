package provision

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func TestAnAPIServerIsReachedThroughSSHToKnownHostsOnly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
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
			conn, err := DialAPIServer(t.Context(), hosts, "cp-1", addresses.Local())
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
		_, err := DialAPIServer(t.Context(), []HostAccess{hostAt("cp-1", at(v1alpha1.HostKeys{Policy: v1alpha1.HostKeyTrustOnFirstUse}, ""), password)}, "cp-1", addresses.Local())
		if unknown := new(ssh.UnknownHostKeyError); !errors.As(err, &unknown) || len(s.Attempts()) != before {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an address that is not allowed is not connected to", func(t *testing.T) {
		before := s.Accepted()
		_, err := DialAPIServer(t.Context(), []HostAccess{hostAt("cp-1", at(known, ""), password)}, "cp-1", addresses.Policy{})
		if bad := new(ssh.TargetError); !errors.As(err, &bad) || s.Accepted() != before {
			t.Errorf("got %v", err)
		}
	})
}
