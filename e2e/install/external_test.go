//go:build e2e

package install

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// TestAnExternalEndpointIsWhatNodesAndPeopleUse installs behind a load balancer of the user's own. It may lead nowhere until the first
// control plane is there, as such load balancers do.
func TestAnExternalEndpointIsWhatNodesAndPeopleUse(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "external", fixture.Options{ControlPlanes: []string{"n1"}, Workers: []string{"n2"}, User: "ops"})
	first, err := fleet.Host("n1")
	if err != nil {
		t.Fatal(err)
	}
	balancer := startRelay(t, ctx, fleet.Gateway, netip.AddrPortFrom(first.Address, 6443).String())
	if err := i.Describe(fleet, fixture.Options{
		Version: version, ControlPlanes: []string{"n1"}, Workers: []string{"n2"}, User: "ops",
		Edit: fixture.Set("Cluster", "", map[string]any{
			"type": "External", "host": balancer.address.Addr().String(), "port": int64(balancer.address.Port()),
		}, "spec", "controlPlane", "endpoint"),
	}); err != nil {
		t.Fatal(err)
	}
	out := mustUp(t, ctx, fleet, i)
	t.Log(tail(out, 10))
	if nodes := kubectl(t, ctx, i, "get", "nodes", "--no-headers"); strings.Count(nodes, " Ready ") != 2 || strings.Count(nodes, version) != 2 {
		t.Errorf("nodes are\n%s", nodes)
	}
	if report, err := i.AskService(ctx); err != nil {
		t.Errorf("a Service does not answer: %v\n%s", err, report)
	}
	endpoint := "https://" + balancer.address.String()
	if server := kubectl(t, ctx, i, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"); server != endpoint {
		t.Errorf("the kubeconfig names %s, want %s", server, endpoint)
	}
	if server := run(t, ctx, fleet, "n2", "grep", "server:", "/etc/kubernetes/kubelet.conf"); !strings.Contains(server, endpoint) {
		t.Errorf("the kubelet of n2 uses %s, want %s", server, endpoint)
	}
	const proxyUnit = "kubewright-apiserver-proxy"
	if out, err := fleet.Exec(ctx, "n2", "systemctl", "is-active", proxyUnit); err == nil {
		t.Errorf("n2 runs a proxy that nobody needs: %s", out)
	}
	// Its API server reaches members of etcd through it, and nobody reaches API servers.
	run(t, ctx, fleet, "n1", "systemctl", "is-active", proxyUnit)
	if frontends := run(t, ctx, fleet, "n1", "grep", "^frontend", "/etc/kubewright/apiserver-proxy.cfg"); strings.TrimSpace(frontends) != "frontend etcd" {
		t.Errorf("the proxy of n1 has %s", frontends)
	}
	if balancer.carried.Load() == 0 {
		t.Error("nobody came through the load balancer")
	}
	if out, err = i.Up(ctx); err != nil || !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("the same command again: %v\n%s", err, out)
	}
}

// relay stands for a load balancer with one control plane behind it.
type relay struct {
	address netip.AddrPort
	carried atomic.Int64
}

// startRelay listens on an address until the test ends and carries connections to a target.
func startRelay(t *testing.T, ctx context.Context, at netip.Addr, target string) *relay {
	t.Helper()
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	r := &relay{address: listener.Addr().(*net.TCPAddr).AddrPort()}
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go r.carry(ctx, in, target)
		}
	}()
	return r
}

// carry copies both ways until one side ends.
func (r *relay) carry(ctx context.Context, in net.Conn, target string) {
	defer func() { _ = in.Close() }()
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	r.carried.Add(1)
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}
