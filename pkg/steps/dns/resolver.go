// Package dns says how names outside the cluster are resolved: which file kubelet gives to pods on a host, what stands in it, and where
// cluster DNS forwards to. It is pure, and knows nothing of how hosts or the cluster are reached.
package dns

import (
	"net/netip"
	"slices"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// The files kubelet can read name servers from. kubeadm takes the second where systemd-resolved is active (componentconfigs/kubelet.go).
const (
	ResolvConf         = "/etc/resolv.conf"
	ResolvedResolvConf = "/run/systemd/resolve/resolv.conf"
)

// dnsPort is where name servers answer.
const dnsPort = 53

// Resolver is what pods of a host with the policy Default, such as CoreDNS, get to resolve names with.
type Resolver struct {
	// File the name servers stand in.
	File string
	// Missing says that the file is not there, or is a link that leads nowhere: kubelet could start no pod with it.
	Missing bool
	// Servers are those that a pod can reach.
	Servers []string
	// Local are those on the host's loopback that answer there: inside a pod that address is the pod itself.
	Local []string
	// Dead are those on the host's loopback behind which nobody listens.
	Dead []string
}

// Known reports whether the host has a name server of any kind.
func (r Resolver) Known() bool { return len(r.Servers)+len(r.Local) > 0 }

// ResolverOf reads from a host's facts what its pods resolve names with, unless kubelet is told otherwise.
func ResolverOf(f *hostapi.Facts) Resolver {
	r, servers := Resolver{File: ResolvConf, Missing: f.ResolvConfMissing}, f.Nameservers
	if f.Resolved {
		r, servers = Resolver{File: ResolvedResolvConf}, f.ResolvedNameservers
	}
	for _, s := range servers {
		ip, err := netip.ParseAddr(s)
		switch {
		case err != nil || ip.IsUnspecified():
		case !ip.IsLoopback():
			r.Servers = append(r.Servers, s)
		case answers(f, ip):
			r.Local = append(r.Local, s)
		default:
			r.Dead = append(r.Dead, s)
		}
	}
	return r
}

// answers reports whether something listens on the port of DNS at a loopback address. Servers of DNS listen over TCP as well (RFC 7766).
func answers(f *hostapi.Facts, ip netip.Addr) bool {
	return slices.ContainsFunc(f.Listening, func(l hostapi.Listening) bool {
		at, err := netip.ParseAddr(l.Address)
		return l.Port == dnsPort && err == nil && (at == ip || at.IsUnspecified())
	})
}

// KubeletFile is what a host's kubelet must be told to read name servers from, nil for what it is told anyway: that is the file which
// kubeadm found right on the first control plane. A file that is not there would keep kubelet from starting any pod, so it is told to do
// without one ("", see resolvConf of KubeletConfiguration). First is nil when that host is not known.
func KubeletFile(host, first *hostapi.Facts) *string {
	own, shared := ResolverOf(host), ResolvConf
	if first != nil {
		shared = ResolverOf(first).File
	}
	none := ""
	switch {
	case own.Missing:
		return &none
	case own.File != shared && first != nil:
		return &own.File
	}
	return nil
}
