package hosts

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"strings"
)

// labelFleet marks every container and network of a fleet, so that what a crashed run left behind can be found.
const labelFleet = "kubewright.e2e/fleet"

// subnetCandidates yields the /24s of 10.213.0.0/16, starting at one that depends on the fleet's name, so that a fleet
// usually gets the same addresses again. The range is neither Docker's own nor a usual pod or service network.
func subnetCandidates(fleet string) []netip.Prefix {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(fleet))
	first := hash.Sum32()
	candidates := make([]netip.Prefix, 0, 256)
	for i := range uint32(256) {
		candidates = append(candidates, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 213, byte(first + i), 0}), 24))
	}
	return candidates
}

// createNetwork makes the fleet's network: hosts and this machine reach each other, and nothing leads out.
func createNetwork(ctx context.Context, name string, o Options) (netip.Prefix, error) {
	candidates := subnetCandidates(o.Name)
	if o.Subnet.IsValid() {
		candidates = []netip.Prefix{o.Subnet.Masked()}
	}
	inUse, err := localPrefixes()
	if err != nil {
		return netip.Prefix{}, err
	}
	last := errors.New("every candidate is in use by an interface of this machine")
	for _, subnet := range candidates {
		if overlaps(subnet, inUse) {
			continue
		}
		_, last = docker(ctx, "network", "create", "--driver", "bridge", "--internal",
			"--subnet", subnet.String(), "--gateway", gatewayOf(subnet).String(),
			"--label", labelFleet+"="+o.Name, name)
		if last == nil {
			return subnet, nil
		}
		// Another fleet took it between the look and the creation.
		if !strings.Contains(last.Error(), "overlap") {
			break
		}
	}
	return netip.Prefix{}, fmt.Errorf("create the network of fleet %s: %w", o.Name, last)
}

func localPrefixes() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	var prefixes []netip.Prefix
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			prefixes = append(prefixes, prefix.Masked())
		}
	}
	return prefixes, nil
}

func overlaps(subnet netip.Prefix, others []netip.Prefix) bool {
	for _, other := range others {
		if subnet.Overlaps(other) {
			return true
		}
	}
	return false
}

// gatewayOf is this machine's address on the network.
func gatewayOf(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// firstHost is the last byte of the address of n1, so that address .11 is n1 and .12 is n2.
const firstHost = 11

// freeAddress finds the lowest address for a new host. Addresses from firstHost+maxHosts on stay free for tests that
// need a virtual address.
func freeAddress(subnet netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, error) {
	address := subnet.Masked().Addr()
	for range firstHost {
		address = address.Next()
	}
	for range maxHosts {
		if !taken[address] {
			return address, nil
		}
		address = address.Next()
	}
	return netip.Addr{}, fmt.Errorf("no free address in %s", subnet)
}
