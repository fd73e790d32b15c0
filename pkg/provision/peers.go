package provision

import (
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// peersOf lists the addresses of the cluster that connections from its hosts may lead to: those of control planes, also of those that
// leave, and of the cluster's DNS.
func peersOf(cluster *desired.Cluster, leaving []leavingHost) ([]string, error) {
	var list []string
	add := func(address string) {
		if hostapi.IsPeer(address) && !slices.Contains(list, address) {
			list = append(list, address)
		}
	}
	if len(cluster.Hosts) > 0 {
		dns, err := cluster.DNSServiceIP()
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", cluster.Name, err)
		}
		add(dns)
	}
	for _, h := range cluster.ControlPlanes() {
		add(h.Address)
	}
	for _, l := range leaving {
		if l.ControlPlane {
			add(l.Address)
		}
	}
	return list[:min(len(list), hostapi.MaxPeers)], nil
}
