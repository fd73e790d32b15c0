// Package client is the controller's side of the host helper: it opens a session over the standard streams of the ssh
// process, sends requests, and serves blobs back over the same connection. It must not know how a host does anything,
// nor what a resource means.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/net/netutil"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/inbound"
	"github.com/kubewright/kubewright/pkg/host/mux"
)

// Options are what a session is opened with.
type Options struct {
	// Operation names what the host's journal files this session under.
	Operation string
	// Holder names this program run in lease errors, for people: "job/demo-install-1".
	Holder string
	// Peers are the addresses of the cluster that Dial may lead to, beside the host itself; at most api.MaxPeers.
	Peers []string
	// Blobs is served to the helper over the tunnel: GET /blobs/sha256/<hex>. Without it only direct sources deliver.
	Blobs http.Handler
	// KeepAlive is the interval of keepalives; 0 means 10 s. The session counts as lost when one is not
	// answered within six times the interval.
	KeepAlive time.Duration
}

// Stats counts what a session did.
type Stats struct {
	// Requests sent, the opening one included.
	Requests int64
	// BlobBytesTunnel and BlobBytesDirect are the blob bytes the host received through the tunnel and from direct sources.
	BlobBytesTunnel, BlobBytesDirect int64
}

// Client is one session with the helper on one host. It may be used by several goroutines.
type Client struct {
	session *yamux.Session
	http    *http.Client
	blobs   *http.Server
	hello   api.HelloResponse

	token    atomic.Int64
	requests atomic.Int64
	tunnel   atomic.Int64
	direct   atomic.Int64

	mu         sync.Mutex
	firstFacts *api.Facts
	closeOnce  sync.Once
	done       chan struct{}
}

// Connect opens a session over rw, the standard streams of a helper that runs "serve". It closes rw when it fails and
// when the session ends. Errors: *api.ProtocolMismatchError, *LostError.
func Connect(ctx context.Context, rw io.ReadWriteCloser, opts Options) (*Client, error) {
	if err := api.ValidateOperation(opts.Operation); err != nil {
		_ = rw.Close()
		return nil, err
	}
	session, err := yamux.Client(rw, mux.ControllerConfig(opts.KeepAlive))
	if err != nil {
		_ = rw.Close()
		return nil, fmt.Errorf("open session with the host helper: %w", err)
	}
	c := &Client{session: session, done: make(chan struct{})}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return session.Open() },
		DisableCompression:     true,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: maxHeader,
	}}
	handler := opts.Blobs
	if handler == nil {
		handler = http.NotFoundHandler()
	}
	c.blobs = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		// Serve ends with the session; its error only says so.
		_ = c.blobs.Serve(netutil.LimitListener(session, maxStreams))
		_ = c.Close()
		close(c.done)
	}()
	req := api.HelloRequest{Protocol: api.ProtocolVersion, Operation: opts.Operation, Holder: opts.Holder, Peers: opts.Peers}
	if err := c.call(ctx, api.PathHello, req, factsLimits, &c.hello); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("greet the host helper: %w", err)
	}
	if c.hello.Protocol != api.ProtocolVersion {
		_ = c.Close()
		return nil, &api.ProtocolMismatchError{Controller: api.ProtocolVersion, Helper: c.hello.Protocol}
	}
	if f := c.hello.Facts; f != nil {
		setSkew(f, time.Now())
		c.firstFacts = f
	}
	return c, nil
}

// HelperDigest is the sha256 of the helper's own executable as it read it: "sha256:<hex>".
func (c *Client) HelperDigest() string { return c.hello.Digest }

// Facts tells what the host is. The first call answers with the facts that came with the opening of the session and
// costs no request, unless directories are named that are to be looked at as well; later calls ask again.
func (c *Client) Facts(ctx context.Context, directories ...string) (*api.Facts, error) {
	c.mu.Lock()
	f := c.firstFacts
	c.firstFacts = nil
	c.mu.Unlock()
	if f != nil && len(directories) == 0 {
		return f, nil
	}
	f = &api.Facts{}
	if err := c.call(ctx, api.PathFacts, &api.FactsRequest{Directories: directories}, factsLimits, f); err != nil {
		return nil, fmt.Errorf("gather facts: %w", err)
	}
	setSkew(f, time.Now())
	return f, nil
}

// setSkew compares clocks. The helper reads its clock last of all, so only the way back lies between the two.
func setSkew(f *api.Facts, arrived time.Time) { f.ClockSkew = time.Unix(0, f.UnixNanos).Sub(arrived) }

// Check asks how far the host is from having the resources; one verdict each, in order. It changes nothing, and nothing secret
// is sent for it, whatever the resources hold: see look.
func (c *Client) Check(ctx context.Context, req api.CheckRequest) ([]api.Verdict, error) {
	looks, err := c.look(req.Resources)
	if err != nil {
		return nil, err
	}
	var resp api.CheckResponse
	if err := c.call(ctx, api.PathCheck, api.CheckRequest{Step: req.Step, Resources: looks}, verdictsLimits(len(looks)), &resp); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	verdicts, err := each(resp.Verdicts, looks)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	hideDigests(looks, verdicts)
	return verdicts, nil
}

// Apply makes the resources so. progress (may be nil) is called from one goroutine. The verdicts are those after
// applying; on an error they are those reached before it. Errors: *api.ResourceError, *api.FencedError,
// *api.OwnedByOtherError, *api.InvalidError, *LostError.
func (c *Client) Apply(ctx context.Context, req api.ApplyRequest, progress func(api.Progress)) ([]api.Verdict, error) {
	result, verdicts, err := c.stream(ctx, api.PathApply, req, verdictsLimits(len(req.Resources)), progress)
	if err != nil {
		return verdicts, fmt.Errorf("apply: %w", err)
	}
	if verdicts, err = each(result.Verdicts, req.Resources); err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	return verdicts, nil
}

// AcquireLease takes the host's lease, waiting at most wait for another holder, and keeps its token for the requests
// that follow. Errors: *api.LeaseHeldError.
func (c *Client) AcquireLease(ctx context.Context, wait time.Duration) (int64, error) {
	var resp api.LeaseResponse
	if err := c.call(ctx, api.PathLeaseAcquire, api.LeaseRequest{WaitMillis: wait.Milliseconds()}, replyLimits, &resp); err != nil {
		return 0, fmt.Errorf("acquire the lease: %w", err)
	}
	c.token.Store(resp.Token)
	return resp.Token, nil
}

// ReleaseLease lets the lease go. The end of the session does so too.
func (c *Client) ReleaseLease(ctx context.Context) error {
	if err := c.call(ctx, api.PathLeaseRelease, struct{}{}, replyLimits, &struct{}{}); err != nil {
		return fmt.Errorf("release the lease: %w", err)
	}
	c.token.Store(0)
	return nil
}

// Logs fetches what the host recorded of an operation; tail bounds entries and lines (0: all that is kept).
func (c *Client) Logs(ctx context.Context, operation string, tail int) (*api.Logs, error) {
	var logs api.Logs
	if err := c.call(ctx, api.PathLogs, api.LogsRequest{Operation: operation, Tail: tail}, logsLimits, &logs); err != nil {
		return nil, fmt.Errorf("read the host's journal: %w", err)
	}
	return &logs, nil
}

// Operations lists the operations the host has a journal of, newest first.
func (c *Client) Operations(ctx context.Context) ([]api.OperationInfo, error) {
	var resp api.OperationsResponse
	if err := c.call(ctx, api.PathOperations, struct{}{}, operationsLimits, &resp); err != nil {
		return nil, fmt.Errorf("list the host's operations: %w", err)
	}
	return resp.Operations, nil
}

// Reset removes what the host's ledger says is ours. The report counts the items that failed; they are not an error of
// the call. Errors: *api.FencedError, *api.OwnedByOtherError, *LostError.
func (c *Client) Reset(ctx context.Context, req api.ResetRequest, progress func(api.Progress)) (*api.ResetReport, error) {
	result, _, err := c.stream(ctx, api.PathReset, req, resetLimits, progress)
	if err != nil {
		return nil, fmt.Errorf("reset: %w", err)
	}
	if result.Reset == nil {
		return nil, fmt.Errorf("reset: %w", &api.RemoteError{Message: "the answer has no report"})
	}
	return result.Reset, nil
}

// PublicFile reads a file without secrets from the host; only /etc/kubernetes/pki/ca.crt and its siblings *.crt are served.
func (c *Client) PublicFile(ctx context.Context, path string) ([]byte, error) {
	var resp api.PublicFileResponse
	if err := c.call(ctx, api.PathPublicFile, api.PublicFileRequest{Path: path}, fileLimits, &resp); err != nil {
		return nil, fmt.Errorf("read %s on the host: %w", path, err)
	}
	return resp.Content, nil
}

// Stats tells what the session did so far.
func (c *Client) Stats() Stats {
	return Stats{Requests: c.requests.Load(), BlobBytesTunnel: c.tunnel.Load(), BlobBytesDirect: c.direct.Load()}
}

// Close ends the session; detached commands on the host go on. It may be called more than once.
func (c *Client) Close() error {
	var err error
	c.closeOnce.Do(func() {
		err = c.session.Close()
		_ = c.blobs.Close()
		c.http.CloseIdleConnections()
	})
	return err
}

// Done is closed when the session has ended, by Close or by loss.
func (c *Client) Done() <-chan struct{} { return c.done }

// call sends one request and decodes one JSON answer within limits.
func (c *Client) call(ctx context.Context, path string, in any, limits inbound.Limits, out any) error {
	resp, err := c.send(ctx, path, in) //nolint:bodyclose // drain closes it
	if err != nil {
		return err
	}
	defer drain(resp.Body)
	if err := inbound.Decode(resp.Body, path, limits, out); err != nil {
		return c.lost(ctx, err)
	}
	return nil
}

// send sends one request and turns an error answer into its typed error.
func (c *Client) send(ctx context.Context, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://host"+path, newBody(body))
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	if t := c.token.Load(); t != 0 {
		req.Header.Set(api.TokenHeader, strconv.FormatInt(t, 10))
	}
	c.requests.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer drain(resp.Body)
	var reply api.ErrorReply
	if err := inbound.Decode(resp.Body, path, replyLimits, &reply); err != nil {
		return nil, &api.RemoteError{Message: fmt.Sprintf("answered HTTP %d to %s", resp.StatusCode, path)}
	}
	return nil, reply.Err()
}

// stream sends one request and reads its events up to the last, each within limits.
func (c *Client) stream(ctx context.Context, path string, in any, limits inbound.Limits, progress func(api.Progress)) (*api.Result, []api.Verdict, error) {
	resp, err := c.send(ctx, path, in) //nolint:bodyclose // drain closes it
	if err != nil {
		return nil, nil, err
	}
	defer drain(resp.Body)
	events := inbound.NewReader(&paced{ctx: ctx, from: resp.Body, began: time.Now()}, path, limits)
	dec := json.NewDecoder(events)
	for {
		var ev api.Event
		events.Next()
		if err := dec.Decode(&ev); err != nil {
			return nil, nil, c.lost(ctx, err)
		}
		inbound.Clean(&ev)
		switch {
		case ev.Progress != nil:
			if progress != nil {
				progress(*ev.Progress)
			}
		case ev.Error != nil:
			c.count(ev.Error.BytesDirect, ev.Error.BytesTunnel)
			return nil, ev.Error.Verdicts, ev.Error.Err()
		case ev.Result != nil:
			c.count(ev.Result.BytesDirect, ev.Result.BytesTunnel)
			return ev.Result, nil, nil
		}
	}
}

func (c *Client) count(direct, tunnel int64) {
	c.direct.Add(direct)
	c.tunnel.Add(tunnel)
}

// lost says that the answer did not arrive: because the caller gave up, because it was too large, or else because the connection broke.
func (c *Client) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if tooLarge, ok := errors.AsType[*inbound.TooLargeError](err); ok {
		return tooLarge
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &LostError{Err: err}
}
