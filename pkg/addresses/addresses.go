// Package addresses says what kind of address one is, for everything that connects to where objects of others lead: fetching bundles,
// hosts over SSH, API servers. It connects to nothing itself.
package addresses

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Kind is what an address leads to.
type Kind int

const (
	// Ordinary addresses lead to some machine on the internet.
	Ordinary Kind = iota
	// Private addresses lead to machines of a site (RFC 1918, RFC 4193, RFC 6598).
	Private
	// Loopback addresses lead to this very machine.
	Loopback
	// Link addresses are of the link, of many machines, or of none.
	Link
	// Metadata addresses hand out a cloud's credentials to whoever asks from inside.
	Metadata
)

// String completes "the address is".
func (k Kind) String() string {
	switch k {
	case Private:
		return "a private address"
	case Loopback:
		return "this very machine"
	case Link:
		return "an address of the link, of many, or of none"
	case Metadata:
		return "an address on which clouds hand out credentials"
	case Ordinary:
	}
	return "an ordinary address"
}

// metadata are addresses outside the link's own range on which clouds hand out credentials to whoever asks from inside.
func metadata() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"),   // AWS, IPv6
		netip.MustParseAddr("fd00:ec2::23"),    // AWS, IPv6, the agent that gives pods of EKS their credentials
		netip.MustParseAddr("fd20:ce::254"),    // Google, IPv6
		netip.MustParseAddr("100.100.100.200"), // Alibaba
		netip.MustParseAddr("192.0.0.192"),     // Oracle
		netip.MustParseAddr("168.63.129.16"),   // Azure
	}
}

// KindOf judges an address, also one of IPv4 inside one of IPv6.
func KindOf(addr netip.Addr) Kind {
	addr = Plain(addr)
	switch {
	case slices.Contains(metadata(), addr):
		return Metadata
	// 0.0.0.0/8 reaches the machine itself on some systems (RFC 1122).
	case !addr.IsValid(), addr.IsLinkLocalUnicast(), addr.IsMulticast(), addr.IsUnspecified(), within("0.0.0.0/8", addr), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Link
	case addr.IsLoopback():
		return Loopback
	// The range between carriers and their customers (RFC 6598); sites use it like a private one.
	case addr.IsPrivate(), within("100.64.0.0/10", addr):
		return Private
	}
	return Ordinary
}

func within(prefix string, addr netip.Addr) bool { return netip.MustParsePrefix(prefix).Contains(addr) }

// Plain takes an IPv4 address out of the forms of IPv6 that carry one (RFC 6052, RFC 3056).
func Plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	raw := addr.As16()
	switch {
	case !addr.IsValid(), addr.Is4():
	case within("64:ff9b::/96", addr):
		return netip.AddrFrom4([4]byte(raw[12:16]))
	case within("2002::/16", addr):
		return netip.AddrFrom4([4]byte(raw[2:6]))
	}
	return addr
}

// Policy says which addresses hosts and API servers may have. Ordinary and private ones are always allowed: that is where hosts are. The
// zero value allows nothing else.
type Policy struct {
	// Allowed are networks of other kinds that may be connected to all the same.
	Allowed []netip.Prefix
}

// Local is the policy of a program that a person runs for themselves: this very machine may be a host.
func Local() Policy {
	return Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
}

// RefusedError says that an address is not connected to.
type RefusedError struct {
	Address netip.Addr
	Kind    Kind
}

// Error names the address, what it is, and what to do.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is %s, which is not connected to: write the machine's own address, or allow this one with --allow-network of the manager", e.Address, e.Kind)
}

// Judge refuses an address with a *RefusedError.
func (p Policy) Judge(addr netip.Addr) error {
	plain := Plain(addr)
	kind := KindOf(addr)
	if kind == Ordinary || kind == Private || slices.ContainsFunc(p.Allowed, func(n netip.Prefix) bool { return n.Contains(plain) }) {
		return nil
	}
	return &RefusedError{Address: plain, Kind: kind}
}

// Control is for net.Dialer.ControlContext: it judges the address that is really connected to, since what a name stood for when it was
// looked at before does not count.
func (p Policy) Control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	return p.Judge(to.Addr())
}

// Dial connects as net.Dialer does, to addresses that the policy allows.
func (p Policy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{ControlContext: p.Control}).DialContext(ctx, network, address)
}
