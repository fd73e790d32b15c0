package kubeadm

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/servingcert"
)

// KubeletServing signs the serving certificate that a host's kubelet begins with.
func KubeletServing(c *desired.Cluster, h desired.Host, now time.Time) (pki.KeyPair, error) {
	names, err := servingNames(h)
	if err != nil {
		return pki.KeyPair{}, err
	}
	leaf := pki.Leaf{
		CommonName:    "system:node:" + h.Name,
		Organizations: []string{"system:nodes"},
		DNSNames:      names.DNS,
		Server:        true,
		Lifetime:      servingLifetime,
	}
	for _, ip := range names.IPs {
		leaf.IPs = append(leaf.IPs, ip.String())
	}
	return c.Authorities.Cluster.Sign(leaf, now)
}

// ServingNodes are the nodes of hosts, with what their kubelets' certificates may name. A host whose overrides cannot be read is left out.
func ServingNodes(hosts []desired.Host) servingcert.Nodes {
	nodes := servingcert.Nodes{}
	for _, h := range hosts {
		if names, err := servingNames(h); err == nil {
			nodes[h.Name] = names
		}
	}
	return nodes
}

// servingNames are the node's name and the addresses that it reports (k8s.io/kubernetes, pkg/kubelet/nodestatus, NodeAddress): its own, or what an
// override tells its kubelet.
func servingNames(h desired.Host) (servingcert.Names, error) {
	told, err := NodeAddress(h)
	if err != nil {
		return servingcert.Names{}, err
	}
	names := servingcert.Names{DNS: []string{h.Name}}
	for text := range strings.SplitSeq(h.Address+","+told, ",") {
		if address, err := netip.ParseAddr(text); err == nil && !address.IsUnspecified() && !slices.Contains(names.IPs, address.Unmap()) {
			names.IPs = append(names.IPs, address.Unmap())
		}
	}
	return names, nil
}
