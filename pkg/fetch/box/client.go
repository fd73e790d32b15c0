package box

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

const (
	// handshakeTimeout bounds a TLS handshake.
	handshakeTimeout = 30 * time.Second
	// maxHeader bounds the header of a response.
	maxHeader = 64 << 10
	// maxRedirects is how many redirects are followed; mirrors use one or two.
	maxRedirects = 5
)

// newTransport makes the transport of one fetch. It shares nothing with any other: no proxy from an environment, no connections, no
// settings of TLS.
func (j *job) newTransport(origins ...*url.URL) (*http.Transport, error) {
	network := j.request.Network
	allowed := addresses{loopback: network.AllowLoopback}
	for _, origin := range origins {
		allowed.origins = append(allowed.origins, hostPort(origin))
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read this machine's certificate authorities: %w", err)
	}
	if network.CABundle != "" && !roots.AppendCertsFromPEM([]byte(network.CABundle)) {
		return nil, &fetch.Error{Kind: fetch.Invalid, Message: "the given certificate authorities hold no certificate: put PEM there"}
	}
	return &http.Transport{
		DialContext:            allowed.dialer(j.connect),
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxResponseHeaderBytes: maxHeader,
		// A body that was packed for transport would be unpacked here, and its end and size would say nothing of the file's.
		DisableCompression: true,
	}, nil
}

// hostPort is what a URL's host is dialled by.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// sameOrigin says whether two URLs lead to the same server by the same scheme.
func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && hostPort(a) == hostPort(b) }

// judgeRedirect says why a redirect is not followed. What addresses it may lead to is judged when they are connected to.
func judgeRedirect(from, to *url.URL, hops int) error {
	refuse := func(kind fetch.Kind, why string) error {
		return &fetch.Error{Kind: kind, Message: fmt.Sprintf("%s redirects to %s: %s", shown(from), shown(to), why)}
	}
	switch {
	case hops > maxRedirects:
		return refuse(fetch.Refused, fmt.Sprintf("that is more than %d redirects; name the file's real place in the source", maxRedirects))
	case to.Scheme != "https" && to.Scheme != "http":
		return refuse(fetch.NotAllowed, "that is no address on the web")
	case to.Scheme == "http" && from.Scheme != "http":
		return refuse(fetch.NotAllowed, "that gives up TLS")
	case to.User != nil:
		return refuse(fetch.NotAllowed, "it holds a user or password")
	case to.Hostname() == "":
		return refuse(fetch.Refused, "it names no host")
	}
	return nil
}

// shown is a URL without what may be secret in it.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// bare takes the URL out of an error of package http: it holds the query, which may hold a signature.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
