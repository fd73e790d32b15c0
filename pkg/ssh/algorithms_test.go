package ssh_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// offered is what a client sends in its first packet (RFC 4253, section 7.1), without the compression and languages at its end.
func offered(t *testing.T, to func(host string, port int)) map[string][]string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	lists := make(chan map[string][]string, 1)
	go func() {
		defer close(lists)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "SSH-2.0-test\r\n")
		one := make([]byte, 1)
		for one[0] != '\n' {
			if _, err := conn.Read(one); err != nil {
				return
			}
		}
		head := make([]byte, 5+1+16) // lengths, the kind of message, a cookie
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		found := map[string][]string{}
		for _, name := range []string{"key exchange", "host key", "cipher to", "cipher from", "MAC to", "MAC from"} {
			var size uint32
			if err := binary.Read(conn, binary.BigEndian, &size); err != nil || size > 1<<16 {
				return
			}
			text := make([]byte, size)
			if _, err := io.ReadFull(conn, text); err != nil {
				return
			}
			found[name] = strings.Split(string(text), ",")
		}
		lists <- found
	}()
	addr := l.Addr().(*net.TCPAddr)
	to(addr.IP.String(), addr.Port)
	found, ok := <-lists
	if !ok {
		t.Fatal("no list of algorithms came")
	}
	return found
}

func TestNothingThatRestsOnSHA1IsOffered(t *testing.T) {
	key := sshtest.NewKey(t)
	for name, known := range map[string][]string{
		"to a host of which no key is known": nil,
		"to one whose key is known":          {sshtest.Line(key.PublicKey())},
		"to one with a certificate":          {"@cert-authority " + sshtest.Line(key.PublicKey())},
	} {
		t.Run(name, func(t *testing.T) {
			lists := offered(t, func(host string, port int) {
				_, err := kssh.Dial(t.Context(), kssh.Target{
					Name: "n1", Address: host, Port: port, User: "ops", Auth: kssh.Auth{Password: "x"},
					HostKeys: kssh.HostKeyPolicy{Mode: kssh.TrustOnFirstUse, Known: known, Record: (&memory{}).record},
				})
				if err == nil {
					t.Error("a connection came about")
				}
			})
			for kind, list := range lists {
				if len(list) < 1 || list[0] == "" {
					t.Errorf("nothing is offered for %s", kind)
				}
				for _, a := range list {
					if slices.Contains([]string{"ssh-rsa", "ssh-rsa-cert-v01@openssh.com", "ssh-dss", "ssh-dss-cert-v01@openssh.com"}, a) ||
						strings.Contains(a, "sha1") || strings.Contains(a, "cbc") || strings.Contains(a, "arcfour") || strings.Contains(a, "md5") {
						t.Errorf("%s is offered for %s", a, kind)
					}
				}
			}
		})
	}
}

func TestAServerThatHasNothingSafeIsNamedWithWhatItHas(t *testing.T) {
	for name, tc := range map[string]struct {
		config ssh.Config
		says   []string
	}{
		"key exchange": {ssh.Config{KeyExchanges: []string{ssh.InsecureKeyExchangeDH14SHA1}}, []string{"no safe algorithm for key exchange", "diffie-hellman-group14-sha1", "KexAlgorithms"}},
		"MAC":          {ssh.Config{Ciphers: []string{ssh.CipherAES128CTR}, MACs: []string{ssh.HMACSHA1}}, []string{"no safe algorithm for", "hmac-sha1", "MACs"}},
		"cipher":       {ssh.Config{Ciphers: []string{ssh.InsecureCipherAES128CBC}}, []string{"no safe algorithm for", "aes128-cbc", "Ciphers"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, func(c *sshtest.Config) { c.Algorithms = tc.config })
			_, err := kssh.Dial(t.Context(), target(s))
			var old *kssh.AlgorithmError
			if !errors.As(err, &old) || old.Host != "n1" || kssh.IsRetryable(err) {
				t.Fatalf("got %v", err)
			}
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if len(s.Attempts()) > 0 {
				t.Error("a credential was sent")
			}
		})
	}
}
