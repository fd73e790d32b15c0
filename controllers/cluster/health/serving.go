package health

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/kubewright/kubewright/pkg/host/inbound"
	"github.com/kubewright/kubewright/pkg/servingcert"
)

const (
	requestsPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	// maxRequests is how many certificate requests are looked at. Kubernetes collects those that nobody decides about after a day, so that there
	// are more only where a node floods its cluster.
	maxRequests = 2000
)

// serveKubelets decides about the serving certificates that kubelets of the cluster wait for, and says which of the newest ones were denied. A
// cluster of an earlier version lets nobody but administrators do so; its kubelets do not ask.
func (a *access) serveKubelets(ctx context.Context, target Target) (denied string) {
	if len(target.Nodes) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	newest, err := a.requests(ctx, target.Nodes)
	if isForbidden(err) {
		return ""
	}
	if err != nil {
		return "requests for serving certificates cannot be read: " + inWords(err, a.name, listTimeout).Error()
	}
	var said []string
	for _, node := range slices.Sorted(maps.Keys(newest)) {
		asked := newest[node]
		if asked.Pending {
			if err := a.settle(ctx, asked); err != nil {
				said = append(said, fmt.Sprintf("the serving certificate that the kubelet of %s asks for cannot be decided about: %v", node, inWords(err, a.name, listTimeout)))
				continue
			}
		}
		if asked.Why != nil {
			said = append(said, fmt.Sprintf("the kubelet of %s is denied a serving certificate: %v", node, asked.Why))
		}
	}
	if len(said) > maxNamed {
		said = append(said[:maxNamed], fmt.Sprintf("and %d more", len(said)-maxNamed))
	}
	return inbound.Head(strings.Join(said, "; "), maxWords)
}

// requests reads the newest request for a serving certificate of each node.
func (a *access) requests(ctx context.Context, nodes servingcert.Nodes) (servingcert.Newest, error) {
	newest := servingcert.Newest{}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}, "fieldSelector": {"spec.signerName=" + servingcert.Signer}}
	seen := 0
	for {
		before := seen
		next, err := pageOf(ctx, a, requestsPath, "the list of certificate requests", query, func(r *certificatesv1.CertificateSigningRequest) error {
			if seen++; seen > maxRequests {
				return errFlooded
			}
			newest.Add(nodes, r)
			return nil
		})
		switch {
		case errors.Is(err, errFlooded), err == nil && (next == "" || seen == before):
			return newest, nil
		case err != nil:
			return nil, err
		}
		query.Set("continue", next)
	}
}

// errFlooded ends the reading of requests. Those that were read are decided about all the same.
var errFlooded = errors.New("there are too many requests")

// settle writes the decision about a request.
func (a *access) settle(ctx context.Context, asked servingcert.Asked) error {
	text, err := json.Marshal(asked.Settle())
	if err != nil {
		return fmt.Errorf("render the decision about request %s: %w", asked.Name, err)
	}
	path := requestsPath + "/" + url.PathEscape(asked.Name) + "/approval"
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, a.server+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "kubewright-health")
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode != http.StatusOK {
		return refusal(path, response)
	}
	// The connection can be used again once the answer was read.
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxRefusal))
	return err
}
