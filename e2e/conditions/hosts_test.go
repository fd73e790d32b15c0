//go:build e2e

package conditions

import (
	"strings"
	"testing"
)

// hostsAsTheyAre are hosts with nothing special about them, which keeps the table itself honest.
func hostsAsTheyAre() []condition {
	return []condition{
		{
			name:    "a control plane and a worker with nothing special about them become a cluster, and hosts again",
			workers: true,
			running: func(t *testing.T, s *site) {
				nodes := s.kubectl(t, "get", "nodes", "-o", "name")
				if strings.TrimSpace(nodes) != "node/n1\nnode/n2" {
					t.Errorf("the nodes are %q", nodes)
				}
			},
		},
	}
}
