package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// dialTimeout bounds the connection to a service of the cluster: it is on this host or in its network.
const dialTimeout = 5 * time.Second

// dial connects the caller with one service of the cluster. It is how the cluster's API and etcd are reached over the one SSH session,
// whatever sshd says about forwarding.
func (s *server) dial(w http.ResponseWriter, r *http.Request) {
	req := &api.DialRequest{}
	if err := decode(r, req); err != nil {
		refuse(w, err)
		return
	}
	s.mu.Lock()
	peers := s.peers
	s.mu.Unlock()
	target, err := req.Target(peers)
	if err != nil {
		refuse(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		refuse(w, err)
		return
	}
	defer func() { _ = far.Close() }()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, fmt.Errorf("take the connection over: %w", err))
		return
	}
	defer func() { _ = near.Close() }()
	if _, err := io.WriteString(near, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+api.DialProtocol+"\r\n\r\n"); err != nil {
		return
	}
	join(near, buffered, far)
}

// join carries bytes both ways until either side ends; both are closed then, by the caller at the latest. What the near side said early
// lies in its buffer.
func join(near net.Conn, buffered io.Reader, far net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// How a side ended is for the two ends to tell each other; here it only means that it is over.
		_, _ = io.Copy(far, buffered)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
	<-done
}
