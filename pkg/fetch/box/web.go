package box

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/kubewright/kubewright/pkg/fetch"
)

const (
	// worthwhile is how many bytes an attempt must bring for the next to follow at once.
	worthwhile = 1 << 20
	// maxFruitless is how many attempts in a row may bring less.
	maxFruitless = 3
	// copyBuffer is how many bytes are read and written at a time.
	copyBuffer = 256 << 10
)

// remote is a file on a server that speaks HTTP.
type remote struct {
	url *url.URL
	// trusted sends to the server that the source names, with credentials; stranger to servers that redirects name, without.
	trusted, stranger http.RoundTripper
	// stay refuses redirects: requests that are signed for one server mean nothing to another.
	stay bool
	// accept are the media types to ask for; empty leaves that to the server.
	accept string
}

// web gets https:// and, where allowed, http:// sources.
func (j *job) web(ctx context.Context, source *url.URL) error {
	transport, err := j.newTransport(source)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	trusted, err := withCredentials(transport, j.request.Credentials, source)
	if err != nil {
		return err
	}
	return j.download(ctx, remote{url: source, trusted: trusted, stranger: transport})
}

// download grows the part to the whole file. Attempts follow each other at once while they bring something; a server that brings
// nothing is left to the caller's patience.
func (j *job) download(ctx context.Context, from remote) error {
	j.resumed = j.part.size
	for fruitless := 0; ; {
		before := j.part.received
		err := j.attempt(ctx, from)
		if err == nil || ctx.Err() != nil || fetch.KindOf(err) != fetch.Unreachable {
			return err
		}
		if fruitless++; j.part.received-before >= worthwhile {
			fruitless = 0
		}
		if fruitless >= maxFruitless {
			return err
		}
	}
}

// attempt asks for what is missing, and for the whole when that cannot be had.
func (j *job) attempt(ctx context.Context, from remote) error {
	if total := j.part.mark.Total; total > 0 && j.part.size == total {
		return nil
	}
	for _, have := range []int64{j.part.size, 0} {
		if j.part.mark.Validator == "" {
			have = 0
		}
		again, err := j.ask(ctx, from, have)
		if !again || err != nil {
			return err
		}
	}
	return &fetch.Error{Kind: fetch.Refused, Message: fmt.Sprintf("%s: the server answers a request for the whole file with a part of it", shown(from.url))}
}

// ask makes one request for what follows the first have bytes, and takes in the answer. It returns true when the whole has to be
// asked for.
func (j *job) ask(ctx context.Context, from remote, have int64) (again bool, err error) {
	ctx, alive, stop := j.watchIdle(ctx)
	defer stop()
	defer func() {
		if err != nil {
			err = idleOr(ctx, err)
		}
	}()
	header := http.Header{"Accept-Encoding": {"identity"}, "User-Agent": {"kubewright-fetch"}}
	if from.accept != "" {
		header.Set("Accept", from.accept)
	}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		header.Set("If-Range", j.part.mark.Validator)
	}
	resp, err := send(ctx, from, header)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	alive()
	framed := len(resp.TransferEncoding) > 0 || j.request.Expect.Size > 0 || j.request.Expect.SHA256 != ""
	a, err := judgeAnswer(resp, j.part.mark, have, framed)
	switch {
	case err != nil:
		return false, err
	case a.verdict == askAgain:
		return true, nil
	case a.verdict == complete:
		return false, nil
	case a.verdict == startOver:
		j.resumed = 0
		if err := j.part.begin(a.validator, a.total); err != nil {
			return false, err
		}
	}
	if err := j.room(a.total); err != nil {
		return false, err
	}
	return false, j.take(resp, alive)
}

// take appends a body to the part. Not one byte more is written than the file may have.
func (j *job) take(resp *http.Response, alive func()) error {
	j.tell()
	body := livelyReader{from: resp.Body, alive: alive}
	buffer := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buffer)
		if most := j.most(); j.part.size+int64(n) > most {
			return j.tooMuch(resp, most)
		}
		if _, writeErr := j.part.Write(buffer[:n]); writeErr != nil {
			return writeErr
		}
		j.tell()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &fetch.Error{Kind: fetch.Unreachable, Message: fmt.Sprintf("%s: the connection broke after %d bytes of the file: %v", shown(resp.Request.URL), j.part.size, bare(err))}
		}
	}
	if total := j.part.mark.Total; total > 0 && j.part.size < total {
		return &fetch.Error{Kind: fetch.Unreachable, Message: fmt.Sprintf("%s: the server ended after %d of %d bytes", shown(resp.Request.URL), j.part.size, total)}
	}
	// Without a total the end of the body was the end of the file; later attempts have nothing to add.
	j.part.mark.Total = j.part.size
	return nil
}

func (j *job) tooMuch(resp *http.Response, most int64) error {
	if most == j.request.Limits.MaxBytes {
		return &fetch.Error{Kind: fetch.TooLarge, Message: fmt.Sprintf("%s: the file has more than the %d bytes that are allowed", shown(resp.Request.URL), most)}
	}
	return &fetch.Error{Kind: fetch.Mismatch, Message: fmt.Sprintf("%s: the server sends more than the %d bytes that the file has: it is another file", shown(resp.Request.URL), most)}
}

// send makes a request and follows redirects. Credentials go to the server that the source names, as long as no other was in between.
func send(ctx context.Context, from remote, header http.Header) (*http.Response, error) {
	at, transport := from.url, from.trusted
	for hops := 1; ; hops++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return nil, &fetch.Error{Kind: fetch.Invalid, Message: fmt.Sprintf("ask for %s: %v", shown(at), bare(err))}
		}
		req.Header = header.Clone()
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return nil, unreachable(at, err)
		}
		// The transport may hand out an answer that raced with the end of the request: what a server writes when it was left.
		if err := ctx.Err(); err != nil {
			resp.Body.Close()
			return nil, unreachable(at, err)
		}
		next, err := redirect(resp, at, from.stay, hops)
		if next == nil && err == nil {
			resp.Request = req
			return resp, nil
		}
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if !sameOrigin(at, next) {
			transport = from.stranger
		}
		at = next
	}
}

// redirect returns where a response leads; nil when it is the answer itself.
func redirect(resp *http.Response, at *url.URL, stay bool, hops int) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil //nolint:nilnil // neither is the answer: there is nowhere to go on to, and nothing is wrong
	}
	next, err := at.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return nil, &fetch.Error{Kind: fetch.Refused, Message: fmt.Sprintf("%s redirects to what is no URL", shown(at))}
	}
	if stay {
		return nil, &fetch.Error{Kind: fetch.Refused, Message: fmt.Sprintf("%s redirects to %s: name that server, and its region, in the source's settings", shown(at), shown(next))}
	}
	return next, judgeRedirect(at, next, hops)
}

// unreachable says that no answer came, unless a rule of this package forbade to ask, or the server is not who it should be.
func unreachable(at *url.URL, err error) error {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &fetch.Error{Kind: fetch.Refused, Message: fmt.Sprintf("the certificate of %s is not trusted (%v): give the authority that signed it", at.Host, bare(err))}
	}
	return &fetch.Error{Kind: fetch.Unreachable, Message: fmt.Sprintf("ask for %s: %v", shown(at), bare(err))}
}
