// Package fetch brings blobs to the host by digest: from sources it can reach directly, else through the tunnel. It
// trusts nothing but the digest. It must not know what a blob is for.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// connectTimeout is short because a source that cannot be reached must not hold up the tunnel behind it.
	connectTimeout = 1500 * time.Millisecond
	// DefaultStall ends a transfer from which nothing comes any more, where no request says how long that may be.
	DefaultStall = 3 * time.Minute
	// answerTimeout bounds how long a source may take to begin its answer, and how long a connection to it is kept for the next blob.
	answerTimeout = 30 * time.Second
	// progressInterval is how often a transfer tells how far it is.
	progressInterval = 250 * time.Millisecond
	bufferSize       = 1 << 20
)

// The ways bytes come.
const (
	ViaDirect = "direct"
	ViaTunnel = "tunnel"
)

// Fetcher gets blobs. It remembers, as long as the process lives, which sources cannot be reached.
type Fetcher struct {
	// Peer is the address the SSH connection came from, for sources without a host; "" when unknown.
	Peer   string
	direct *http.Client
	tunnel *http.Client

	mu   sync.Mutex
	dead map[string]error
}

// Way says how a blob may come.
type Way struct {
	// Sources are tried in order before the tunnel.
	Sources []api.Source
	// Stall ends a transfer from which nothing came for so long; DefaultStall when zero. There is no limit on the whole.
	Stall time.Duration
}

func (w Way) stall() time.Duration {
	if w.Stall > 0 {
		return w.Stall
	}
	return DefaultStall
}

// New returns a Fetcher whose tunnel opens a connection to the controller's blob store by dial (nil: no tunnel).
func New(peer string, dial func(context.Context) (net.Conn, error)) *Fetcher {
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	f := &Fetcher{Peer: peer, dead: map[string]error{}}
	f.direct = &http.Client{CheckRedirect: noRedirect, Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		ResponseHeaderTimeout: answerTimeout,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   8,
		ReadBufferSize:        64 << 10,
		IdleConnTimeout:       answerTimeout,
	}}
	if dial != nil {
		f.tunnel = &http.Client{CheckRedirect: noRedirect, Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			DisableCompression:  true,
			MaxIdleConnsPerHost: 8,
			ReadBufferSize:      64 << 10,
		}}
	}
	return f
}

// MismatchError says that a source sent other bytes than the digest names.
type MismatchError struct{ Digest, Got, From string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s sent bytes with digest %s instead of %s: the store or the way to it is damaged", e.From, e.Got, e.Digest)
}

// Blob writes the blob to path in one step once its digest is right. progress is told the bytes so far and the way; first, for each
// source, what was there already.
// Errors: *MismatchError when a source sent wrong bytes and no other sent right ones.
func (f *Fetcher) Blob(ctx context.Context, b *api.Blob, path string, way Way, progress func(done int64, via string)) (via string, err error) {
	h, err := api.DigestHex(b.Digest)
	if err != nil {
		return "", err
	}
	var errs []error
	try := func(client *http.Client, base, token, via string) bool {
		from := origin{client: client, url: base + api.PathBlobs + h, token: token, stall: way.stall()}
		err := from.get(ctx, b, path, func(n int64) { progress(n, via) })
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	for _, s := range way.Sources {
		base, err := f.base(s.URL)
		if err == nil {
			err = f.known(base)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if try(f.direct, base, s.Token, ViaDirect) {
			return ViaDirect, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		f.remember(base, errs[len(errs)-1])
	}
	if f.tunnel != nil {
		if try(f.tunnel, "http://controller", "", ViaTunnel) {
			return ViaTunnel, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("there is neither a source nor a tunnel"))
	}
	return "", fmt.Errorf("fetch blob %s: %w", b.Digest, errors.Join(errs...))
}

// base completes a source's URL and refuses what is not plain http(s) to a host.
func (f *Fetcher) base(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
		return "", fmt.Errorf("source %q is not http://address:port", raw)
	}
	if u.Hostname() == "" {
		if f.Peer == "" {
			return "", fmt.Errorf("source %q means the SSH peer, whose address is not known here", raw)
		}
		return u.Scheme + "://" + net.JoinHostPort(f.Peer, u.Port()), nil
	}
	return u.Scheme + "://" + u.Host, nil
}

func (f *Fetcher) known(base string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead[base]
}

// remember keeps a source from being tried again when it could not be reached or lied.
func (f *Fetcher) remember(base string, err error) {
	var op *net.OpError
	var wrong *MismatchError
	if (errors.As(err, &op) && op.Op == "dial") || errors.As(err, &wrong) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dead[base] = err
	}
}

// origin is one place to get one blob from.
type origin struct {
	client     *http.Client
	url, token string
	stall      time.Duration
}

// get brings the blob from one source. What came of it lies in a part beside path and stays there when the transfer is cut off, so that
// the next one, from whichever source, goes on where it stopped. A part that turns out wrong in the end says nothing about this source:
// it is thrown away and everything is fetched again, once.
func (o origin) get(ctx context.Context, b *api.Blob, path string, progress func(int64)) error {
	part, err := openPart(path, b.Size)
	if err != nil {
		return err
	}
	defer part.close()
	progress(part.size)
	for {
		resumed := part.size > 0
		if part.size < b.Size {
			if err := o.download(ctx, b, part, progress); err != nil {
				if sys.NoSpace(err) {
					// Whoever makes room should not have to look for it.
					return errors.Join(err, part.restart())
				}
				return err
			}
		}
		got := part.digest()
		if got == b.Digest {
			return part.become(path)
		}
		if err := part.restart(); err != nil {
			return err
		}
		if !resumed {
			return &MismatchError{Digest: b.Digest, Got: got, From: o.url}
		}
		progress(0)
	}
}

// download appends to the part what is missing of the blob.
func (o origin) download(ctx context.Context, b *api.Blob, part *part, progress func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(o.stall, func() { cancel(fmt.Errorf("%s sent nothing for %s", o.url, o.stall)) })
	defer idle.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url, nil)
	if err != nil {
		return err
	}
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	if part.size > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.size))
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return causeOr(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK && part.size > 0 {
		// A source that knows no ranges sends all of it.
		if err := part.restart(); err != nil {
			return err
		}
		progress(0)
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && part.size > 0:
		if got, want := resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", part.size, b.Size-1, b.Size); got != want {
			return fmt.Errorf("%s offers %q of the blob where %q was asked for", o.url, got, want)
		}
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answered %s", o.url, resp.Status)
	}
	if left := b.Size - part.size; resp.ContentLength >= 0 && resp.ContentLength != left {
		return fmt.Errorf("%s offers %d bytes where %d of the blob's %d are missing", o.url, resp.ContentLength, left, b.Size)
	}
	err = part.fill(resp.Body, b.Size, func(n int64) {
		idle.Reset(o.stall)
		progress(n)
	})
	if err != nil {
		return causeOr(ctx, fmt.Errorf("%s: %w", o.url, err))
	}
	return nil
}

// causeOr prefers the reason for which ctx ended over its consequence.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Throttle returns a progress function that passes on the first, the last and otherwise four a second.
func Throttle(total int64, now func() time.Time, f func(done int64, via string)) func(int64, string) {
	var last time.Time
	return func(done int64, via string) {
		if t := now(); done == total || t.Sub(last) >= progressInterval {
			last = t
			f(done, via)
		}
	}
}
