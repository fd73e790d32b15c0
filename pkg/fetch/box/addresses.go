package box

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// dialTimeout bounds the making of one TCP connection.
const dialTimeout = 30 * time.Second

// metadata are addresses outside the link's own range on which clouds hand out credentials to whoever asks from inside.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS, IPv6
	netip.MustParseAddr("fd00:ec2::23"),    // AWS, IPv6, the agent that gives pods of EKS their credentials
	netip.MustParseAddr("fd20:ce::254"),    // Google, IPv6
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("168.63.129.16"),   // Azure
}

var (
	// nat64 and sixToFour carry an IPv4 address inside one of IPv6 (RFC 6052, RFC 3056).
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
	// shared is the range between carriers and their customers (RFC 6598); sites use it like a private one.
	shared = netip.MustParsePrefix("100.64.0.0/10")
	// thisNetwork reaches the machine itself on some systems (RFC 1122).
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
)

// addresses says which addresses may be connected to.
type addresses struct {
	// origins are the hosts with ports that the source names itself.
	origins []string
	// loopback permits this very machine as an origin.
	loopback bool
}

// judge says why an address may not be connected to; named says that the source itself names the host, and no redirect does.
func (a addresses) judge(addr netip.Addr, named bool) error {
	addr = plain(addr)
	refuse := func(what string) error {
		return &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("%s is %s, which is not connected to", addr, what)}
	}
	switch {
	case slices.Contains(metadata, addr):
		return refuse("an address on which clouds hand out credentials")
	case addr.IsLinkLocalUnicast(), addr.IsMulticast(), addr.IsUnspecified(), thisNetwork.Contains(addr), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return refuse("an address of the link, of many, or of none")
	case addr.IsLoopback() && !named:
		return refuse("this very machine, named by a redirect")
	case addr.IsLoopback() && !a.loopback:
		return refuse("this very machine")
	case (addr.IsPrivate() || shared.Contains(addr)) && !named:
		return refuse("a private address, named by a redirect: name that server in the source")
	}
	return nil
}

// plain takes an IPv4 address out of the forms of IPv6 that carry one.
func plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	raw := addr.As16()
	switch {
	case addr.Is4():
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(raw[12:16]))
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(raw[2:6]))
	}
	return addr
}

// connector connects to a host and port, and has each address judged before it is connected to.
type connector func(ctx context.Context, network, hostPort string, judge func(netip.Addr) error) (net.Conn, error)

// connect is the connector of the real network. It judges the address that is really connected to: what a name stood for when it was
// looked at before does not count.
func connect(ctx context.Context, network, hostPort string, judge func(netip.Addr) error) (net.Conn, error) {
	dialer := &net.Dialer{
		Timeout: dialTimeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("connect to %s: %w", address, err)
			}
			return judge(to.Addr())
		},
	}
	return dialer.DialContext(ctx, network, hostPort)
}

// dialer makes of a connector what package http wants.
func (a addresses) dialer(connect connector) func(ctx context.Context, network, hostPort string) (net.Conn, error) {
	return func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		named := slices.Contains(a.origins, hostPort)
		conn, err := connect(ctx, network, hostPort, func(addr netip.Addr) error { return a.judge(addr, named) })
		if refused, ok := errors.AsType[*fetch.Error](err); ok {
			return nil, &fetch.Error{Kind: refused.Kind, Message: fmt.Sprintf("connect to %s: %s", hostPort, refused.Message)}
		}
		return conn, err
	}
}
