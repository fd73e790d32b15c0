//go:build e2e

package lifecycle

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The shapes that the story of growing and shrinking goes through, each from the one before.
var (
	small         = shape{newest, []string{"n1"}, []string{"n4"}}
	moreWorkers   = shape{newest, []string{"n1"}, []string{"n4", "n5", "n6"}}
	threePlanes   = shape{newest, []string{"n1", "n2", "n3"}, []string{"n4", "n5", "n6"}}
	fewerWorkers  = shape{newest, []string{"n1", "n2", "n3"}, []string{"n4", "n5"}}
	withoutFirst  = shape{newest, []string{"n2", "n3", "n6"}, []string{"n4", "n5"}}
	afterTheFire  = shape{newest, []string{"n3", "n6", "n1"}, []string{"n4", "n5"}}
	allControlOfN = []string{"n1", "n2", "n3", "n4", "n5", "n6"}
)

func TestGrowAndShrink(t *testing.T) {
	w := newWorld(t, "grow", len(allControlOfN))
	w.tell(t, []scenario{
		{"two workers are added", small, addWorkers},
		{"a worker that lost power before it had wholly joined is taken on", moreWorkers, joinAgain},
		{"one control plane becomes three, killed on the way", moreWorkers, addControlPlanes},
		{"kubelet's configuration is rolled over a pool", threePlanes, rollKubelet},
		{"a configuration that kubelet refuses stops at the first node", threePlanes, refuseToStart},
		{"arguments, certificates and the container runtime are configured anew", threePlanes, configurePlanes},
		{"a plan waits for approval", threePlanes, approve},
		{"a worker is removed and its host is clean", threePlanes, removeWorker},
		{"a host of another cluster is refused", fewerWorkers, refuseForeign},
		{"refused changes touch nothing", fewerWorkers, refuseChanges},
		{"the first control plane is removed, killed on the way", fewerWorkers, removeFirst},
		{"a dead control plane is replaced", withoutFirst, replaceDead},
		{"a reset leaves hosts as they were", afterTheFire, resetAll},
	})
}

func addWorkers(t *testing.T, w *world) {
	before := w.inService(t, small.hosts()...)
	out := w.must(t, moreWorkers)
	w.requireWhole(t)
	t.Run("hosts that were there are not touched", func(t *testing.T) {
		requireSame(t, before, w.inService(t, small.hosts()...))
	})
	t.Run("hosts that were there cost at most 3 requests each", func(t *testing.T) {
		costs := requests(t, out)
		for _, host := range small.hosts() {
			if costs[host] > 3 {
				t.Errorf("%s cost %d requests", host, costs[host])
			}
		}
		t.Logf("measured: requests per host: %v", costs)
	})
}

// joinAgain takes away what the end of joining leaves on a host, as if the power had gone right before: kubelet had started, and after
// the boot the node is Ready, which kubeadm refuses to join.
func joinAgain(t *testing.T, w *world) {
	const host = "n6"
	w.exec(t, host, "sh", "-c", "rm /var/lib/kubewright/receipts/kubeadm-*")
	for _, f := range []func(context.Context, string) error{w.fleet.Kill, w.fleet.Start} {
		if err := f(t.Context(), host); err != nil {
			t.Fatal(err)
		}
	}
	w.kubectl(t, "wait", "--for=condition=Ready", "node/"+host, "--timeout=120s")
	w.must(t, moreWorkers)
	w.requireWhole(t)
	t.Run("running again changes nothing", w.requireNothingToDo)
}

func addControlPlanes(t *testing.T, w *world) {
	etcd := w.process(t, "n1", "etcd")
	w.mustThough(t, threePlanes, "kill:applied:control-plane/etcd", "kill:begin:control-plane/join")
	w.requireWhole(t)
	t.Run("etcd on the first control plane was not restarted", func(t *testing.T) {
		if now := w.process(t, "n1", "etcd"); now != etcd {
			t.Errorf("etcd was process %s and is %s", etcd, now)
		}
	})
}

// mustThough is a change that succeeds though the program is killed at all of these points.
func (w *world) mustThough(t *testing.T, to shape, points ...string) {
	t.Helper()
	reached, out := w.killed(t, slices.Clone(points), deed{"change", to})
	t.Run("it was killed "+strconv.Itoa(len(points))+" times and went on", func(t *testing.T) {
		if diff := cmp.Diff(points, reached); diff != "" {
			t.Errorf("killed at (-want +have):\n%s", diff)
		}
	})
	t.Log(tail(out, 12))
}

func removeWorker(t *testing.T, w *world) {
	before := w.inService(t, fewerWorkers.hosts()...)
	w.must(t, fewerWorkers)
	w.requireWhole(t)
	t.Run("the host is as it was before it was ever used", func(t *testing.T) {
		requireSame(t, w.clean.Only("n6"), w.remains(t, "n6"))
	})
	t.Run("hosts that stay are not touched", func(t *testing.T) {
		requireSame(t, before, w.inService(t, fewerWorkers.hosts()...))
	})
}

func removeFirst(t *testing.T, w *world) {
	w.lead(t, "n1")
	w.mustThough(t, withoutFirst, "kill:applied:leave/member")
	w.requireWhole(t)
	t.Run("the leadership of etcd, which its member had, is with one that stays", func(t *testing.T) {
		if leader, _ := w.leader(t); !slices.Contains(withoutFirst.controlPlanes, leader) {
			t.Errorf("%q leads etcd", leader)
		}
	})
	t.Run("the host is as it was before it was ever used", func(t *testing.T) {
		requireSame(t, w.clean.Only("n1"), w.remains(t, "n1"))
	})
	t.Run("the kubeconfig leads to a control plane that is left", func(t *testing.T) {
		server := w.kubectl(t, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
		gone, err := w.fleet.Host("n1")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(server, gone.Address.String()+":") {
			t.Errorf("the kubeconfig still leads to n1: %s", server)
		}
	})
	t.Run("nothing in the cluster speaks of it", func(t *testing.T) { w.requireForgotten(t, "n1") })
	t.Run("running again changes nothing", w.requireNothingToDo)
}

func replaceDead(t *testing.T, w *world) {
	w.destroy(t, "n2")
	w.must(t, afterTheFire)
	w.requireWhole(t)
	t.Run("nothing in the cluster speaks of it", func(t *testing.T) { w.requireForgotten(t, "n2") })
	t.Run("running again changes nothing", w.requireNothingToDo)
}

func resetAll(t *testing.T, w *world) {
	w.requireReset(t)
}

func (w *world) requireNothingToDo(t *testing.T) {
	t.Helper()
	if out := w.must(t, w.now); !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("something was changed:\n%s", tail(out, 40))
	}
}

// requireForgotten looks for a node where clusters remember nodes: what kubeadm keeps of control planes, static pods, and the status of
// what runs on every node.
func (w *world) requireForgotten(t *testing.T, node string) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "nodes", "-o", "name"},
		{"get", "pods", "-A", "-o", `jsonpath={range .items[*]}{.spec.nodeName} {.metadata.name}{"\n"}{end}`},
		{"-n", "kube-node-lease", "get", "leases", "-o", "name"},
		{"get", "endpointslices", "-A", "-o", "jsonpath={.items[*].endpoints[*].nodeName}"},
	} {
		if out := w.kubectl(t, args...); slices.ContainsFunc(strings.FieldsFunc(out, func(r rune) bool { return r == ' ' || r == '\n' || r == '/' }), func(word string) bool {
			return word == node || strings.HasSuffix(word, "-"+node)
		}) {
			t.Errorf("kubectl %s names %s:\n%s", strings.Join(args, " "), node, out)
		}
	}
}

// requests are how many requests every host cost, as the summary says.
func requests(t *testing.T, output string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, c := range regexp.MustCompile(`\b(n\d) \d+/(\d+)`).FindAllStringSubmatch(output, -1) {
		n, err := strconv.Atoi(c[2])
		if err != nil {
			t.Fatal(err)
		}
		counts[c[1]] = n
	}
	if len(counts) == 0 {
		t.Fatalf("the summary counts no requests:\n%s", output)
	}
	return counts
}

// process is the id of the one process of that name on a host.
func (w *world) process(t *testing.T, host, name string) string {
	t.Helper()
	return strings.TrimSpace(w.exec(t, host, "pgrep", "-x", name))
}

// capacity is how many pods each node takes.
func (w *world) capacity(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, n := range w.nodes(t) {
		pods := n.Status.Capacity.Pods()
		found[n.Name] = fmt.Sprint(pods.Value())
	}
	return found
}
