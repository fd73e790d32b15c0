//go:build e2e

package conditions

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// namesOutside are hosts that cannot resolve names outside the cluster.
func namesOutside() []condition {
	return []condition{
		{
			name:    "hosts without resolv.conf become a cluster in which names inside it resolve",
			arrange: func(t *testing.T, s *site) { s.resolvConf(t, "") },
			says:    []string{"Nameservers: /etc/resolv.conf is missing", "spec.network.dns.upstreams"},
			running: func(t *testing.T, s *site) { s.requireForward(t, "") },
		},
		{
			name:    "hosts whose stub resolver is gone become a cluster, which forwards to name servers once they are named",
			arrange: func(t *testing.T, s *site) { s.resolvConf(t, "nameserver 127.0.0.53\n") },
			says:    []string{"Nameservers: /etc/resolv.conf names 127.0.0.53, where nothing answers"},
			running: func(t *testing.T, s *site) {
				s.requireForward(t, "")
				s.describe(t, false, fixture.Set("Cluster", "", []any{"192.0.2.53"}, "spec", "network", "dns", "upstreams"))
				s.mustUp(t)
				s.requireForward(t, "forward . 192.0.2.53 {")
				s.describe(t, false, nil)
				s.mustUp(t)
				s.requireForward(t, "")
			},
		},
	}
}

// resolvConf gives all hosts this /etc/resolv.conf until the end, or none.
func (s *site) resolvConf(t *testing.T, content string) {
	t.Helper()
	for _, h := range s.fleet.Hosts() {
		s.exec(t, h.Name, "cp", "/etc/resolv.conf", "/root/resolv.conf.before")
		t.Cleanup(func() { s.exec(t, h.Name, "mv", "-f", "/root/resolv.conf.before", "/etc/resolv.conf") })
		// A container's file is mounted over that of its image.
		s.exec(t, h.Name, "bash", "-c", "umount /etc/resolv.conf || true; rm -f /etc/resolv.conf")
		if content == "" {
			continue
		}
		if err := s.fleet.WriteFile(s.ctx, h.Name, "/etc/resolv.conf", 0o644, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
}

// requireForward wants the Corefile to forward so, or not at all.
func (s *site) requireForward(t *testing.T, want string) {
	t.Helper()
	corefile := s.kubectl(t, "--namespace", "kube-system", "get", "configmap", "coredns", "--output", "jsonpath={.data.Corefile}")
	if !strings.Contains(corefile, want) || (want == "") == strings.Contains(corefile, "forward") {
		t.Errorf("CoreDNS should forward %q, its Corefile is\n%s", want, corefile)
	}
}
