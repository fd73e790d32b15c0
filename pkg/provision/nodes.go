package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// nodeListAge is how old a list of nodes may be. Hosts that wait side by side share one list instead of asking each for itself.
const nodeListAge = 400 * time.Millisecond

type nodeList struct {
	at    time.Time
	items map[string]corev1.Node
}

func (k *kube) node(ctx context.Context, name string) (*corev1.Node, error) {
	objects, err := k.objects()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.nodes.at) > nodeListAge {
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

// awaitNode is done when the node is there, Ready at the version, and carries its pool's labels.
func (k *kube) awaitNode(ctx context.Context, a plan.AwaitNode, host string) (engine.Verdict, error) {
	node, err := k.node(ctx, host)
	if err != nil {
		return unknown(err), nil
	}
	if node == nil {
		return unknown(fmt.Errorf("the node is not registered")), nil
	}
	if v := node.Status.NodeInfo.KubeletVersion; v != a.Version {
		return unknown(fmt.Errorf("kubelet is %s, %s is wanted", v, a.Version)), nil
	}
	if missing := missingLabels(node, a.Labels[host]); len(missing) > 0 {
		return engine.Verdict{State: engine.Needed, Why: missing}, nil
	}
	if why := notReady(node); a.NeedReady && why != "" {
		return engine.Verdict{State: engine.Needed, Why: []string{why}}, nil
	}
	return engine.Verdict{State: engine.Done}, nil
}

// applyNode sets labels; readiness comes by itself.
func (k *kube) applyNode(ctx context.Context, a plan.AwaitNode, host string) error {
	node, err := k.node(ctx, host)
	if err != nil {
		return engine.Retryable(err)
	}
	if node == nil || len(missingLabels(node, a.Labels[host])) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": a.Labels[host]}})
	if err != nil {
		return fmt.Errorf("render the labels of node %s: %w", host, err)
	}
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	if err := objects.Patch(ctx, node, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return engine.Retryable(fmt.Errorf("label node %s: %w", host, err))
	}
	return nil
}

func missingLabels(node *corev1.Node, want map[string]string) []string {
	var missing []string
	for key, value := range want {
		if node.Labels[key] != value {
			missing = append(missing, fmt.Sprintf("label %s is %q, %q is wanted", key, node.Labels[key], value))
		}
	}
	return missing
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

func unknown(err error) engine.Verdict {
	return engine.Verdict{State: engine.Unknown, Why: []string{err.Error()}}
}
