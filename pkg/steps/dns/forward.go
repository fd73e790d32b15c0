package dns

import (
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// Forwarding is where cluster DNS sends questions for names outside the cluster: nil to the name servers of the node it runs on, as kubeadm
// sets it up, otherwise to these addresses, which may be none.
type Forwarding []string

// String is what is noted in the cluster: empty for the node's name servers, "none", or the addresses with blanks between them.
func (f Forwarding) String() string {
	switch {
	case f == nil:
		return ""
	case len(f) == 0:
		return "none"
	}
	return strings.Join(f, " ")
}

// ForwardingOf says where the cluster's DNS forwards to. It is what the spec names. Otherwise it is nowhere when no host has a name server
// that a pod could ask, which is usual where there is no way out: CoreDNS ends at once when it is told to forward to nobody. False means
// that it cannot be told, because some hosts are not known: then it stays as it is.
func ForwardingOf(c *desired.Cluster, facts map[string]*hostapi.Facts) (Forwarding, bool) {
	if upstreams := Upstreams(c); len(upstreams) > 0 {
		return slices.Clone(upstreams), true
	}
	known := true
	for _, h := range c.Hosts {
		switch f := facts[h.Name]; {
		case Overridden(c, h):
			return nil, true
		case f == nil:
			known = false
		case ResolverOf(f).Known():
			return nil, true
		}
	}
	return Forwarding{}, known
}

// Upstreams are the name servers that the spec names.
func Upstreams(c *desired.Cluster) []string {
	if c.Network.DNS == nil {
		return nil
	}
	return c.Network.DNS.Upstreams
}

// Overridden reports whether an override says what file kubelet of a host reads name servers from.
func Overridden(c *desired.Cluster, h desired.Host) bool {
	kubelet, err := kubeadm.EffectiveKubelet(c, h)
	if err != nil {
		return false
	}
	_, given := kubelet["resolvConf"]
	return given
}
