//go:build e2e

package conditions

import (
	"strings"
	"testing"
)

// firewalls are hosts on which somebody else filters packets.
func firewalls() []condition {
	return []condition{
		{
			name:    "firewalls that drop what nodes send each other, or what pods do, are named with table and chain for each host",
			workers: true,
			arrange: func(t *testing.T, s *site) {
				s.guard(t, "n1", `chain entry { type filter hook input priority 0; policy drop; ct state established,related accept; iifname "lo" accept; tcp dport { 22, 80 } accept; }`)
				s.guard(t, "n2", `chain through { type filter hook forward priority 0; policy drop; ct state established,related accept; }`)
			},
			code: failed,
			says: []string{
				"n1: host/preflight: Firewall", "table inet guard, chain entry drops 6443/TCP (kube-apiserver) from other nodes, 10250/TCP (kubelet) from other nodes, 8472/UDP",
				"n2: host/preflight: Firewall", "table inet guard, chain through drops what pods send to pods of the same node",
			},
		},
		{
			name:    "firewalls that let pass what the documented list of ports says are in nobody's way",
			workers: true,
			arrange: func(t *testing.T, s *site) {
				for _, host := range []string{"n1", "n2"} {
					s.guard(t, host, `chain entry { type filter hook input priority 0; policy drop; ct state established,related accept; iifname { "lo", "cni0" } accept;`+
						` meta l4proto icmp accept; tcp dport { 22, 6443, 10250 } accept; udp dport 8472 accept; }; `+
						`chain through { type filter hook forward priority 0; policy drop; ip saddr 10.244.0.0/16 accept; ip daddr 10.244.0.0/16 accept; }`)
				}
			},
		},
	}
}

// guard gives a host a table of this machine's nft, with these chains, until the end.
func (s *site) guard(t *testing.T, host, chains string) {
	t.Helper()
	if out, err := s.fleet.InNetwork(s.ctx, host, "nft", "table inet guard {\n"+strings.ReplaceAll(chains, "; ", "\n")+"\n}"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := s.fleet.InNetwork(s.ctx, host, "nft", "delete table inet guard"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}
