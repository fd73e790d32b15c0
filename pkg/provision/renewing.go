package provision

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// renewing carries requests to API servers under the operation's identity. An API server judges the certificate of a connection with every
// request, so a renewed one needs connections of its own: those under the old certificate, which is good for a while yet, end with what is
// under way on them.
type renewing struct {
	identity *identity
	roots    *x509.CertPool
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	// once is set where every request is the only one over its connection.
	once bool

	mu        sync.Mutex
	cert      *tls.Certificate
	transport *http.Transport
}

// newRenewing returns a transport to API servers whose certificates the authority signed, by their PEM.
func newRenewing(identity *identity, authority []byte, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*renewing, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("the cluster authority's certificate is not PEM")
	}
	return &renewing{identity: identity, roots: roots, dial: dial}, nil
}

// RoundTrip implements http.RoundTripper.
func (r *renewing) RoundTrip(req *http.Request) (*http.Response, error) {
	transport, err := r.current()
	if err != nil {
		return nil, err
	}
	return transport.RoundTrip(req)
}

// CloseIdleConnections lets http.Client close what nobody uses.
func (r *renewing) CloseIdleConnections() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.transport != nil {
		r.transport.CloseIdleConnections()
	}
}

func (r *renewing) current() (*http.Transport, error) {
	cert, err := r.identity.current()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.transport != nil && r.cert == cert {
		return r.transport, nil
	}
	if r.transport != nil {
		r.transport.CloseIdleConnections()
	}
	r.cert = cert
	r.transport = utilnet.SetTransportDefaults(&http.Transport{
		TLSClientConfig:     &tls.Config{Certificates: []tls.Certificate{*cert}, RootCAs: r.roots, MinVersion: tls.VersionTLS12},
		DialContext:         r.dial,
		DisableKeepAlives:   r.once,
		TLSHandshakeTimeout: apiHandshakeTimeout,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     idleConnectionTimeout,
	})
	return r.transport, nil
}

// These are client-go's own (transport/cache.go); the last is net/http's.
const (
	apiHandshakeTimeout   = 10 * time.Second
	idleConnections       = 25
	idleConnectionTimeout = 90 * time.Second
)
