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

	place "github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// dialTimeout bounds the making of one TCP connection.
const dialTimeout = 30 * time.Second

// addresses says which addresses may be connected to.
type addresses struct {
	// origins are the hosts with ports that the source names itself.
	origins []string
	// loopback permits this very machine as an origin.
	loopback bool
}

// judge says why an address may not be connected to; named says that the source itself names the host, and no redirect does.
func (a addresses) judge(addr netip.Addr, named bool) error {
	kind := place.KindOf(addr)
	refuse := func(what string) error {
		return &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("%s is %s, which is not connected to", place.Plain(addr), what)}
	}
	switch {
	case kind == place.Metadata, kind == place.Link:
		return refuse(kind.String())
	case kind == place.Loopback && !named:
		return refuse("this very machine, named by a redirect")
	case kind == place.Loopback && !a.loopback:
		return refuse("this very machine")
	case kind == place.Private && !named:
		return refuse("a private address, named by a redirect: name that server in the source")
	}
	return nil
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
