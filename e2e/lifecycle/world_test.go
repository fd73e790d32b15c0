//go:build e2e

package lifecycle

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
	"github.com/kubewright/kubewright/e2e/listing"
	"github.com/kubewright/kubewright/pkg/bundle"
)

// Versions that the bundle of the whole test holds; the one for development holds the newest alone.
const (
	oldest  = "v1.34.4"
	older   = "v1.35.4"
	patched = "v1.36.1"
	newest  = "v1.36.3"
)

// patience bounds what no test should come near to.
const patience = 45 * time.Minute

// shape is what a cluster consists of.
type shape struct {
	version                string
	controlPlanes, workers []string
}

func (s shape) equal(o shape) bool {
	return s.version == o.version && slices.Equal(s.controlPlanes, o.controlPlanes) && slices.Equal(s.workers, o.workers)
}

func (s shape) hosts() []string { return slices.Concat(s.controlPlanes, s.workers) }

// world is a fleet with a cluster on it, and the program that made it.
type world struct {
	*kubewright.Installation
	name  string
	count int
	// shared keeps what is made once for all scenarios.
	shared string
	fleet  *hosts.Fleet
	// now is the cluster as it was last brought about.
	now shape
	// before is the cluster that operations which are to be killed begin with; none for an installation.
	before shape
	// settings are changes of the user's file that stay for later ones.
	settings fixture.Edit
	// clean is what hosts were like before anything was done to them.
	clean listing.View
	// gone are hosts that were destroyed.
	gone []hosts.Host
	// spoilt is a world that a failed scenario left.
	spoilt bool
}

// newWorld boots nothing yet; the first scenario does.
func newWorld(t *testing.T, name string, count int) *world {
	t.Helper()
	i, err := kubewright.Built(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	i.Name = name
	w := &world{Installation: i, name: name, count: count, shared: t.TempDir()}
	t.Cleanup(func() { w.down(t) })
	return w
}

// requireVersions skips a test that the bundle at hand is not enough for.
func (w *world) requireVersions(t *testing.T, versions ...string) {
	t.Helper()
	held := w.versions(t)
	for _, v := range versions {
		if !slices.Contains(held, v) {
			t.Skipf("%s holds no Kubernetes %s; `make bundle-all` makes one that does, and `make e2e` uses it", w.Bundle, v)
		}
	}
}

// versions of Kubernetes that the bundle holds.
func (w *world) versions(t *testing.T) []string {
	t.Helper()
	b, err := bundle.Open(w.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	var found []string
	for _, r := range b.Config().Releases {
		found = append(found, r.KubernetesVersion)
	}
	return found
}

func (w *world) down(t *testing.T) {
	t.Helper()
	if w.fleet == nil {
		return
	}
	// The test's own context has ended when it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := w.fleet.Down(ctx); err != nil {
		t.Errorf("take the fleet down: %v", err)
	}
	w.fleet = nil
}

// boot starts new hosts without a cluster.
func (w *world) boot(t *testing.T) {
	t.Helper()
	w.down(t)
	fleet, err := hosts.Up(t.Context(), hosts.Options{Name: w.name, Count: w.count, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	w.fleet, w.now, w.settings, w.gone, w.spoilt = fleet, shape{}, nil, nil, false
	// Not the scenario's own directory: the next one goes on with it.
	if w.Dir, err = os.MkdirTemp(w.shared, "installation-"); err != nil {
		t.Fatal(err)
	}
	w.clean = w.remains(t)
}

// ensure brings the cluster to a shape, from nothing unless it has it.
func (w *world) ensure(t *testing.T, s shape) {
	t.Helper()
	if w.fleet != nil && !w.spoilt && w.now.equal(s) {
		return
	}
	w.boot(t)
	if len(s.hosts()) == 0 {
		return
	}
	began := time.Now()
	if out, err := w.change(t, s); err != nil {
		t.Fatalf("install what the scenario begins with: %v\n%s", err, tail(out, 60))
	}
	t.Logf("installed %s on %s in %s", s.version, strings.Join(s.hosts(), ", "), time.Since(began).Round(time.Second))
}

// describe writes the user's file for a shape, with the settings made so far and these.
func (w *world) describe(t *testing.T, s shape, edits ...fixture.Edit) {
	t.Helper()
	w.settings = fixture.All(append([]fixture.Edit{w.settings}, edits...)...)
	var idle []string
	for _, h := range w.fleet.Hosts() {
		if !slices.Contains(s.hosts(), h.Name) {
			idle = append(idle, h.Name)
		}
	}
	if err := w.Describe(w.fleet, fixture.Options{
		Version: s.version, ControlPlanes: s.controlPlanes, Workers: s.workers, Idle: idle, Gone: w.gone, User: "ops", Edit: w.settings,
	}); err != nil {
		t.Fatal(err)
	}
}

// change edits the user's file and runs `kubewright up` to its end.
func (w *world) change(t *testing.T, s shape, edits ...fixture.Edit) (string, error) {
	t.Helper()
	w.describe(t, s, edits...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := w.Up(ctx)
	if err == nil {
		w.now = s
	}
	return out, err
}

// must is change that has to succeed.
func (w *world) must(t *testing.T, s shape, edits ...fixture.Edit) string {
	t.Helper()
	out, err := w.change(t, s, edits...)
	if err != nil {
		t.Fatalf("kubewright up: %v\n%s", err, tail(out, 80))
	}
	t.Log(tail(out, 12))
	return out
}

// call runs another command of the program to its end.
func (w *world) call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := w.Command(ctx, args...).CombinedOutput()
	return string(out), err
}

// kubectl fails the test when the command does.
func (w *world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.Kubectl(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply hands objects to the cluster.
func (w *world) apply(t *testing.T, objects string) {
	t.Helper()
	if _, err := w.Kubectl(t.Context(), objects, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// deploy applies objects and waits until one of them, a workload, runs as it says.
func (w *world) deploy(t *testing.T, objects, namespace, workload string) {
	t.Helper()
	w.apply(t, objects)
	w.kubectl(t, "-n", namespace, "rollout", "status", workload, "--timeout=180s")
}

// exec runs a program on a host and fails the test when it fails.
func (w *world) exec(t *testing.T, host string, argv ...string) string {
	t.Helper()
	out, err := w.fleet.Exec(t.Context(), host, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// destroy takes a host away for good, as a fire would. It stays in the user's file.
func (w *world) destroy(t *testing.T, name string) {
	t.Helper()
	h, err := w.fleet.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.fleet.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	w.gone = append(w.gone, h)
}

// remains lists what hosts without a cluster are made of, their firewalls included.
func (w *world) remains(t *testing.T, names ...string) listing.View {
	t.Helper()
	v, err := listing.Take(t.Context(), w.fleet, listing.Remains, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Collect(maps.Keys(v)) {
		rules, err := w.fleet.InNetwork(t.Context(), name, "bash", "-c", listing.Firewall)
		if err != nil {
			t.Fatal(err)
		}
		v[name] = append(v[name], strings.Split("firewall:\n"+string(rules), "\n")...)
	}
	return v
}

// inService lists what operations change on hosts of a running cluster.
func (w *world) inService(t *testing.T, names ...string) listing.View {
	t.Helper()
	v, err := listing.Take(t.Context(), w.fleet, listing.InService, names...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// requireSame fails when hosts look different.
func requireSame(t *testing.T, before, after listing.View) {
	t.Helper()
	const most = 40
	differences := listing.Differences(before, after)
	for _, d := range differences[:min(most, len(differences))] {
		t.Error(d)
	}
	if len(differences) > most {
		t.Errorf("and %d more differences", len(differences)-most)
	}
}

// explain logs what somebody who looks into a failure asks first.
func (w *world) explain(t *testing.T) {
	t.Helper()
	if w.fleet == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	status, err := w.Command(ctx, "status").CombinedOutput()
	t.Logf("kubewright status: %v\n%s", err, status)
	for _, args := range [][]string{{"get", "nodes", "-o", "wide"}, {"get", "pods", "-A", "-o", "wide"}} {
		out, err := w.Kubectl(ctx, "", append(args, "--request-timeout=10s")...)
		t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	crashed, _ := w.Kubectl(ctx, "", "get", "pods", "-A", "--request-timeout=10s", "-o",
		`jsonpath={range .items[?(@.status.containerStatuses[0].lastState.terminated)]}{.metadata.namespace} {.metadata.name}{"\n"}{end}`)
	for line := range strings.Lines(crashed) {
		if pod := strings.Fields(line); len(pod) == 2 {
			out, err := w.Kubectl(ctx, "", "-n", pod[0], "logs", pod[1], "--previous", "--tail=25", "--request-timeout=10s")
			t.Logf("what %s said before it ended: %v\n%s", pod[1], err, out)
		}
	}
	t.Log(w.fleet.Evidence(ctx))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
