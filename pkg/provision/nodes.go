package provision

import (
	"context"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
	corev1 "k8s.io/api/core/v1"
)

// How old a list of nodes may be. Hosts that wait side by side share one list instead of asking each for itself; the fewer there are, the
// fresher it is, so that nobody waits for a node that has long been Ready.
const (
	nodeListAgePerNode = 10 * time.Millisecond
	mostNodeListAge    = 400 * time.Millisecond
)

type nodeList struct {
	at    time.Time
	items map[string]corev1.Node
}

// old tells that the nodes have to be listed anew.
func (l nodeList) old(now time.Time) bool {
	return now.Sub(l.at) > min(time.Duration(len(l.items))*nodeListAgePerNode, mostNodeListAge)
}

func (k *kube) node(ctx context.Context, name string) (*corev1.Node, error) {
	objects, err := k.objects()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.nodes.old(time.Now()) {
		var list corev1.NodeList
		if err := objects.List(ctx, &list); err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		k.nodes = nodeList{at: time.Now(), items: map[string]corev1.Node{}}
		for _, n := range list.Items {
			k.nodes.items[n.Name] = n
		}
	}
	if n, ok := k.nodes.items[name]; ok {
		return &n, nil
	}
	return nil, nil
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
	if err := k.kubeletServes(ctx, node, since); err != nil {
		return unknown(err), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}

// applyNode sets labels and taints; readiness comes by itself.
func (k *kube) applyNode(ctx context.Context, a plan.AwaitNode, host string) error {
	node, err := k.freshNode(ctx, host)
	if err != nil {
		return engine.Retryable(err)
	}
	if node == nil {
		return nil
	}
	change, why := reconciled(node, a.Labels[host], a.Taints[host])
	if len(why) == 0 {
		return nil
	}
	return k.patchNode(ctx, node, change)
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
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nodes = nodeList{}
}

// needed is the verdict on what still has to be done, with the reason that a plan shows.
func needed(why string) engine.Verdict {
	return engine.Verdict{State: engine.Needed, Why: []string{why}}
}

func unknown(err error) engine.Verdict {
	return engine.Verdict{State: engine.Unknown, Why: []string{err.Error()}}
}
