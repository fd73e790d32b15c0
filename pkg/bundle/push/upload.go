package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// defaultChunk is how much of a blob is sent with one request, in bytes: what an interruption costs at most with a registry that keeps
// whole requests only, and large enough that the time between two does not count.
const defaultChunk = 64 << 20

// maxRestarts is how often an upload begins anew because the registry does not go on with it.
const maxRestarts = 2

// errGone says that a registry does not know an upload any more, or what it has of it cannot be gone on with.
var errGone = errors.New("the registry does not go on with the upload")

// upload is one blob on its way to a repository, in pieces (distribution specification, pushing a blob in chunks).
type upload struct {
	*pusher
	to      location
	blob    ocispec.Descriptor
	content io.ReaderAt
	session *session

	// at is where the next piece goes, done how much the registry has.
	at   *url.URL
	done int64
	// chunk is how much goes with one request.
	chunk int64
	// counted is how much of the blob counts as there for the progress.
	counted int64
}

// inChunks sends a blob in pieces and goes on where an earlier push was interrupted. It returns false, and has sent nothing that lasts,
// when the registry does not take pieces.
func (p *pusher) inChunks(ctx context.Context, name string, d ocispec.Descriptor, content io.ReaderAt) (taken bool, err error) {
	u := &upload{pusher: p, to: location{Registry: p.host, Repository: name, Digest: d.Digest}, blob: d, content: content, chunk: p.o.ChunkBytes}
	ctx = auth.AppendRepositoryScope(ctx, orasregistry.Reference{Registry: p.host, Repository: name}, auth.ActionPull, auth.ActionPush)
	var known *url.URL
	if u.session, known, err = p.sessions.open(u.to); err != nil {
		return true, err
	}
	defer func() { err = errors.Join(err, u.session.close()) }()
	if known != nil {
		err := u.resume(ctx, known)
		if err != nil && !errors.Is(err, errGone) {
			return true, err
		}
		if err == nil && u.done > 0 {
			p.note(func(r *Report) { r.ResumedBytes += u.done })
		}
	}
	for restarts := 0; ; restarts++ {
		if u.at == nil {
			if err := u.begin(ctx); err != nil {
				return true, err
			}
		}
		fresh := u.done == 0
		err = u.rest(ctx)
		switch {
		case err == nil:
			return true, u.session.forget()
		case fresh && u.done == 0 && refusesPieces(err):
			return false, errors.Join(u.cancel(ctx), u.session.forget())
		case !errors.Is(err, errGone) || restarts == maxRestarts:
			return true, err
		}
		u.at, u.done = nil, 0
	}
}

// begin opens an upload.
func (u *upload) begin(ctx context.Context) error {
	start := &url.URL{Scheme: u.scheme(), Host: orasregistry.Reference{Registry: u.host}.Host(), Path: "/v2/" + u.to.Repository + "/blobs/uploads/"}
	u.at = start
	got, err := u.do(ctx, http.MethodPost, start, nil, nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	if least, err := strconv.ParseInt(got.header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil {
		u.chunk = max(u.chunk, least)
	}
	u.done = 0
	return u.take(got)
}

func (u *upload) scheme() string {
	if u.o.PlainHTTP {
		return "http"
	}
	return "https"
}

// resume asks how much the registry has of an upload. The error is errGone when it does not know it any more.
func (u *upload) resume(ctx context.Context, at *url.URL) error {
	if err := u.sameRegistry(at); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	got, err := u.do(ctx, http.MethodGet, at, nil, nil, http.StatusNoContent)
	if response, ok := errors.AsType[*errcode.ErrorResponse](err); ok && response.StatusCode < http.StatusInternalServerError &&
		response.StatusCode != http.StatusUnauthorized && response.StatusCode != http.StatusForbidden {
		u.at = nil
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return err
	}
	if u.done, err = got.has(u.blob.Size); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if got.location == nil {
		got.location = at // the specification does not demand it here
	}
	u.count(u.done)
	return u.take(got)
}

// rest sends what the registry has not, and ends the upload.
func (u *upload) rest(ctx context.Context) error {
	for asked := 0; u.done < u.blob.Size; {
		n := min(u.chunk, u.blob.Size-u.done)
		header := http.Header{"Content-Type": {"application/octet-stream"}, "Content-Range": {fmt.Sprintf("%d-%d", u.done, u.done+n-1)}}
		got, err := u.do(ctx, http.MethodPatch, u.at, header, io.NewSectionReader(u.content, u.done, n), http.StatusAccepted)
		if response, ok := errors.AsType[*errcode.ErrorResponse](err); ok && response.StatusCode == http.StatusRequestedRangeNotSatisfiable && asked < maxRestarts {
			// What an interrupted request brought may have arrived after it was asked about.
			asked++
			if err := u.resume(ctx, u.at); err != nil {
				return err
			}
			continue
		}
		if response, ok := errors.AsType[*errcode.ErrorResponse](err); ok && response.StatusCode == http.StatusNotFound {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		if err != nil {
			return err
		}
		has, err := got.has(u.blob.Size)
		if err != nil || has != u.done+n {
			return errors.Join(fmt.Errorf("%w: it has %d bytes where %d were sent", errGone, has, u.done+n), err)
		}
		u.done = has
		if err := u.take(got); err != nil {
			return err
		}
	}
	end := *u.at
	query := end.Query()
	query.Set("digest", u.blob.Digest.String())
	end.RawQuery = query.Encode()
	_, err := u.do(ctx, http.MethodPut, &end, http.Header{"Content-Type": {"application/octet-stream"}}, nil, http.StatusCreated)
	if response, ok := errors.AsType[*errcode.ErrorResponse](err); ok && response.StatusCode < http.StatusInternalServerError &&
		response.StatusCode != http.StatusUnauthorized && response.StatusCode != http.StatusForbidden {
		// What the registry has is not the blob: it was spoiled there, or by another who uploads.
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// cancel tells the registry that nothing more comes. Registries clean up by themselves too.
func (u *upload) cancel(ctx context.Context) error {
	_, err := u.do(ctx, http.MethodDelete, u.at, nil, nil, http.StatusNoContent)
	if _, answered := errors.AsType[*errcode.ErrorResponse](err); answered {
		return nil
	}
	return err
}

// take takes over where the upload goes on.
func (u *upload) take(got answer) error {
	if got.location == nil {
		return errors.New("the registry does not say where the upload goes on")
	}
	if err := u.sameRegistry(got.location); err != nil {
		return err
	}
	u.at = got.location
	return u.session.keep(u.to, u.at)
}

// answer is what a registry said to a request.
type answer struct {
	header http.Header
	// location is where it sends us; nil when nowhere.
	location *url.URL
}

// sameRegistry refuses to go on somewhere else: credentials and content are for this registry.
func (u *upload) sameRegistry(at *url.URL) error {
	scheme := u.scheme()
	port := func(port string) string {
		if port == "" {
			return map[string]string{"https": "443", "http": "80"}[scheme]
		}
		return port
	}
	want := &url.URL{Host: orasregistry.Reference{Registry: u.host}.Host()}
	if at.Scheme != scheme || at.Hostname() != want.Hostname() || port(at.Port()) != port(want.Port()) {
		return fmt.Errorf("the registry wants the upload to go on at %s://%s, which is not the registry", at.Scheme, at.Host)
	}
	return nil
}

// do carries out one request. Content is counted as it is sent; when a request is made anew for a token that ran out, what was sent before
// counts again.
func (u *upload) do(ctx context.Context, method string, at *url.URL, header http.Header, content *io.SectionReader, want int) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if content != nil {
		req.ContentLength = content.Size()
		first, size := u.done, content.Size()
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(u.counting(io.NewSectionReader(u.content, first, size), first)), nil
		}
		if req.Body, err = req.GetBody(); err != nil {
			return answer{}, err
		}
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return answer{}, err
	}
	if resp.StatusCode != want {
		plain := *at
		plain.RawQuery = "" // it is the registry's own business
		return answer{}, &errcode.ErrorResponse{Method: method, URL: &plain, StatusCode: resp.StatusCode}
	}
	got := answer{header: resp.Header}
	if location, err := resp.Location(); err == nil {
		got.location = location
	}
	return got, nil
}

// maxAnswer is how much of an answer's body is read, in bytes, so that the connection can be used again.
const maxAnswer = 64 << 10

// counting counts what is read of content that begins at an offset of the blob.
func (u *upload) counting(content io.Reader, at int64) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		n, err := content.Read(b)
		u.sent.Add(int64(n))
		at += int64(n)
		u.count(at)
		return n, err
	})
}

// count takes into the progress that so much of the blob is there, each byte once.
func (u *upload) count(to int64) {
	if more := to - u.counted; more > 0 {
		u.counted = to
		u.advance(more)
	}
}

// has reads how much a registry has of an upload out of its Range, "0-LAST".
func (a answer) has(size int64) (int64, error) {
	text := a.header.Get("Range")
	if text == "" {
		return 0, nil
	}
	first, last, ok := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	if !ok || first != "0" || err != nil || n < 0 || n >= size {
		return 0, fmt.Errorf("the registry says it has the bytes %.40q of %d", text, size)
	}
	if n == 0 {
		return 0, nil // some say so of nothing; one byte is not worth knowing
	}
	return n + 1, nil
}

// refusesPieces says whether an error is the answer of a registry that wants blobs whole.
func refusesPieces(err error) bool {
	response, ok := errors.AsType[*errcode.ErrorResponse](err)
	if !ok {
		return errors.Is(err, errGone)
	}
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false
	}
	return response.StatusCode < http.StatusInternalServerError || response.StatusCode == http.StatusNotImplemented
}
