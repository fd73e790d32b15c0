package provision

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/registry"
)

// contentServer hands the bundle's blobs to hosts while an operation lasts: through their SSH connections always, and by plain HTTP
// where hosts can reach this machine, which spares both sides the cipher. Plain is enough: a host trusts digests, not whom it asks.
// The token keeps strangers from using the bandwidth.
type contentServer struct {
	// handler serves the tunnels.
	handler http.Handler
	direct  *registry.Handler
	token   string
	servers []*registry.Server
}

func newContentServer(b *bundle.Bundle) (*contentServer, error) {
	source := registry.FromBundle(b)
	tunnel, err := registry.New(registry.Options{}, source)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make a token for serving content: %w", err)
	}
	token := hex.EncodeToString(secret)
	direct, err := registry.New(registry.Options{Token: token}, source)
	if err != nil {
		return nil, err
	}
	return &contentServer{handler: tunnel, direct: direct, token: token}, nil
}

// listen opens one port on each address that an SSH connection comes from; other networks of this machine see nothing.
func (c *contentServer) listen(addresses []string, tunnelOnly bool) error {
	if tunnelOnly {
		return nil
	}
	for _, address := range addresses {
		server, err := registry.Listen(net.JoinHostPort(address, "0"), c.direct)
		if err != nil {
			return err
		}
		c.servers = append(c.servers, server)
		go func() {
			// Hosts that cannot read here take the tunnel; nothing is lost but time.
			_ = server.Serve()
		}()
	}
	return nil
}

// sources lists where hosts may ask.
func (c *contentServer) sources() []hostapi.Source {
	var list []hostapi.Source
	for _, s := range c.servers {
		if addr, ok := s.Addr().(*net.TCPAddr); ok {
			list = append(list, hostapi.Source{URL: "http://" + net.JoinHostPort(addr.IP.String(), strconv.Itoa(addr.Port)), Token: c.token})
		}
	}
	return list
}

// close stops serving. The operation has ended by then, so nobody reads any more, and how the server ends matters to nobody.
func (c *contentServer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range c.servers {
		_ = s.Shutdown(ctx)
	}
}
