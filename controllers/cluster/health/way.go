package health

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Way leads to the API server of one control plane.
type Way struct {
	// Name is what people call it, for example "control plane cp-1 through SSH".
	Name string
	// Timeout for the answer to /readyz over it, with all that has to happen before.
	Timeout time.Duration
	// Dial connects.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Ways lists the ways to a cluster's API servers besides its endpoint, as operations go: groups in the order in which they are worth
// trying, those of one group at once.
type Ways interface {
	Ways(ctx context.Context, cluster client.ObjectKey) ([][]Way, error)
}

// apiServerName stands in the certificate of every API server, whatever its addresses (kubeadm, GetAPIServerAltNames).
const apiServerName = "kubernetes"

// over is the same access over another way.
func (a *access) over(w Way) *access {
	config := a.tls.Clone()
	config.ServerName = apiServerName
	return &access{
		server: "https://" + apiServerName, name: w.Name, tls: config,
		client: newClient(config, func(ctx context.Context, _, _ string) (net.Conn, error) { return w.Dial(ctx) }),
	}
}

// another finds an access over which an API server is ready, when the endpoint is not.
func (a *API) another(ctx context.Context, endpoint *access, cluster client.ObjectKey) (*access, error) {
	if a.Ways == nil {
		return nil, nil
	}
	groups, err := a.Ways.Ways(ctx, cluster)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, group := range groups {
		type answer struct {
			at  int
			err error
		}
		found := make([]*access, len(group))
		answers := make(chan answer, len(group))
		for i, w := range group {
			found[i] = endpoint.over(w)
			go func() { answers <- answer{i, found[i].ready(ctx, w.Timeout)} }()
		}
		said := make([]string, len(group))
		best := -1
		for range group {
			got := <-answers
			if got.err == nil && (best < 0 || got.at < best) {
				best = got.at
			}
			if got.err != nil {
				said[got.at] = got.err.Error()
			}
		}
		for i, one := range found {
			if i != best {
				one.client.CloseIdleConnections()
			}
		}
		if best >= 0 {
			return found[best], nil
		}
		problems = append(problems, said...)
	}
	return nil, errors.New(strings.Join(problems, "; "))
}

// newClient makes a client over one way.
func newClient(config *tls.Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{MaxResponseHeaderBytes: maxHeader, TLSClientConfig: config, DialContext: dial},
		// An API server sends nobody elsewhere; who does is none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
