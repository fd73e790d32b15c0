package provision

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

// awaitDNS is done when the cluster's DNS answers over its Service address, asked from a node: that takes CoreDNS, kube-proxy and
// the pod network together.
func (k *kube) awaitDNS(ctx context.Context, a plan.AwaitDNS, host string) (engine.Verdict, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		// A connection through the helper carries TCP only.
		conn, err := k.sessions.dial(ctx, host, hostapi.ServiceDNS, a.Server)
		if err != nil {
			return nil, err
		}
		// One that goes through sshd has no deadlines of its own.
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		return conn, nil
	}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, a.Name)
	if err != nil {
		return unknown(fmt.Errorf("cluster DNS at %s does not answer for %s: %w", a.Server, a.Name, err)), nil
	}
	if len(addresses) == 0 {
		return unknown(fmt.Errorf("cluster DNS at %s knows no address of %s", a.Server, a.Name)), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}
