package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// Dials reports whether the helper knows Dial, which those of earlier releases do not.
func (c *Client) Dials() bool { return c.hello.Dials }

// Dial opens a connection from the host to one service of the cluster, as part of this session: it needs nothing of sshd, and ends with
// the session. It does not count as a request. Errors: *api.InvalidError for what is not the cluster's, *api.RemoteError when the
// service does not answer, *LostError.
func (c *Client) Dial(ctx context.Context, req api.DialRequest) (net.Conn, error) {
	what := fmt.Sprintf("connect to %s at %s", req.Service, req.Address)
	stream, err := c.session.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, c.lost(ctx, err))
	}
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	answers, err := c.upgrade(ctx, stream, req)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = stream.Close()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return &connection{Conn: stream, r: answers}, nil
}

// upgrade asks over stream and returns what comes after the answer.
func (c *Client) upgrade(ctx context.Context, stream net.Conn, in api.DialRequest) (*bufio.Reader, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://host"+api.PathDial, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", api.DialProtocol)
	if err := req.Write(stream); err != nil {
		return nil, c.lost(ctx, err)
	}
	answer := &io.LimitedReader{R: stream, N: maxHeader + maxDialReply}
	r := bufio.NewReader(answer)
	resp, err := http.ReadResponse(r, req) //nolint:bodyclose // the stream itself is what goes on, or is closed
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		answer.N = math.MaxInt64 // what follows is the connection, whose reader bounds it
		return r, nil
	}
	var reply api.ErrorReply
	if err := inbound.Decode(resp.Body, api.PathDial, replyLimits, &reply); err != nil {
		return nil, &api.RemoteError{Message: fmt.Sprintf("answered HTTP %d to %s", resp.StatusCode, api.PathDial)}
	}
	return nil, reply.Err()
}

// maxDialReply bounds the reason why a connection did not come about.
const maxDialReply = 64 << 10

// connection is a stream of the session together with what was read of it ahead.
type connection struct {
	net.Conn
	r *bufio.Reader
}

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) { return c.r.Read(p) }
