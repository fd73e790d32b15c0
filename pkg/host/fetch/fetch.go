// Package fetch brings blobs to the host by digest: from sources it can reach directly, else through the tunnel. It
// trusts nothing but the digest. It must not know what a blob is for.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// connectTimeout is short because a source that cannot be reached must not hold up the tunnel behind it.
	connectTimeout = 1500 * time.Millisecond
	// idleTimeout ends a transfer from which nothing comes any more.
	idleTimeout = 30 * time.Second
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

// New returns a Fetcher whose tunnel opens a connection to the controller's blob store by dial (nil: no tunnel).
func New(peer string, dial func(context.Context) (net.Conn, error)) *Fetcher {
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	f := &Fetcher{Peer: peer, dead: map[string]error{}}
	f.direct = &http.Client{CheckRedirect: noRedirect, Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		ResponseHeaderTimeout: idleTimeout,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   8,
		ReadBufferSize:        64 << 10,
		IdleConnTimeout:       idleTimeout,
	}}
	if dial != nil {
		f.tunnel = &http.Client{CheckRedirect: noRedirect, Transport: &http.Transport{
			DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			ResponseHeaderTimeout: 2 * idleTimeout,
			DisableCompression:    true,
			MaxIdleConnsPerHost:   8,
			ReadBufferSize:        64 << 10,
		}}
	}
	return f
}

// MismatchError says that a source sent other bytes than the digest names.
type MismatchError struct{ Digest, Got, From string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s sent bytes with digest %s instead of %s: the store or the way to it is damaged", e.From, e.Got, e.Digest)
}

// Blob writes the blob to path in one step once its digest is right. progress is told the bytes so far and the way.
// Errors: *MismatchError when a source sent wrong bytes and no other sent right ones.
func (f *Fetcher) Blob(ctx context.Context, b *api.Blob, path string, sources []api.Source, progress func(done int64, via string)) (via string, err error) {
	h, err := api.DigestHex(b.Digest)
	if err != nil {
		return "", err
	}
	var errs []error
	try := func(client *http.Client, base, token, via string) bool {
		err := f.get(ctx, client, base+api.PathBlobs+h, token, b, path, func(n int64) { progress(n, via) })
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	}
	for _, s := range sources {
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

func (f *Fetcher) get(ctx context.Context, client *http.Client, url, token string, b *api.Blob, path string, progress func(int64)) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	if resp.ContentLength >= 0 && resp.ContentLength != b.Size {
		return fmt.Errorf("%s offers %d bytes for a blob of %d", url, resp.ContentLength, b.Size)
	}
	tmp, err := sys.TempFile(path, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		_ = tmp.Close()
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	idle := time.AfterFunc(idleTimeout, func() { cancel(fmt.Errorf("%s sent nothing for %s", url, idleTimeout)) })
	defer idle.Stop()
	got, err := copyHashed(tmp, resp.Body, b.Size, func(n int64) {
		idle.Reset(idleTimeout)
		progress(n)
	})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("%s: %w", url, err)
	}
	if got != b.Digest {
		return &MismatchError{Digest: b.Digest, Got: got, From: url}
	}
	return os.Rename(tmp.Name(), path)
}

// copyHashed copies at most size bytes (one more is an error) and returns their digest.
func copyHashed(dst io.Writer, src io.Reader, size int64, alive func(int64)) (string, error) {
	hash := sha256.New()
	buf := make([]byte, bufferSize)
	var done int64
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if done += int64(n); done > size {
				return "", fmt.Errorf("more than the %d bytes of the blob came", size)
			}
			hash.Write(buf[:n])
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return "", werr
			}
			alive(done)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	if done != size {
		return "", fmt.Errorf("the transfer ended after %d of %d bytes: %w", done, size, io.ErrUnexpectedEOF)
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
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
