package facts

import (
	"os"
	"path"
	"slices"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// nodeDirs are the directories that a node and what brings it about are made of.
func nodeDirs() []string {
	return []string{
		"/etc/kubernetes", "/etc/containerd", "/etc/cni/net.d", "/etc/kubewright", "/opt/cni/bin", "/opt/containerd", "/opt/kubewright", "/usr/local/bin",
		"/var/lib/etcd", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers", sys.StateDir,
	}
}

// danglingLinks finds links that lead nowhere at the directories of a node, those asked for as well, or above them. Nobody makes a
// directory through such a link.
func danglingLinks(s *sys.System, more []string) []api.DanglingLink {
	var all []api.DanglingLink
	for _, dir := range append(nodeDirs(), more...) {
		for at := dir; at != "/" && at != "."; at = path.Dir(at) {
			target, err := os.Readlink(s.Path(at))
			if err != nil || slices.ContainsFunc(all, func(l api.DanglingLink) bool { return l.Path == at }) {
				continue
			}
			if to, err := s.Resolve(at); err != nil || !sys.Exists(s.Path(to)) {
				all = append(all, api.DanglingLink{Path: at, Target: target})
			}
		}
	}
	return all
}
