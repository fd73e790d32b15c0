package firewall

import (
	"encoding/binary"
	"fmt"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// Layouts of what iptables gives to matches of its own (linux/netfilter/xt_*.h); numbers stand in the machine's byte order.
const (
	// tcpInverted is where xt_tcp keeps its flags of what is inverted; that of the port is 2. For xt_udp, udpInverted.
	tcpInverted, udpInverted = 11, 8
	portInverted             = 2
	// xt_conntrack_mtinfo3: match flags, inverted flags and the mask of states.
	conntrackMatch, conntrackInvert, conntrackStates = 146, 148, 150
	conntrackState                                   = 1
	// xt_multiport_v1: what is matched, how many ports, the ports, which of them begin a range, inverted.
	multiportPorts, multiportRanges, multiportInverted = 2, 32, 47
	multiportDestination                               = 1
	multiportMost                                      = 15
)

// compat reads a match of iptables that has no counterpart in nftables' own rules. False means that it says something more than is returned.
func compat(name string, revision uint64, info []byte) (matches []api.FirewallMatch, known bool) {
	switch {
	case name == "comment":
		return nil, true
	case name == "tcp" && len(info) > tcpInverted:
		// Flags of TCP in bytes 9 and 10, an option in 8.
		return ports(info, info[tcpInverted], info[8] == 0 && info[9] == 0 && info[10] == 0)
	case name == "udp" && len(info) > udpInverted:
		return ports(info, info[udpInverted], true)
	case name == "state" && len(info) >= 4:
		return []api.FirewallMatch{{Field: api.FirewallState, Values: stateNames(binary.NativeEndian.Uint32(info))}}, true
	case name == "conntrack" && revision == 3 && len(info) >= conntrackStates+2:
		return conntrack(info)
	case name == "multiport" && revision == 1 && len(info) > multiportInverted:
		return multiport(info)
	}
	return nil, false
}

// ports reads the ranges of source and destination ports that xt_tcp and xt_udp begin with.
func ports(info []byte, inverted byte, simple bool) ([]api.FirewallMatch, bool) {
	port := func(at int) uint16 { return binary.NativeEndian.Uint16(info[at:]) }
	any := port(0) == 0 && port(2) == 0xffff && inverted&1 == 0
	m := api.FirewallMatch{Field: api.FirewallPort, Not: inverted&portInverted != 0, Values: []string{fmt.Sprintf("%d-%d", port(4), port(6))}}
	return []api.FirewallMatch{m}, any && simple && inverted&^(1|portInverted) == 0
}

func conntrack(info []byte) ([]api.FirewallMatch, bool) {
	match, invert := binary.NativeEndian.Uint16(info[conntrackMatch:]), binary.NativeEndian.Uint16(info[conntrackInvert:])
	if match&conntrackState == 0 {
		return nil, false
	}
	m := api.FirewallMatch{Field: api.FirewallState, Not: invert&conntrackState != 0, Values: stateNames(uint32(binary.NativeEndian.Uint16(info[conntrackStates:])))}
	return []api.FirewallMatch{m}, match == conntrackState
}

func multiport(info []byte) ([]api.FirewallMatch, bool) {
	count := int(info[1])
	if info[0] != multiportDestination || count == 0 || count > multiportMost {
		return nil, false
	}
	m := api.FirewallMatch{Field: api.FirewallPort, Not: info[multiportInverted] != 0}
	for i := 0; i < count; i++ {
		from := binary.NativeEndian.Uint16(info[multiportPorts+2*i:])
		to := from
		if info[multiportRanges+i] != 0 && i+1 < count {
			i++
			to = binary.NativeEndian.Uint16(info[multiportPorts+2*i:])
		}
		m.Values = append(m.Values, fmt.Sprintf("%d-%d", from, to))
	}
	return []api.FirewallMatch{m}, true
}
