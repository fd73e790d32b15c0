//go:build e2e

package lifecycle

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// nodeWatch sees every change of every node while an operation lasts.
type nodeWatch struct {
	mu sync.Mutex
	// out are the nodes that take no pods now, and most the largest set of them at a time.
	out, most []string
	// cordoned are all that were made unschedulable at any time, in that order.
	cordoned []string
	// seen counts events, last is why the watch ended the last time.
	seen int
	last error
	stop func()
}

// watchNodes watches with the kubectl of a control plane through that host's own proxy, which goes on when its API server does not. End it
// with stop.
func (w *world) watchNodes(t *testing.T, through string) *nodeWatch {
	t.Helper()
	h, err := w.fleet.Host(through)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := w.kubectl(t, "config", "view", "--raw", "-o", "json")
	if err := w.fleet.WriteFile(t.Context(), through, "/run/watch.kubeconfig", 0o600, []byte(kubeconfig)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	n := &nodeWatch{stop: func() { cancel(); ended.Wait() }}
	t.Cleanup(n.stop)
	ended.Go(func() {
		for ctx.Err() == nil {
			// The program of the host itself; its output ends when an API server does, and then it is started again.
			watch := exec.CommandContext(ctx, "docker", "exec", h.Container, "/usr/local/bin/kubectl", "--kubeconfig=/run/watch.kubeconfig",
				"--cache-dir=/tmp/kubectl", "--server=https://127.0.0.1:7443", "get", "nodes", "--watch", "--output-watch-events", "-o", "json")
			out, err := watch.StdoutPipe()
			if err == nil {
				err = watch.Start()
			}
			if err != nil {
				n.fail(err)
				return
			}
			events := json.NewDecoder(out)
			for {
				var e struct {
					Type   string      `json:"type"`
					Object corev1.Node `json:"object"`
				}
				if events.Decode(&e) != nil {
					break
				}
				n.see(e.Type, e.Object)
			}
			if err := watch.Wait(); err != nil && ctx.Err() == nil {
				n.fail(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
		}
	})
	return n
}

// again is how long to wait before a watch that ended is begun anew, so that one that cannot work does not keep the machine busy.
const again = 500 * time.Millisecond

func (n *nodeWatch) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = err
}

func (n *nodeWatch) see(kind string, node corev1.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen++
	n.out = slices.DeleteFunc(n.out, func(name string) bool { return name == node.Name })
	if kind == "DELETED" {
		return
	}
	if node.Spec.Unschedulable {
		if !slices.Contains(n.cordoned, node.Name) {
			n.cordoned = append(n.cordoned, node.Name)
		}
	}
	if node.Spec.Unschedulable || readiness(node) != corev1.ConditionTrue {
		n.out = append(n.out, node.Name)
	}
	if len(n.out) > len(n.most) {
		n.most = slices.Clone(n.out)
	}
}

// requireOneAtATime wants that never two nodes were out of service together.
func (n *nodeWatch) requireOneAtATime(t *testing.T) {
	t.Helper()
	n.stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == 0 {
		t.Fatalf("no change of any node was seen, so nothing can be said: %v", n.last)
	}
	if len(n.most) > 1 {
		t.Errorf("out of service at the same time were %s", strings.Join(n.most, ", "))
	}
}

// requireCordoned wants that exactly these nodes were kept from pods at some time.
func (n *nodeWatch) requireCordoned(t *testing.T, nodes ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := slices.Sorted(slices.Values(n.cordoned)); !slices.Equal(got, slices.Sorted(slices.Values(nodes))) {
		t.Errorf("cordoned were %v, want %v", got, nodes)
	}
}
