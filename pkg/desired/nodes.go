package desired

import "github.com/kubewright/kubewright/api/v1alpha1"

// Nodes resolves who the nodes of a spec are and what kubeadm is told of them, which needs no release. Hosts that are not there, or cannot be
// nodes, are left out.
func Nodes(spec v1alpha1.ClusterSpec, hosts map[string]v1alpha1.Host) []Host {
	var nodes []Host
	add := func(name string, role v1alpha1.HostRole, overrides v1alpha1.NodeOverrides) {
		if h, err := newHost(hosts, name, ""); err == nil {
			h.Role = role
			h.lay(spec.Overrides.NodeOverrides, overrides)
			nodes = append(nodes, h)
		}
	}
	for _, name := range spec.ControlPlane.Hosts {
		add(name, v1alpha1.ControlPlaneRole, spec.ControlPlane.Overrides)
	}
	for _, pool := range spec.Workers {
		for _, name := range pool.Hosts {
			add(name, v1alpha1.WorkerRole, pool.Overrides)
		}
	}
	return nodes
}
