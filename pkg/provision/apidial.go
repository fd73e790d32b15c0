package provision

import (
	"context"
	"fmt"
	"net"

	"github.com/kubewright/kubewright/pkg/addresses"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// DialAPIServer connects to the API server of one control plane through SSH, for whoever only wants to ask how the cluster is. hosts holds
// the control plane and its bastions. Nothing is placed on the host and no key is recorded: one that nobody knows is refused. The SSH
// connection ends with the one that is returned.
func DialAPIServer(ctx context.Context, hosts []HostAccess, name string, policy addresses.Policy) (net.Conn, error) {
	access := map[string]HostAccess{}
	for _, a := range hosts {
		access[a.Host.Name] = a
	}
	t, err := target(access, name, func(context.Context, string, string) error {
		return &ssh.KeyRefusedError{Why: "a look at the cluster records none", Next: "an operation does"}
	})
	if err != nil {
		return nil, err
	}
	for hop := &t; hop != nil; hop = hop.Bastion {
		hop.Judge = policy.Judge
	}
	client, err := ssh.Dial(ctx, t)
	if err != nil {
		return nil, err
	}
	to, err := hostapi.DialRequest{Service: hostapi.ServiceAPIServer, Address: "127.0.0.1"}.Target(nil)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	conn, err := client.DialContext(ctx, "tcp", to)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return &overSSH{Conn: conn, client: client}, nil
}

// overSSH is a connection that takes its SSH connection with it.
type overSSH struct {
	net.Conn
	client *ssh.Client
}

// Close implements net.Conn.
func (c *overSSH) Close() error {
	_ = c.Conn.Close()
	return c.client.Close()
}
