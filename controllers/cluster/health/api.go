package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/host/inbound"
)

const (
	// answerTimeout is how long an API server may take to say that it is ready.
	answerTimeout = 5 * time.Second
	// listTimeout is how long it may take to list all its nodes.
	listTimeout = 10 * time.Second
	// pageSize is how many nodes are asked for at a time.
	pageSize = 100
	// maxNodes is how many nodes are counted. Kubernetes supports 5,000 (kubernetes.io/docs/setup/best-practices/cluster-large).
	maxNodes = 10000
	// maxNamed is how many nodes that are not ready are named.
	maxNamed = 5
	// maxName and maxVersion bound what is told of a node, in bytes: names of nodes have at most 253, versions some 20.
	maxName, maxVersion = 253, 64
	// maxHeader bounds the headers of an answer.
	maxHeader = 64 << 10
)

// objectLimits bound one object of a list, or what stands beside the objects. A node has some 10 to 50 KiB, and any object at most 1.5 MiB (etcd's
// --max-request-bytes). They are decoded one by one, so that a check holds one in memory at a time, however many there are.
var objectLimits = inbound.Limits{Bytes: 2 << 20, Values: 32 << 10}

// API checks clusters through their API servers, with the kubeconfig in their Secret.
type API struct {
	// Secrets reads the kubeconfigs, from the API server: no cache should hold them.
	Secrets client.Reader
	// Addresses that API servers may have.
	Addresses addresses.Policy
	// Ways lead to a cluster whose endpoint does not answer; nil for none.
	Ways Ways
	// Timeout for the answer to /readyz; 5 s when zero.
	Timeout time.Duration

	identities identities
}

// Check implements Checker, with an identity that may do no more than this where the cluster knows it: it asks /readyz, and if that is well lists
// the nodes and asks whether etcd takes writes. Each check has a connection of its own, so that it finds out what somebody would who comes new.
func (a *API) Check(ctx context.Context, target Target) (Nodes, error) {
	access, err := a.access(ctx, target.Key)
	if err != nil {
		return Nodes{}, err
	}
	defer func() { access.client.CloseIdleConnections() }()
	timeout := a.Timeout
	if timeout == 0 {
		timeout = answerTimeout
	}
	via := ""
	if err := access.ready(ctx, timeout); err != nil {
		other, otherErr := a.another(ctx, access, target.Key)
		switch {
		case otherErr != nil:
			return Nodes{}, fmt.Errorf("%w; nor does any control plane: %w", err, otherErr)
		case other == nil:
			return Nodes{}, err
		}
		defer other.client.CloseIdleConnections()
		access, via = other, fmt.Sprintf("%s answers; the endpoint does not from here: %v", other.name, err)
	}
	looking, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	nodes, err := access.nodes(looking, target)
	if isForbidden(err) && access.widen() {
		nodes, err = access.nodes(looking, target)
	}
	if err != nil {
		return Nodes{}, fmt.Errorf("its nodes cannot be listed: %w", inWords(err, access.name, listTimeout))
	}
	nodes.Via = via
	if err := access.writable(looking); isFull(err) {
		return Nodes{}, err
	} else if err != nil {
		return Nodes{}, fmt.Errorf("it cannot be asked whether it takes writes: %w", inWords(err, access.server, listTimeout))
	}
	nodes.Denied = access.serveKubelets(ctx, target)
	return nodes, nil
}

// ready asks whether the API server serves requests.
func (a *access) ready(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body, err := a.get(ctx, "/readyz", nil)
	if err == nil {
		err = body.Close()
	}
	if err != nil {
		return inWords(err, a.name, timeout)
	}
	return nil
}

// get returns the body of an answer with status 200.
func (a *access) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server+path, nil)
	if err != nil {
		return nil, err
	}
	request.URL.RawQuery = query.Encode()
	request.Header.Set("Accept", "application/json, */*;q=0.5")
	request.Header.Set("User-Agent", "kubewright-health")
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close() //nolint:errcheck // read only
		return nil, refusal(path, response)
	}
	return response.Body, nil
}

type node struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Unschedulable bool `json:"unschedulable"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   corev1.NodeConditionType `json:"type"`
			Status corev1.ConditionStatus   `json:"status"`
		} `json:"conditions"`
		NodeInfo struct {
			KubeletVersion string `json:"kubeletVersion"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

// wrong says why a node does not count as ready; empty when it does. One that a person cordoned does: that is wanted. One that an operation
// cordoned takes pods again before that has succeeded.
func (n *node) wrong(version string) string {
	ready := false
	for _, c := range n.Status.Conditions {
		ready = ready || c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	}
	name, by := inbound.Head(n.Metadata.Name, maxName), inbound.Head(n.Metadata.Annotations[v1alpha1.CordonedByAnnotation], maxName)
	switch {
	case !ready:
		return name + " is not ready"
	case version != "" && n.Status.NodeInfo.KubeletVersion != version:
		return name + " runs " + inbound.Head(n.Status.NodeInfo.KubeletVersion, maxVersion)
	case n.Spec.Unschedulable && by != "":
		return name + " takes no pods since " + by + " cordoned it"
	}
	return ""
}

// tally counts nodes and keeps the first few, by name, that are not ready.
type tally struct {
	Nodes
	wrong []string
	more  int
}

func (t *tally) add(n *node, version string) {
	t.Joined++
	why := n.wrong(version)
	if why == "" {
		t.Ready++
		return
	}
	at, _ := slices.BinarySearch(t.wrong, why)
	if t.wrong = slices.Insert(t.wrong, at, why); len(t.wrong) > maxNamed {
		t.wrong = t.wrong[:maxNamed]
		t.more++
	}
}

func (t *tally) sum() Nodes {
	if t.more > 0 {
		t.wrong = append(t.wrong, fmt.Sprintf("and %d more", t.more))
	}
	t.Wrong = strings.Join(t.wrong, ", ")
	return t.Nodes
}

// nodes counts the nodes, page by page.
func (a *access) nodes(ctx context.Context, target Target) (Nodes, error) {
	var found tally
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for {
		before := found.Joined
		next, err := a.page(ctx, query, func(n *node) error {
			if found.Joined == maxNodes {
				return fmt.Errorf("tells of more than %d nodes, which no cluster has", maxNodes)
			}
			found.add(n, target.wanted(n.Metadata.Name))
			return nil
		})
		switch {
		case err != nil:
			return Nodes{}, err
		case next == "":
			return found.sum(), nil
		case found.Joined == before:
			return Nodes{}, errors.New("goes on after a page that is empty")
		}
		query.Set("continue", next)
	}
}

// page reads one page of the list of nodes and returns where the next one begins; empty after the last.
func (a *access) page(ctx context.Context, query url.Values, each func(*node) error) (next string, err error) {
	return pageOf(ctx, a, "/api/v1/nodes", "the list of nodes", query, each)
}

// pageOf reads one page of a list, called what, one object after the other, and returns where the next one begins; empty after the last.
func pageOf[T any](ctx context.Context, a *access, path, what string, query url.Values, each func(*T) error) (next string, err error) {
	body, err := a.get(ctx, path, query)
	if err != nil {
		return "", err
	}
	defer body.Close() //nolint:errcheck // read only
	bounded := inbound.NewReader(body, what, objectLimits)
	list := json.NewDecoder(bounded)
	if err := opens(list, what, '{'); err != nil {
		return "", err
	}
	for list.More() {
		bounded.Next()
		member, err := list.Token()
		if err != nil {
			return "", fmt.Errorf("read %s: %w", what, err)
		}
		switch member {
		case "metadata":
			var metadata metav1.ListMeta
			if err := list.Decode(&metadata); err != nil {
				return "", fmt.Errorf("read %s: %w", what, err)
			}
			next = metadata.Continue
		case "items":
			if err := items(list, what, bounded, each); err != nil {
				return "", err
			}
		default:
			var other json.RawMessage
			if err := list.Decode(&other); err != nil {
				return "", fmt.Errorf("read %s: %w", what, err)
			}
		}
	}
	// More does not tell the end from a list that was cut off.
	if _, err := list.Token(); err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	return next, nil
}

// items hands over the objects of a list one after the other.
func items[T any](list *json.Decoder, what string, bounded *inbound.Reader, each func(*T) error) error {
	if err := opens(list, what, '['); err != nil {
		return err
	}
	for list.More() {
		bounded.Next()
		object := new(T)
		if err := list.Decode(object); err != nil {
			return fmt.Errorf("read %s: %w", what, err)
		}
		if err := each(object); err != nil {
			return err
		}
	}
	if _, err := list.Token(); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// opens expects the beginning of an object or a list.
func opens(list *json.Decoder, what string, with json.Delim) error {
	switch token, err := list.Token(); {
	case err != nil:
		return fmt.Errorf("read %s: %w", what, err)
	case token != with:
		return fmt.Errorf("read %s: it is none", what)
	}
	return nil
}
