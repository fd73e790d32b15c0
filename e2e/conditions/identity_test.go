//go:build e2e

package conditions

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// identities are hosts that ask for more than is theirs.
func identities() []condition {
	return []condition{
		{
			name:    "a worker that hides that it has joined is given no identity, and nobody else is by a bootstrap token",
			workers: true,
			running: func(t *testing.T, s *site) {
				bindings := s.kubectl(t, "get", "clusterrolebindings", "-o", "name")
				for _, gone := range []string{"kubeadm:kubelet-bootstrap", "kubeadm:node-autoapprove-bootstrap"} {
					if strings.Contains(bindings, gone) {
						t.Errorf("ClusterRoleBinding %s is there", gone)
					}
				}
				if !strings.Contains(bindings, "kubeadm:node-autoapprove-certificate-rotation") {
					t.Error("kubelets cannot renew their certificates any more")
				}
				s.exec(t, "n2", "rm", "-r", "/var/lib/kubewright/receipts", "/var/lib/kubelet/pki/kubelet-client-kubewright.pem")
				s.describe(t, true, fixture.SetPool(map[string]any{"example.com/changed": "yes"}, "labels"))
				out, code := s.up(t)
				if code != failed || !strings.Contains(out, "is given no identity") || !strings.Contains(out, "kubectl delete node n2") {
					t.Errorf("kubewright up ended with code %d and does not say what to do", code)
				}
				if got, err := s.fleet.Exec(s.ctx, "n2", "ls", "/var/lib/kubelet/pki/kubelet-client-kubewright.pem"); err == nil {
					t.Errorf("it was given one: %s", got)
				}
			},
		},
	}
}
