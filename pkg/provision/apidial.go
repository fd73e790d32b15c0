package provision

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	hostclient "github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// lookOperation is the name under which a helper is told of a look at a cluster at rest. It records nothing under it.
const lookOperation = "look"

// DialAPIServer connects to the API server of one control plane through SSH, for whoever only wants to ask how the cluster is. hosts holds
// the control plane and its bastions. Nothing is placed on the host and no key is recorded: one that nobody knows is refused. Where sshd
// forbids forwarding, the connection leads through the helper that an operation left on the host, if it is one of helpers: sshd is asked
// first since that starts nothing on the host. The SSH connection ends with the one that is returned.
func DialAPIServer(ctx context.Context, hosts []HostAccess, name string, policy addresses.Policy, helpers []*bundle.File) (net.Conn, error) {
	return dialAPIServer(ctx, hosts, name, policy, helpers, "127.0.0.1")
}

// dialAPIServer is DialAPIServer to an address of the host's loopback.
func dialAPIServer(ctx context.Context, hosts []HostAccess, name string, policy addresses.Policy, helpers []*bundle.File, loopback string) (net.Conn, error) {
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
	request := hostapi.DialRequest{Service: hostapi.ServiceAPIServer, Address: loopback}
	to, err := request.Target(nil)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	client, err := ssh.Dial(ctx, t)
	if err != nil {
		return nil, err
	}
	conn, err := client.DialContext(ctx, "tcp", to)
	if ssh.IsProhibited(err) {
		var otherwise error
		if conn, otherwise = throughHelper(ctx, client, t.Sudo.Mode != ssh.SudoNone, helpers, request); otherwise != nil {
			err = fmt.Errorf("%w; and through the helper: host %s: %w", err, name, otherwise)
		} else {
			err = nil
		}
	}
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return &overSSH{Conn: conn, client: client}, nil
}

// throughHelper connects through the first of helpers that is on the host.
func throughHelper(ctx context.Context, client *ssh.Client, sudo bool, helpers []*bundle.File, request hostapi.DialRequest) (net.Conn, error) {
	for _, file := range helpers {
		process, err := client.RunHelper(ctx, ssh.Command{Path: helperPath(file), Args: []string{"serve"}, Sudo: sudo})
		if notThere(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		helper, err := hostclient.Connect(ctx, pipe{process}, hostclient.Options{Operation: lookOperation})
		if err != nil {
			return nil, fmt.Errorf("start the helper: %w (it said: %q)", err, process.Stderr())
		}
		if got := helper.HelperDigest(); got != file.Digest.String() {
			_ = helper.Close()
			return nil, fmt.Errorf("%s has digest %s instead of %s: the next operation places it again", helperPath(file), got, file.Digest)
		}
		conn, err := helper.Dial(ctx, request)
		if err != nil {
			_ = helper.Close()
			return nil, err
		}
		return &overHelper{Conn: conn, helper: helper}, nil
	}
	return nil, errors.New("the host has none of the cluster's bundle; an operation places it")
}

// overHelper is a connection that takes the session with the helper with it.
type overHelper struct {
	net.Conn
	helper *hostclient.Client
}

// Close implements net.Conn.
func (c *overHelper) Close() error {
	_ = c.Conn.Close()
	return c.helper.Close()
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
