package inbound

import (
	"fmt"
	"io"
	"mime"
	"net/http"
)

// Transport bounds the answers of a server that speaks JSON over HTTP.
type Transport struct {
	// Base carries out requests.
	Base http.RoundTripper
	// Limits of one answer, after it was decompressed.
	Limits Limits
}

// TypeError says that an answer is of a media type that was not asked for, which nothing here could bound.
type TypeError struct {
	// What was asked for, Type what came.
	What, Type string
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("the answer to %s is %.100q and not JSON: what answers there is not what it should be", e.What, e.Type)
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.Base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	what := request.Method + " " + request.URL.Path
	if response.StatusCode == http.StatusSwitchingProtocols {
		_ = response.Body.Close() // only read from
		return nil, &TypeError{What: what, Type: "another protocol"}
	}
	// A client decodes by this header: other forms than JSON hold more in fewer bytes, and are not counted.
	if got := response.Header.Get("Content-Type"); got != "" {
		switch media, _, err := mime.ParseMediaType(got); {
		case err != nil, media != "application/json" && media != "text/plain":
			_ = response.Body.Close() // only read from
			return nil, &TypeError{What: what, Type: got}
		}
	}
	response.Body = &body{Reader: NewReader(response.Body, what, t.Limits), Closer: response.Body}
	return response, nil
}

// WrappedRoundTripper lets Kubernetes' client library find the transport it made (k8s.io/apimachinery, net.RoundTripperWrapper).
func (t *Transport) WrappedRoundTripper() http.RoundTripper { return t.Base }

// body is an answer that is bounded while it is read.
type body struct {
	io.Reader
	io.Closer
}
