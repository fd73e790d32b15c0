//go:build e2e

package conditions

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// judgedHosts are hosts with something on them, or in them, that preflight looks at.
func judgedHosts() []condition {
	return []condition{
		{
			name: "what kubeadm would refuse on cgroup v1 is no obstacle once kubelet is told to take it, and neither is what is in nobody's way, or what turned forwarding off before",
			arrange: func(t *testing.T, s *site) {
				s.put(t, "n1", "/usr/bin/kubectl", "#!/bin/sh\n")
				s.put(t, "n1", "/usr/local/bin/kubewright", "#!/bin/sh\n")
				s.put(t, "n1", "/usr/local/bin/kubectl", "#!/bin/sh\necho earlier\n")
				s.listen(t, "n1", "8443")
				s.noForwarding(t, "n1", "/etc/sysctl.d/zz-theirs.conf")
			},
			running: func(t *testing.T, s *site) {
				// As packages do that bring kernel parameters of their own.
				s.exec(t, "n1", "bash", "-c", "sysctl --system || :")
				for _, key := range []string{"net.ipv4.ip_forward", "net.ipv4.conf.default.forwarding"} {
					if value := s.exec(t, "n1", "sysctl", "-n", key); value != "1\n" {
						t.Errorf("%s is %s after the files were read again", key, value)
					}
				}
			},
			edit: fixture.Without("Cluster", "spec", "overrides", "ignorePreflightErrors"),
			removed: func(t *testing.T, s *site) {
				if said := s.exec(t, "n1", "sh", "/usr/local/bin/kubectl"); said != "earlier\n" {
					t.Errorf("the earlier kubectl is not back, but one that says %q", said)
				}
			},
		},
		{
			name: "flags and drop-ins that another installer left are named before anything is changed",
			arrange: func(t *testing.T, s *site) {
				s.put(t, "n1", "/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--no-such-flag\n")
				s.put(t, "n1", "/etc/systemd/system/kubelet.service.d/20-other.conf", "[Service]\n", "/etc/systemd/system/kubelet.service.d")
				s.put(t, "n1", "/etc/systemd/system/containerd.service.d/http-proxy.conf", "[Service]\n", "/etc/systemd/system/containerd.service.d")
			},
			code: failed,
			says: []string{"n1: host/preflight: Leftovers", "/etc/default/kubelet", "/etc/systemd/system/containerd.service.d/http-proxy.conf", "/etc/systemd/system/kubelet.service.d/20-other.conf"},
		},
		{
			name:    "a file that is read after ours and turns forwarding off is named with line and key",
			arrange: func(t *testing.T, s *site) { s.noForwarding(t, "n1", "/etc/sysctl.conf") },
			code:    failed,
			says:    []string{"n1: host/preflight: KernelParameters", "/etc/sysctl.conf:1 sets net.ipv4.ip_forward = 0", "remove the line"},
		},
		{
			name: "a directory of a node that is a link to a disk which is not there is named",
			arrange: func(t *testing.T, s *site) {
				s.exec(t, "n1", "ln", "-s", "/data/cni", "/opt/cni")
				t.Cleanup(func() { s.exec(t, "n1", "rm", "/opt/cni") })
			},
			code: failed,
			says: []string{"n1: host/preflight: DanglingLink", "/opt/cni is a link to /data/cni, which is not there"},
		},
		{
			name:    "a load balancer on the API server's port is named",
			arrange: func(t *testing.T, s *site) { s.listen(t, "n1", "6443") },
			code:    failed,
			says:    []string{"n1: host/preflight: Port-6443", "which kube-apiserver needs, is in use by"},
		},
		{
			name:    "a pod range over the hosts' own network is refused with its addresses, also for a login name with a dot",
			arrange: func(t *testing.T, s *site) { s.login(t, "first.last") },
			edit: func(kind string, object map[string]any) {
				fixture.Set("Host", "n1", "first.last", "spec", "user")(kind, object)
				fixture.Set("Cluster", "", "10.213.0.0/16", "spec", "network", "podCIDR")(kind, object)
			},
			code: failed,
			says: []string{"n1: host/preflight: NetworkOverlap", "spec.network.podCIDR 10.213.0.0/16 overlaps 10.213.", "choose a range that nothing else uses"},
		},
		{
			name: "an endpoint whose name hosts do not know is refused",
			edit: fixture.Set("Cluster", "", map[string]any{"type": "External", "host": "api.no-such-name.example.com"}, "spec", "controlPlane", "endpoint"),
			code: failed,
			says: []string{"n1: host/preflight: EndpointName", "cannot resolve api.no-such-name.example.com", "/etc/hosts"},
		},
		{
			name:  "IPv6 ranges are refused before any host is contacted",
			edit:  fixture.Set("Cluster", "", map[string]any{"podCIDR": "fd00:1::/48", "serviceCIDR": "fd00:2::/112"}, "spec", "network"),
			code:  badInput,
			says:  []string{"spec.network.podCIDR", "use an IPv4 range"},
			hides: []string{"host/connect"},
		},
		{
			name:  "a check that nobody does is refused with those there are",
			edit:  fixture.Set("Cluster", "", []any{"NumCPU", "NumCPUs"}, "spec", "overrides", "ignorePreflightErrors"),
			code:  failed,
			says:  []string{"spec.overrides.ignorePreflightErrors[1]", `"NumCPUs" is the name of no check`, "CPUs"},
			hides: []string{"host/connect"},
		},
	}
}

// login gives n1 one more user with root rights until the end, who logs in as ops does.
func (s *site) login(t *testing.T, user string) {
	t.Helper()
	s.exec(t, "n1", "bash", "-c", `useradd --badname -m -s /bin/bash "$0" && cp /etc/ssh/authorized_keys/ops "/etc/ssh/authorized_keys/$0" && echo "$0 ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers.d/conditions`, user)
	t.Cleanup(func() {
		s.exec(t, "n1", "bash", "-c", `rm /etc/sudoers.d/conditions "/etc/ssh/authorized_keys/$0" && userdel --force --remove "$0"`, user)
	})
}

// noForwarding has a file turn forwarding off on a host until the end, as guides for hardening do.
func (s *site) noForwarding(t *testing.T, host, path string) {
	t.Helper()
	before := strings.TrimSpace(s.exec(t, host, "sysctl", "-n", "net.ipv4.ip_forward"))
	t.Cleanup(func() { s.exec(t, host, "sysctl", "-w", "net.ipv4.ip_forward="+before) })
	if earlier := s.exec(t, host, "bash", "-c", `cat "$0" 2>/dev/null || :`, path); earlier != "" {
		t.Cleanup(func() {
			if err := s.fleet.WriteFile(s.ctx, host, path, 0o644, []byte(earlier)); err != nil {
				t.Error(err)
			}
		})
	}
	s.put(t, host, path, "net.ipv4.ip_forward = 0\n")
	s.exec(t, host, "bash", "-c", "sysctl --system || :")
}

// listen has something accept connections on a port of a host until the end.
func (s *site) listen(t *testing.T, host, port string) {
	t.Helper()
	unit := "listener-" + port
	s.exec(t, host, "systemd-run", "--quiet", "--collect", "--unit", unit, "systemd-socket-activate", "--listen", port, "cat")
	t.Cleanup(func() { s.exec(t, host, "systemctl", "stop", unit) })
	s.exec(t, host, "timeout", "20", "bash", "-c", "until ss -Hltn sport = :"+port+" | grep -q LISTEN; do :; done")
}
