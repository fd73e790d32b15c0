//go:build e2e

package conditions

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/e2e/hosts"
)

// sshdSettings are sshd's as hardening guides have them.
func sshdSettings() []condition {
	return []condition{
		{
			name: "sshd that forbids forwarding in every way is no obstacle, since API and etcd are reached through the helper",
			arrange: func(t *testing.T, s *site) {
				s.sshd(t, "n1", "AllowTcpForwarding no\nAllowStreamLocalForwarding no\nDisableForwarding yes\nPermitOpen none\n")
			},
		},
		{
			name:    "a bastion that forbids forwarding is named with what to change in its sshd",
			workers: true,
			arrange: func(t *testing.T, s *site) { s.sshd(t, "n2", "AllowTcpForwarding no\n") },
			edit:    behind("n1", "n2"),
			code:    failed,
			says:    []string{"host n2 (", "sshd of this bastion forbids user ops", "AllowTcpForwarding", "PermitOpen"},
			hides:   []string{"see that the machine is on"},
		},
		{
			name:    "a bastion whose PermitOpen leaves a host out is named too",
			workers: true,
			arrange: func(t *testing.T, s *site) { s.sshd(t, "n2", "PermitOpen 192.0.2.1:22\n") },
			edit:    behind("n1", "n2"),
			code:    failed,
			says:    []string{"host n2 (", "sshd of this bastion forbids user ops", "PermitOpen"},
		},
		certificates(),
		passwordOnFirstUse(),
	}
}

// certificates are a site's where nobody has keys on hosts, nor keys of hosts: an authority vouches for each side.
func certificates() condition {
	var authority, user string
	return condition{
		name: "a host that shows a certificate is logged in to with a certificate",
		arrange: func(t *testing.T, s *site) {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			signer, err := ssh.NewSignerFromKey(private)
			if err != nil {
				t.Fatal(err)
			}
			authority = line(signer.PublicKey())
			sign := func(kind uint32, principal string, key ssh.PublicKey) string {
				cert := &ssh.Certificate{Key: key, CertType: kind, KeyId: "test", ValidPrincipals: []string{principal}, ValidBefore: ssh.CertTimeInfinity}
				if err := cert.SignCert(rand.Reader, signer); err != nil {
					t.Fatal(err)
				}
				return line(cert)
			}
			pem, err := os.ReadFile(s.fleet.KeyPath)
			if err != nil {
				t.Fatal(err)
			}
			own, err := ssh.ParsePrivateKey(pem)
			if err != nil {
				t.Fatal(err)
			}
			user = sign(ssh.UserCert, "ops", own.PublicKey())
			host, err := s.fleet.Host("n1")
			if err != nil {
				t.Fatal(err)
			}
			key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.exec(t, "n1", "cat", "/etc/ssh/ssh_host_ed25519_key.pub")))
			if err != nil {
				t.Fatal(err)
			}
			s.put(t, "n1", "/etc/ssh/test_ca.pub", authority+"\n")
			s.put(t, "n1", "/etc/ssh/test_host-cert.pub", sign(ssh.HostCert, host.Address.String(), key)+"\n")
			s.sshd(t, "n1", "HostKey /etc/ssh/ssh_host_ed25519_key\nHostCertificate /etc/ssh/test_host-cert.pub\nTrustedUserCAKeys /etc/ssh/test_ca.pub\nAuthorizedKeysFile none\n")
		},
		edit: func(kind string, object map[string]any) {
			switch kind {
			case "Secret":
				object["stringData"].(map[string]any)["ssh-certificate"] = user
			case "Host":
				object["spec"].(map[string]any)["hostKeys"] = map[string]any{"policy": "Strict", "keys": []any{"@cert-authority " + authority}}
			}
		},
	}
}

func passwordOnFirstUse() condition {
	return condition{
		name: "a password is not told to a host that is seen for the first time",
		edit: func(kind string, object map[string]any) {
			switch kind {
			case "Secret":
				object["stringData"] = map[string]any{"password": hosts.HardPassword}
			case "Host":
				spec := object["spec"].(map[string]any)
				spec["user"], spec["hostKeys"] = "pw", map[string]any{"policy": "TrustOnFirstUse"}
			}
		},
		code:  failed,
		says:  []string{"host n1 (", "a password would be sent", "spec.hostKeys.keys", "spec.hostKeys.passwordOnFirstUse"},
		hides: []string{hosts.HardPassword},
	}
}

func line(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }

// behind makes a host reachable through another one only.
func behind(host, bastion string) func(kind string, object map[string]any) {
	return func(kind string, object map[string]any) {
		meta, _ := object["metadata"].(map[string]any)
		if spec, ok := object["spec"].(map[string]any); ok && kind == "Host" && meta["name"] == host {
			spec["bastionRef"] = map[string]any{"name": bastion}
		}
	}
}

// sshd gives a host's sshd further settings until the end of the test.
func (s *site) sshd(t *testing.T, host, settings string) {
	t.Helper()
	t.Cleanup(func() { s.exec(t, host, "systemctl", "reload", "ssh.service") })
	s.put(t, host, "/etc/ssh/sshd_config.d/00-hardened.conf", settings)
	s.exec(t, host, "systemctl", "reload", "ssh.service")
}
