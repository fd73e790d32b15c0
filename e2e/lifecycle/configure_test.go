//go:build e2e

package lifecycle

import (
	"context"
	"crypto/tls"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

// maxPods is a setting of kubelet that shows in the node's status.
func maxPods(n int64) fixture.Edit { return fixture.SetPool(n, "overrides", "kubelet", "maxPods") }

func rollKubelet(t *testing.T, w *world) {
	watch := w.watchNodes(t, "n1")
	before := w.inService(t, w.now.controlPlanes...)
	out := w.must(t, w.now, maxPods(77),
		fixture.SetPool("gold", "labels", "example.com/tier"),
		fixture.SetPool([]any{map[string]any{"key": "example.com/gold", "effect": "PreferNoSchedule"}}, "taints"))
	// Kubelet is started anew below running pods, so nodes need not be drained.
	t.Run("not more than one node at a time was out of service", func(t *testing.T) {
		watch.requireOneAtATime(t)
		requireOneByOne(t, out, "worker/update", "worker/return", w.now.workers...)
	})
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

// collectImages sets when kubelet begins to collect images and when it ends. It refuses to start when it should end above where it begins.
func collectImages(high, low int64) fixture.Edit {
	return fixture.All(fixture.SetPool(high, "overrides", "kubelet", "imageGCHighThresholdPercent"), fixture.SetPool(low, "overrides", "kubelet", "imageGCLowThresholdPercent"))
}

// refuseToStart rolls out a configuration with which kubelet does not start. Neither the API nor kubeadm knows that.
func refuseToStart(t *testing.T, w *world) {
	first, others := w.now.workers[0], slices.Concat(w.now.controlPlanes, w.now.workers[1:])
	before := w.inService(t, others...)
	out, err := w.change(t, w.now, collectImages(50, 80))
	t.Run("it fails, and says on which host and what its kubelet says", func(t *testing.T) {
		if err == nil {
			t.Fatalf("it was done:\n%s", tail(out, 40))
		}
		if !regexp.MustCompile(`(?m)^ +` + first + `: worker/(update|return): `).MatchString(out) {
			t.Errorf("it does not name %s and a step of it", first)
		}
		for _, text := range []string{"ends by itself again and again", "imageGCLowThresholdPercent"} {
			if !strings.Contains(out, text) {
				t.Errorf("it does not say %q", text)
			}
		}
		t.Log(tail(out, 40))
	})
	t.Run("the other hosts are not touched", func(t *testing.T) { requireSame(t, before, w.inService(t, others...)) })
	t.Run("taking the setting back repairs it", func(t *testing.T) { w.must(t, w.now, collectImages(85, 80)) })
	w.requireWhole(t)
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

// exitWaiting is the exit code of a program that leaves an operation waiting for approval, as docs/cli.md says.
const exitWaiting = 4

func approve(t *testing.T, w *world) {
	before := w.inService(t)
	w.describe(t, w.now, fixture.Set("Cluster", "", "Manual", "spec", "operationPolicy"), maxPods(78))
	out, err := w.Up(t.Context())
	t.Run("the program shows the whole plan, with its hosts, and ends with how to go on", func(t *testing.T) {
		if code := kubewright.ExitCode(err); code != exitWaiting {
			t.Errorf("it ended with exit code %d, want %d", code, exitWaiting)
		}
		_, plan, _ := strings.Cut(out, "Plan of operation")
		// Hosts with the same changes share a paragraph.
		if !strings.Contains(plan, "\n"+strings.Join(w.now.workers, ", ")+"\n  worker/update\n") || strings.Count(plan, "worker/update") != 1 {
			t.Errorf("the plan does not have the workers updated, and them alone:\n%s", plan)
		}
		if !strings.Contains(plan, "kubelet") || !strings.Contains(plan, "kubewright approve") {
			t.Errorf("the plan does not say what changes, or not how to go on:\n%s", plan)
		}
	})
	t.Run("nothing is touched before", func(t *testing.T) { requireSame(t, before, w.inService(t)) })
	out, err = w.call(t, "approve", w.Name, "--yes")
	if err != nil {
		t.Fatalf("kubewright approve: %v\n%s", err, tail(out, 60))
	}
	w.requireWhole(t)
	t.Run("the approved change is made", func(t *testing.T) { w.requireCapacity(t, "78", w.now.workers...) })
	w.describe(t, w.now, fixture.Set("Cluster", "", "Automatic", "spec", "operationPolicy"))
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

// configurePlanes changes what the control plane and the container runtime of a cluster that runs are configured with.
func configurePlanes(t *testing.T, w *world) {
	const name, setting = "api.example.com", "max_container_log_line_size"
	watch := w.watchNodes(t, "n1")
	argument := func(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }
	out := w.must(t, w.now,
		fixture.Set("Cluster", "", []any{name}, "spec", "controlPlane", "certSANs"),
		fixture.Set("Cluster", "", map[string]any{
			"apiServer":         map[string]any{"extraArgs": []any{argument("event-ttl", "2h0m0s"), argument("feature-gates", "AllAlpha=false")}},
			"controllerManager": map[string]any{"extraArgs": []any{argument("terminated-pod-gc-threshold", "100")}},
		}, "spec", "overrides", "kubeadm"),
		fixture.Set("Cluster", "", int64(32768), "spec", "overrides", "containerd", "plugins", "io.containerd.cri.v1.runtime", setting))
	t.Run("not more than one node at a time was out of service", func(t *testing.T) {
		watch.requireOneAtATime(t)
		requireOneByOne(t, out, "control-plane/update", "control-plane/update", w.now.controlPlanes...)
		requireOneByOne(t, out, "control-plane/node", "control-plane/return", w.now.controlPlanes...)
		requireOneByOne(t, out, "worker/update", "worker/return", w.now.workers...)
	})
	w.requireWhole(t)
	t.Run("every API server and controller manager has the arguments and the feature gate", func(t *testing.T) {
		for _, cp := range w.now.controlPlanes {
			for program, arguments := range map[string][]string{
				"kube-apiserver":          {"--event-ttl=2h0m0s", "--feature-gates=AllAlpha=false", "--shutdown-delay-duration=5s"},
				"kube-controller-manager": {"--terminated-pod-gc-threshold=100"},
			} {
				running := strings.Fields(w.exec(t, cp, "ps", "-C", program, "-o", "args="))
				for _, a := range arguments {
					if !slices.Contains(running, a) {
						t.Errorf("%s on %s runs without %s: %v", program, cp, a, running)
					}
				}
			}
		}
	})
	t.Run("every API server's certificate has the name", func(t *testing.T) {
		for _, cp := range w.now.controlPlanes {
			if names := w.servingNames(t, cp); !slices.Contains(names, name) {
				t.Errorf("the certificate on %s is for %v", cp, names)
			}
		}
	})
	t.Run("containerd of every node has the setting", func(t *testing.T) {
		for _, host := range w.now.hosts() {
			if config := w.exec(t, host, "/usr/local/bin/containerd", "config", "dump"); !regexp.MustCompile(setting + ` = 32768`).MatchString(config) {
				t.Errorf("containerd on %s does not have it", host)
			}
		}
	})
	t.Run("running again changes nothing", w.requireNothingToDo)
}

// servingNames are the DNS names in the certificate of a host's API server.
func (w *world) servingNames(t *testing.T, host string) []string {
	t.Helper()
	h, err := w.fleet.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", h.Address.String()+":6443") //nolint:gosec // the certificate is what is looked at
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames
}
