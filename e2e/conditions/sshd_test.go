//go:build e2e

package conditions

import (
	"testing"
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
	}
}

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
