package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Limits on clients that connect and then do nothing.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Server serves a Handler on one listener.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen binds a TCP address such as "10.0.0.1:5000" or "127.0.0.1:0"; Addr tells the port that was chosen. Nothing is answered
// before Serve.
func Listen(address string, h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve bundle content: %w", err)
	}
	return NewServer(l, h), nil
}

// NewServer serves on a listener made elsewhere, for example at the far end of a tunnel.
func NewServer(l net.Listener, h http.Handler) *Server {
	return &Server{listener: l, http: &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}}
}

// Addr is the address the server is bound to.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until Shutdown, and returns nil then. Call it once.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve bundle content on %s: %w", s.Addr(), err)
	}
	return nil
}

// Shutdown takes no new requests and waits for those in progress until ctx ends; then it cuts them off and returns the context's
// error. A server that was never served is closed too.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	// net/http knows the listener only once it serves.
	if cerr := s.listener.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}
