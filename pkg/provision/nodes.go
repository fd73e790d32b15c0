package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// How old a list of nodes may be. Hosts that wait side by side share one list instead of asking each for itself; the fewer there are, the
// fresher it is, so that nobody waits for a node that has long been Ready.
const (
	nodeListAgePerNode = 10 * time.Millisecond
	mostNodeListAge    = 400 * time.Millisecond
)

type nodeList struct {
	at time.Time
	// count of the nodes that were listed; items are those of hosts that the operation knows.
	count int
	items map[string]corev1.Node
}

// old tells that the nodes have to be listed anew.
func (l nodeList) old(now time.Time) bool { return old(l.at, l.count, now) }

// old tells that what was listed of so many nodes has to be listed anew.
func old(at time.Time, nodes int, now time.Time) bool {
	return now.Sub(at) > min(time.Duration(nodes)*nodeListAgePerNode, mostNodeListAge)
}

func (k *kube) node(ctx context.Context, name string) (*corev1.Node, error) {
	k.listing.Lock()
	defer k.listing.Unlock()
	if k.nodes.old(time.Now()) {
		list := nodeList{items: map[string]corev1.Node{}}
		err := k.eachNode(ctx, func(n *corev1.Node) {
			list.count++
			if k.knows(n.Name) {
				list.items[n.Name] = *n
			}
		})
		if err != nil {
			return nil, err
		}
		list.at = time.Now()
		k.nodes = list
	}
	if n, ok := k.nodes.items[name]; ok {
		return &n, nil
	}
	return nil, nil
}

// knows reports whether a node is one of the operation's hosts.
func (k *kube) knows(name string) bool {
	return slices.ContainsFunc(k.cluster.Hosts, func(h desired.Host) bool { return h.Name == name }) ||
		slices.ContainsFunc(k.leaving, func(l leavingHost) bool { return l.Name == name })
}

// awaitNode is done when the node is there, Ready at its version, served by the kubelet that runs since then, and carries its pool's labels
// and taints.
func (k *kube) awaitNode(ctx context.Context, a plan.AwaitNode, host string, since time.Time) (engine.Verdict, error) {
	node, err := k.node(ctx, host)
	if err != nil {
		return unknown(err), nil
	}
	if node == nil {
		return unknown(fmt.Errorf("the node is not registered")), nil
	}
	if v := node.Status.NodeInfo.KubeletVersion; v != a.Version[host] {
		return unknown(fmt.Errorf("kubelet is %s, %s is wanted", v, a.Version[host])), nil
	}
	if _, why := reconciled(node, a.Labels[host], a.Taints[host]); len(why) > 0 {
		return engine.Verdict{State: engine.Needed, Why: why}, nil
	}
	if why := notReady(node); a.NeedReady && why != "" {
		return needed(why), nil
	}
	asks, note := k.asksToServe(ctx, host)
	if asks {
		return asksForCertificate(), nil
	}
	if err := k.kubeletServes(ctx, node, since); err != nil {
		return unknown(withNote(err, note)), nil
	}
	return engine.Verdict{State: engine.Done, Note: note}, nil
}

// applyNode sets labels and taints and has its kubelet given the serving certificate that it asks for; readiness comes by itself.
func (k *kube) applyNode(ctx context.Context, a plan.AwaitNode, host string) error {
	node, err := k.freshNode(ctx, host)
	if err != nil {
		return engine.Retryable(err)
	}
	if node == nil {
		return nil
	}
	change, why := reconciled(node, a.Labels[host], a.Taints[host])
	if len(why) > 0 {
		if err := k.patchNode(ctx, node, change); err != nil {
			return err
		}
	}
	return k.approveServing(ctx, host)
}

func notReady(node *corev1.Node) string {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return ""
			}
			return fmt.Sprintf("the node is not Ready: %s: %s", c.Reason, c.Message)
		}
	}
	return "the node has not reported whether it is Ready"
}

// forgetNodes makes the next question about a node go to the API server.
func (k *kube) forgetNodes() {
	k.listing.Lock()
	defer k.listing.Unlock()
	k.nodes = nodeList{}
}

// needed is the verdict on what still has to be done, with the reason that a plan shows.
func needed(why string) engine.Verdict {
	return engine.Verdict{State: engine.Needed, Why: []string{why}}
}

func unknown(err error) engine.Verdict {
	return engine.Verdict{State: engine.Unknown, Why: []string{err.Error()}}
}
