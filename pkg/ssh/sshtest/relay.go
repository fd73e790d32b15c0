package sshtest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// RelayConfig is what a way to a server is like.
type RelayConfig struct {
	// Rate is how many bytes a second go to the server; 0 means as many as come.
	Rate int64
	// CutAfter is after how many bytes to the server a connection breaks; 0 means never.
	CutAfter int64
}

// Relay is a slow or unreliable way to a server: a TCP proxy on loopback.
type Relay struct {
	config   RelayConfig
	to       string
	listener net.Listener

	mu          sync.Mutex
	connections int
	carried     int64
	open        map[net.Conn]struct{}
}

// StartRelay runs a Relay to an address until the test ends.
func StartRelay(t testing.TB, to string, config RelayConfig) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	r := &Relay{config: config, to: to, listener: l, open: map[net.Conn]struct{}{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.carry(near) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.mu.Lock()
		for c := range r.open {
			_ = c.Close()
		}
		r.mu.Unlock()
		wg.Wait()
	})
	return r
}

// Host is the address it listens on.
func (r *Relay) Host() string { return r.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is the port it listens on.
func (r *Relay) Port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// Connections is how many connections were made so far.
func (r *Relay) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections
}

// Carried is how many bytes went to the server so far.
func (r *Relay) Carried() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.carried
}

func (r *Relay) carry(near net.Conn) {
	far, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = near.Close()
		return
	}
	r.mu.Lock()
	r.connections++
	r.open[near], r.open[far] = struct{}{}, struct{}{}
	r.mu.Unlock()
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}()
	r.forward(far, near)
	_ = far.Close()
	_ = near.Close()
	<-back
	r.mu.Lock()
	delete(r.open, near)
	delete(r.open, far)
	r.mu.Unlock()
}

// forward carries bytes to the server at the rate, up to the cut.
func (r *Relay) forward(far io.Writer, near io.Reader) {
	buf := make([]byte, 16<<10)
	began, done := time.Now(), int64(0)
	for {
		want := int64(len(buf))
		if r.config.CutAfter > 0 {
			if want = min(want, r.config.CutAfter-done); want == 0 {
				return
			}
		}
		n, err := near.Read(buf[:want])
		if n > 0 {
			done += int64(n)
			if r.config.Rate > 0 {
				<-time.After(time.Until(began.Add(time.Duration(done) * time.Second / time.Duration(r.config.Rate))))
			}
			r.mu.Lock()
			r.carried += int64(n)
			r.mu.Unlock()
			if _, werr := far.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
