package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Client is one authenticated connection to a host. It may be used by several goroutines at once.
type Client struct {
	endpoint Endpoint
	user     string
	sudo     sudoSettings
	hostKey  string
	conn     *ssh.Client
	wire     *wire
	jump     *Client
	sessions atomic.Int64

	// afterClose releases what the connection stands on; it runs once.
	afterClose func()

	end  sync.Once
	done chan struct{}
	err  error
}

func newClient(s settings, w *wire, conn *ssh.Client, hostKey string, jump *Client, afterClose func()) *Client {
	c := &Client{
		endpoint: s.endpoint, user: s.user, sudo: s.sudo, hostKey: hostKey,
		conn: conn, wire: w, jump: jump, afterClose: afterClose,
		done: make(chan struct{}),
	}
	go func() { c.lose(&heard{conn.Wait()}) }()
	go c.keepAlive(s.keepAlive)
	return c
}

// Endpoint names the host.
func (c *Client) Endpoint() Endpoint { return c.endpoint }

// String names the host; it keeps everything else of a Client out of logs.
func (c *Client) String() string { return c.endpoint.String() }

// User is the account that is logged in.
func (c *Client) User() string { return c.user }

// HostKey is the verified key of the host as a "type base64" line, the form of HostKeyPolicy.Known.
func (c *Client) HostKey() string { return c.hostKey }

// RemoteAddr is where the host is; through a bastion it is not known and a placeholder.
func (c *Client) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// LocalAddr is our end of the connection; through a bastion it is not known and a placeholder.
func (c *Client) LocalAddr() net.Addr { return c.wire.LocalAddr() }

// Done is closed when the connection is gone, for whatever reason.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is nil while the connection stands, wraps net.ErrClosed after Close, and is a *ConnectionLostError otherwise.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Stats counts what went over this connection (not what its bastion's carried).
func (c *Client) Stats() Stats {
	return Stats{Connections: 1, Sessions: c.sessions.Load(), BytesSent: c.wire.sent.Load(), BytesReceived: c.wire.received.Load()}
}

// Close ends the connection and everything that runs over it. Programs on the host are not killed by that; they see the
// end of their standard input.
func (c *Client) Close() error {
	c.finish(fmt.Errorf("%s: %w", c.endpoint, net.ErrClosed))
	return nil
}

// lose marks the connection as gone because of cause.
func (c *Client) lose(cause error) {
	if c.jump != nil && c.jump.wire.broken.Load() {
		<-c.jump.done
		cause = fmt.Errorf("its bastion failed: %w", c.jump.Err())
	}
	c.finish(&ConnectionLostError{Endpoint: c.endpoint, Err: cause})
}

func (c *Client) finish(err error) {
	c.end.Do(func() {
		c.err = err
		close(c.done)
		if c.jump == nil {
			_ = c.wire.Close()
		} else {
			// Closing a tunnel sends a message over the bastion, which may be stuck; nobody should wait for that.
			go func() { _ = c.wire.Close() }()
		}
		c.afterClose()
	})
}

// keepAlive asks a silent host for a sign of life and gives the connection up after k.Misses intervals without one.
// Whatever arrives counts as one, so that an answer queued behind bulk data does not cost the connection.
func (c *Client) keepAlive(k KeepAlive) {
	tick := time.NewTicker(k.Interval)
	defer tick.Stop()
	answers := make(chan struct{}, 1)
	seen, missed, waiting := c.wire.received.Load(), 0, false
	for {
		select {
		case <-c.done:
			return
		case <-answers:
			waiting, missed = false, 0
		case <-tick.C:
			if now := c.wire.received.Load(); now != seen {
				seen, missed = now, 0
				continue
			}
			if !waiting {
				waiting = true
				go func() {
					c.probe()
					answers <- struct{}{}
				}()
				continue
			}
			if missed++; missed >= k.Misses {
				c.lose(fmt.Errorf("no sign of life for %s", time.Duration(missed+1)*k.Interval))
				return
			}
		}
	}
}

// probe asks the host for any answer and returns when there is one or the transport is gone. It has no timeout of its own.
func (c *Client) probe() {
	// A host that does not know the request answers too, with a refusal.
	_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
	if err != nil {
		c.lose(err)
	}
}

// DialContext opens a TCP connection from the host to addr ("host:port", names are resolved on the host). It has the
// signature that http.Transport wants. Connections have no deadlines; close them instead.
func (c *Client) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	what := "open a tunnel to " + addr
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, &TargetError{Endpoint: c.endpoint, Field: "network", Reason: "is not tcp"}
	}
	type result struct {
		conn net.Conn
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		conn, err := c.conn.DialContext(ctx, network, addr)
		opened <- result{conn, err}
	}()
	select {
	case r := <-opened:
		if r.err == nil {
			return r.conn, nil
		}
		r.err = &heard{r.err}
		var refused *ssh.OpenChannelError
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%s: %s: %w", c.endpoint, what, context.Cause(ctx))
		case errors.As(r.err, &refused):
			return nil, &SessionError{Endpoint: c.endpoint, What: what, Err: r.err}
		case c.gone():
			return nil, fmt.Errorf("%s: %w", what, c.Err())
		}
		return nil, fmt.Errorf("%s: %s: %w", c.endpoint, what, r.err)
	case <-c.done:
		go func() {
			if r := <-opened; r.conn != nil {
				_ = r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("%s: %w", what, c.Err())
	}
}

// gone says whether the connection is gone. It may have to ask the host: the end of a channel and the end of the
// transport look the same at first.
func (c *Client) gone() bool {
	if c.Err() != nil {
		return true
	}
	alive := make(chan struct{})
	go func() {
		c.probe()
		close(alive)
	}()
	select {
	case <-c.done:
		return true
	case <-alive:
		// A probe that failed has ended the connection.
		return c.Err() != nil
	}
}
