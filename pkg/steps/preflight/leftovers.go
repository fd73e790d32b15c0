package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/ports"
)

// leftovers refuses hosts with traces of a Kubernetes or a container runtime that is not ours: mixing the two breaks in ways that
// are hard to see, and removing somebody's data is not ours to decide. A host that is ours was free of them when it was claimed; what
// runs there since is our doing.
func leftovers(j *judge) {
	if j.ours() || j.foreign() {
		return
	}
	var found []string
	for _, p := range j.facts.Paths {
		if !p.Owned && !idle(p.Path) {
			found = append(found, p.Path)
		}
	}
	for _, p := range j.facts.Programs {
		if !p.Owned && p.Running && slices.Contains(clashing, p.Name) {
			found = append(found, p.Name+" (running)")
		}
	}
	if len(found) > 0 {
		sort.Strings(found)
		j.object("Leftovers", fmt.Sprintf("found what another installation left: %s; remove it, or reset the host with the tool that installed it",
			strings.Join(found, ", ")))
	}
}

// idle reports whether a path is that of a program: lying there it does nothing. One that stands where ours goes is replaced, and put back
// by a reset. What would have it run (units, configuration) and what it kept are other paths.
func idle(path string) bool {
	return slices.ContainsFunc([]string{"/usr/bin/", "/usr/local/bin/", "/opt/cni/bin/"}, func(dir string) bool { return strings.HasPrefix(path, dir) })
}

// clashing are programs that do the work of a node or hold what it needs, so that one of ours beside them would not work. Those that only
// need a port (etcd, an API server, a load balancer) clash when it is one of ours, which is a check of its own: the machine that `kubewright
// up` runs on, with an etcd and an API server of Kubewright's own, may become a node.
var clashing = []string{
	"kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "containerd", "containerd-shim-runc-v2", "dockerd", "crio", "cri-dockerd",
	"k3s", "rke2", "k0s", "microk8s", "flanneld", "calico-node", "cilium-agent",
}

// portsInUse refuses ports in use by somebody else. On a host that is ours already the listeners are ours.
func portsInUse(j *judge) {
	if j.ours() || j.foreign() {
		return
	}
	for _, port := range ports.Of(j.cluster, j.host) {
		// A program that listens over IPv4 and over IPv6 is there twice.
		at := slices.IndexFunc(j.facts.Listening, func(l hostapi.Listening) bool { return l.Port == port.Number && j.needs(port, l.Address) })
		if port.Protocol != ports.TCP || at < 0 {
			continue
		}
		who, l := "another process", j.facts.Listening[at]
		if l.Process != "" {
			who = fmt.Sprintf("%s (pid %d)", l.Process, l.PID)
		}
		j.object(fmt.Sprintf("Port-%d", port.Number), fmt.Sprintf("TCP port %d, which %s needs, is in use by %s; stop it or move it to another port", port.Number, port.Program, who))
	}
}

// needs reports whether an address that somebody listens at is among those a port is needed at: on its loopback the host's own use of a
// port is in nobody's way elsewhere. What others connect to listens at all addresses.
func (j *judge) needs(port ports.Port, address string) bool {
	at, err := netip.ParseAddr(address)
	return err != nil || !port.Local() || at.IsLoopback() || at.IsUnspecified()
}
