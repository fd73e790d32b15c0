package health

import (
	"context"
	"encoding/json"
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
)

const (
	// answerTimeout is how long an API server may take to say that it is ready.
	answerTimeout = 5 * time.Second
	// listTimeout is how long it may take to list all its nodes.
	listTimeout = 10 * time.Second
	// pageSize is how many nodes are asked for at a time; a node has some 10 to 50 KiB.
	pageSize = 100
	// maxPage bounds a page in bytes, should something else than an API server answer.
	maxPage = 32 << 20
	// maxNamed is how many nodes that are not ready are named.
	maxNamed = 5
)

// API checks clusters through their API servers, with the kubeconfig in their Secret.
type API struct {
	// Secrets reads the kubeconfigs, from the API server: no cache should hold them.
	Secrets client.Reader
	// Timeout for the answer to /readyz; 5 s when zero.
	Timeout time.Duration
}

// Check implements Checker: it asks /readyz, and if that is well lists the nodes. Each check has a connection of its own, so that it
// finds out what somebody would who comes anew.
func (a *API) Check(ctx context.Context, target Target) (Nodes, error) {
	access, err := a.access(ctx, target.Key)
	if err != nil {
		return Nodes{}, err
	}
	defer access.client.CloseIdleConnections()
	timeout := a.Timeout
	if timeout == 0 {
		timeout = answerTimeout
	}
	if err := access.ready(ctx, timeout); err != nil {
		return Nodes{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	nodes, err := access.nodes(ctx, target)
	if err != nil {
		return Nodes{}, fmt.Errorf("its nodes cannot be listed: %w", inWords(err, access.server, listTimeout))
	}
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
		return inWords(err, a.server, timeout)
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

// nodePage is the part of a list of nodes that is looked at.
type nodePage struct {
	Metadata metav1.ListMeta `json:"metadata"`
	Items    []node          `json:"items"`
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
	switch {
	case !ready:
		return n.Metadata.Name + " is not ready"
	case version != "" && n.Status.NodeInfo.KubeletVersion != version:
		return n.Metadata.Name + " runs " + n.Status.NodeInfo.KubeletVersion
	case n.Spec.Unschedulable && n.Metadata.Annotations[v1alpha1.CordonedByAnnotation] != "":
		return n.Metadata.Name + " takes no pods since " + n.Metadata.Annotations[v1alpha1.CordonedByAnnotation] + " cordoned it"
	}
	return ""
}

// nodes counts the nodes, page by page.
func (a *access) nodes(ctx context.Context, target Target) (Nodes, error) {
	var found Nodes
	var wrong []string
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for {
		page, err := a.page(ctx, query)
		if err != nil {
			return Nodes{}, err
		}
		for i := range page.Items {
			found.Joined++
			if why := page.Items[i].wrong(target.wanted(page.Items[i].Metadata.Name)); why != "" {
				wrong = append(wrong, why)
			} else {
				found.Ready++
			}
		}
		if page.Metadata.Continue == "" {
			break
		}
		query.Set("continue", page.Metadata.Continue)
	}
	slices.Sort(wrong)
	if more := len(wrong) - maxNamed; more > 0 {
		wrong = append(wrong[:maxNamed], fmt.Sprintf("and %d more", more))
	}
	found.Wrong = strings.Join(wrong, ", ")
	return found, nil
}

func (a *access) page(ctx context.Context, query url.Values) (*nodePage, error) {
	body, err := a.get(ctx, "/api/v1/nodes", query)
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // read only
	page := &nodePage{}
	if err := json.NewDecoder(io.LimitReader(body, maxPage)).Decode(page); err != nil {
		return nil, fmt.Errorf("read the list of nodes: %w", err)
	}
	return page, nil
}
