package api

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// Service names what a connection from the host may lead to. There is no other way to name a port, so that the helper is no proxy.
type Service string

const (
	// ServiceAPIServer is an API server of the cluster, at kubeadm's default port.
	ServiceAPIServer Service = "APIServer"
	// ServiceEtcd is a member of etcd as clients reach it, at kubeadm's default port.
	ServiceEtcd Service = "Etcd"
	// ServiceDNS is the cluster's DNS over TCP, at the address of its Service.
	ServiceDNS Service = "DNS"
)

// MaxPeers bounds the addresses of a HelloRequest: control planes, those that leave, and the Service of the cluster's DNS.
const MaxPeers = 64

// DialRequest asks for a TCP connection from the host to one service of the cluster. The connection takes the place of the answer: after
// status 101 both sides speak freely. It changes nothing on the host and needs no lease.
type DialRequest struct {
	Service Service `json:"service"`
	// Address is the host itself (a loopback address) or one of the Peers that the session was opened with.
	Address string `json:"address"`
}

// Target returns the "address:port" to connect to, or an InvalidError for what is not the cluster's.
func (r DialRequest) Target(peers []string) (string, error) {
	var port int
	switch r.Service {
	case ServiceAPIServer:
		port = 6443
	case ServiceEtcd:
		port = 2379
	case ServiceDNS:
		port = 53
	default:
		return "", &InvalidError{Message: fmt.Sprintf("service %q is not one of the cluster's", r.Service)}
	}
	address, err := netip.ParseAddr(r.Address)
	if err != nil || address.Zone() != "" {
		return "", &InvalidError{Message: fmt.Sprintf("address %q is no IP address", r.Address)}
	}
	if !address.IsLoopback() && !slices.Contains(peers, r.Address) {
		return "", &InvalidError{Message: fmt.Sprintf("address %s belongs neither to this host nor to the cluster of this session", address)}
	}
	return net.JoinHostPort(address.String(), strconv.Itoa(port)), nil
}

// ValidatePeers checks the addresses that a session is opened with: IP addresses that a node or a Service can have.
func ValidatePeers(peers []string) error {
	if len(peers) > MaxPeers {
		return &InvalidError{Message: fmt.Sprintf("%d addresses of the cluster, at most %d are allowed", len(peers), MaxPeers)}
	}
	for _, p := range peers {
		if !IsPeer(p) {
			return &InvalidError{Message: fmt.Sprintf("%q is no address that a node or a Service can have", p)}
		}
	}
	return nil
}

// IsPeer reports whether address is an IP address that a node or a Service can have: neither unspecified, multicast, loopback nor
// link-local, which are those of the machine itself and of what surrounds it, such as the metadata service of a cloud.
func IsPeer(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Zone() == "" && a.Unmap().IsGlobalUnicast()
}
