package provision

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

const (
	// nodePage is how many nodes are asked for at a time: a node has some 10 to 50 KiB, and apiLimits hold for each page.
	nodePage = 100
	// maxNodes is how many nodes are looked at. Kubernetes supports 5,000 (kubernetes.io/docs/setup/best-practices/cluster-large).
	maxNodes = 10000
)

// apiLimits bound one answer of the API of a cluster, whose control planes may be in anybody's hands: the largest are a page of nodes, the pods
// of one node, and what kinds there are. A single object has at most 1.5 MiB (etcd's --max-request-bytes).
var apiLimits = inbound.Limits{Bytes: 16 << 20, Values: 384 << 10}

// bound has the answers to a client of this configuration bounded. They are asked for as JSON, which can be counted while it is read; other
// forms are refused.
func bound(config *rest.Config) {
	config.ContentConfig = rest.ContentConfig{ContentType: runtime.ContentTypeJSON, AcceptContentTypes: runtime.ContentTypeJSON}
	config.Wrap(func(base http.RoundTripper) http.RoundTripper {
		return &inbound.Transport{Base: base, Limits: apiLimits}
	})
}

// eachNode calls do with every node of the cluster. A node that is kept must be copied.
func (k *kube) eachNode(ctx context.Context, do func(*corev1.Node)) error {
	objects, err := k.objects()
	if err != nil {
		return err
	}
	seen, next := 0, ""
	for {
		var page corev1.NodeList
		if err := objects.List(ctx, &page, client.Limit(nodePage), client.Continue(next)); err != nil {
			return fmt.Errorf("list nodes: %w", err)
		}
		if seen += len(page.Items); seen > maxNodes {
			return fmt.Errorf("list nodes: the API server tells of more than %d, which no cluster has", maxNodes)
		}
		for i := range page.Items {
			do(&page.Items[i])
		}
		if next = page.Continue; next == "" {
			return nil
		}
		if len(page.Items) == 0 {
			return errors.New("list nodes: the API server goes on after a page that is empty")
		}
	}
}
