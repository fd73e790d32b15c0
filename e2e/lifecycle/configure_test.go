//go:build e2e

package lifecycle

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

// maxPods is a setting of kubelet that shows in the node's status.
func maxPods(n int64) fixture.Edit { return fixture.SetPool(n, "overrides", "kubelet", "maxPods") }

func rollKubelet(t *testing.T, w *world) {
	watch := w.watchNodes(t, "n1")
	before := w.inService(t, w.now.controlPlanes...)
	w.must(t, w.now, maxPods(77),
		fixture.SetPool("gold", "labels", "example.com/tier"),
		fixture.SetPool([]any{map[string]any{"key": "example.com/gold", "effect": "PreferNoSchedule"}}, "taints"))
	// Kubelet is started anew below running pods, so nodes need not be drained.
	t.Run("not more than one node at a time was out of service", watch.requireOneAtATime)
	w.requireWhole(t)
	t.Run("every kubelet of the pool has the setting, and no other", func(t *testing.T) {
		w.requireCapacity(t, "77", w.now.workers...)
	})
	t.Run("labels and taints of the pool are on its nodes", func(t *testing.T) {
		for _, n := range w.nodes(t) {
			wanted := slices.Contains(w.now.workers, n.Name)
			tainted := false
			for _, taint := range n.Spec.Taints {
				tainted = tainted || taint.Key == "example.com/gold"
			}
			if (n.Labels["example.com/tier"] == "gold") != wanted || tainted != wanted {
				t.Errorf("%s has labels %v and taints %v", n.Name, n.Labels, n.Spec.Taints)
			}
		}
	})
	t.Run("control planes are not touched", func(t *testing.T) {
		requireSame(t, before, w.inService(t, w.now.controlPlanes...))
	})
	t.Run("a label and a taint that are taken back go from the nodes", func(t *testing.T) {
		w.must(t, w.now, fixture.SetPool(map[string]any{"example.com/pool": "default"}, "labels"), fixture.SetPool([]any{}, "taints"))
		for _, n := range w.nodes(t) {
			if n.Labels["example.com/tier"] != "" || slices.Contains(w.now.workers, n.Name) && len(n.Spec.Taints) > 0 {
				t.Errorf("%s has labels %v and taints %v", n.Name, n.Labels, n.Spec.Taints)
			}
		}
	})
	t.Run("running again changes nothing", w.requireNothingToDo)
}

// requireCapacity wants that nodes take that many pods, and all others not.
func (w *world) requireCapacity(t *testing.T, want string, nodes ...string) {
	t.Helper()
	for name, have := range w.capacity(t) {
		if (have == want) != slices.Contains(nodes, name) {
			t.Errorf("%s takes %s pods", name, have)
		}
	}
}

func approve(t *testing.T, w *world) {
	before := w.inService(t)
	w.describe(t, w.now, fixture.Set("Cluster", "", "Manual", "spec", "operationPolicy"), maxPods(78))
	up := w.start(t)
	operation := w.awaitPhase(t, up, "AwaitingApproval")
	t.Run("the whole plan stands in the operation's status: host, step and why", func(t *testing.T) {
		plan := w.management(t, "get", "kwop", operation, "-o", `jsonpath={range .status.plan[*]}{.host} {.step} {.why}{"\n"}{end}`)
		for _, host := range w.now.workers {
			if !strings.Contains(plan, host+" ") {
				t.Errorf("the plan does not speak of %s:\n%s", host, plan)
			}
		}
		if !strings.Contains(plan, "maxPods") && !strings.Contains(plan, "config.yaml") {
			t.Errorf("the plan does not say what changes:\n%s", plan)
		}
	})
	t.Run("nothing is touched before", func(t *testing.T) { requireSame(t, before, w.inService(t)) })
	t.Run("approving another plan is refused or does not begin it", func(t *testing.T) {
		w.management(t, "annotate", "kwop", operation, "kubewright.io/approve=sha256:"+strings.Repeat("0", 64))
		if phase := w.phase(t, operation); phase != "AwaitingApproval" {
			t.Errorf("the operation is %s", phase)
		}
	})
	if out, err := w.call(t, "approve", w.Name, "--yes"); err != nil {
		t.Fatalf("kubewright approve: %v\n%s", err, out)
	}
	if out, err := up.Wait(); err != nil {
		t.Fatalf("kubewright up: %v\n%s", err, tail(out, 60))
	}
	w.requireWhole(t)
	t.Run("the approved change is made", func(t *testing.T) { w.requireCapacity(t, "78", w.now.workers...) })
	w.describe(t, w.now, fixture.Set("Cluster", "", "Automatic", "spec", "operationPolicy"))
}

func cancelAndResume(t *testing.T, w *world) {
	w.describe(t, w.now, fixture.Set("Cluster", "", "Automatic", "spec", "operationPolicy"), maxPods(79))
	up := w.start(t)
	w.await(t, up, `n[456] +worker/update +(running|changed)`)
	if out, err := w.call(t, "cancel", w.Name); err != nil {
		t.Fatalf("kubewright cancel: %v\n%s", err, out)
	}
	out, err := up.Wait()
	t.Run("the program says that it was cancelled and how to go on", func(t *testing.T) {
		if err == nil || !strings.Contains(strings.ToLower(out), "cancel") {
			t.Errorf("it ended with %v and said\n%s", err, tail(out, 30))
		}
	})
	t.Run("no node is left cordoned, and the node in hand was carried through", func(t *testing.T) {
		done := 0
		for _, n := range w.nodes(t) {
			if n.Spec.Unschedulable {
				t.Errorf("%s is cordoned", n.Name)
			}
			if n.Status.Capacity.Pods().String() == "79" {
				done++
			}
		}
		if done == 0 || done == len(w.now.workers) {
			t.Errorf("%d of %d nodes have the new setting; it should be some and not all", done, len(w.now.workers))
		}
	})
	w.requireWhole(t)
	t.Run("the same command goes on from there", func(t *testing.T) {
		w.must(t, w.now)
		w.requireCapacity(t, "79", w.now.workers...)
	})
	w.requireWhole(t)
}

// start runs `kubewright up` in the background, and ends it with the test.
func (w *world) start(t *testing.T) *kubewright.Running {
	t.Helper()
	// Not the test's context: its end would kill the program while it could still stop by itself.
	up, err := w.Start(w.UpCommand(context.WithoutCancel(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Kill)
	return up
}

// await waits for something the program prints.
func (w *world) await(t *testing.T, up *kubewright.Running, pattern string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found, err := up.Await(ctx, regexp.MustCompile(pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// management asks the control plane that the running `kubewright up` keeps.
func (w *world) management(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.Management(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) phase(t *testing.T, operation string) string {
	t.Helper()
	return w.management(t, "get", "kwop", operation, "-o", "jsonpath={.status.phase}")
}

// awaitPhase waits until the newest operation is in a phase, and returns its name.
func (w *world) awaitPhase(t *testing.T, up *kubewright.Running, phase string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		// It fails until the control plane answers.
		out, err := w.Management(ctx, "get", "kwop", "--sort-by=.metadata.creationTimestamp", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}`)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if name, found := strings.CutSuffix(lines[len(lines)-1], " "+phase); err == nil && found {
			return name
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no operation came to phase %s: %v\n%s\nkubewright up says\n%s", phase, err, out, tail(up.Output(), 40))
		case <-ticker.C:
		}
	}
}
