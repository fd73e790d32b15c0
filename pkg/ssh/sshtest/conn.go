package sshtest

import (
	"net"
	"sync"
)

// conn is a connection that can be made to stall and to break at a given byte.
type conn struct {
	net.Conn
	faults      Faults
	handshaking bool // guarded by Server.mu

	mu             sync.Mutex
	received, sent int64
	stalled        chan struct{}
	stallOnce      sync.Once

	gone      chan struct{}
	closeOnce sync.Once
}

func newConn(raw net.Conn, f Faults) *conn {
	return &conn{Conn: raw, faults: f, stalled: make(chan struct{}), gone: make(chan struct{})}
}

func (c *conn) stall() { c.stallOnce.Do(func() { close(c.stalled) }) }

// wait blocks for ever once the connection is stalled, which is until it is closed.
func (c *conn) wait() {
	select {
	case <-c.stalled:
		<-c.gone
	default:
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.wait()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.received += int64(n)
	drop := c.faults.DropAfterReceived > 0 && c.received >= c.faults.DropAfterReceived
	stall := c.faults.StallAfterReceived > 0 && c.received >= c.faults.StallAfterReceived
	c.mu.Unlock()
	if drop {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	if stall {
		c.stall()
	}
	// What came in after a stall began is not delivered: to the client it must look as if nobody was there.
	c.wait()
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.wait()
	c.mu.Lock()
	left := c.faults.DropAfterSent - c.sent
	c.sent += int64(len(p))
	drop := c.faults.DropAfterSent > 0 && left <= int64(len(p))
	c.mu.Unlock()
	if drop {
		n, _ := c.Conn.Write(p[:max(left, 0)])
		_ = c.Close()
		return n, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		close(c.gone)
		err = c.Conn.Close()
	})
	return err
}
