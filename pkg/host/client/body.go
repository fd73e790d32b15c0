package client

import (
	"bytes"
	"io"
)

// newBody hides the type of the reader from net/http, which would otherwise send the request again by itself after a
// broken connection. Whether to repeat is the caller's decision.
func newBody(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }

// drain lets the connection be used again.
func drain(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 1<<20))
	_ = body.Close()
}
