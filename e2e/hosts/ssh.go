package hosts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial logs in to a host over SSH as a user, with the fleet's key and the user's password if there is one, and accepts
// only the host's own ed25519 key. It is for looking at hosts from tests; the product has a client of its own.
func (f *Fleet) Dial(ctx context.Context, name, user string) (*ssh.Client, error) {
	host, err := f.Host(name)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(f.KeyPath)
	if err != nil {
		return nil, fmt.Errorf("read the client key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("read the client key %s: %w", f.KeyPath, err)
	}
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(host.HostKeys[0]))
	if err != nil {
		return nil, fmt.Errorf("read the host key of %s: %w", name, err)
	}
	config := &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   ssh.FixedHostKey(hostKey),
		HostKeyAlgorithms: []string{hostKey.Type()},
	}
	if password := f.Password(user); password != "" {
		config.Auth = append(config.Auth, ssh.Password(password))
	}
	var dialer net.Dialer
	address := netip.AddrPortFrom(host.Address, 22).String()
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dial host %s: %w", name, err)
	}
	// The handshake has no deadline of its own.
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	client, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in to host %s as %s: %w", name, user, err), conn.Close())
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return ssh.NewClient(client, channels, requests), nil
}
