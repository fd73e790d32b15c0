//go:build e2e

package lifecycle

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/listing"
)

// refusal is a change that must not be begun.
type refusal struct {
	name string
	to   func(now shape) shape
	edit fixture.Edit
	// arrange makes the circumstances, and undoes them when the test ends.
	arrange func(t *testing.T, w *world)
	// says are texts of the one error a user is shown.
	says []string
	// restarted are programs that Kubernetes itself starts again under these circumstances.
	restarted []string
}

func version(v string) func(shape) shape {
	return func(now shape) shape { now.version = v; return now }
}

func same(now shape) shape { return now }

// exchangeFirst puts the idle n6 in the place of n1.
func exchangeFirst(now shape) shape {
	now.controlPlanes = []string{"n2", "n3", "n6"}
	return now
}

func refuseChanges(t *testing.T, w *world) {
	for _, r := range []refusal{
		{
			name: "a downgrade", to: version("v1.35.4"),
			says: []string{"spec.version", "v1.35.4", newest},
		},
		{
			name: "a version that is in no bundle", to: version("v1.36.99"),
			says: []string{"spec.version", "v1.36.99", newest},
		},
		{
			name: "another range of Service addresses", to: same, edit: fixture.Set("Cluster", "", "10.97.0.0/16", "spec", "network", "serviceCIDR"),
			says: []string{"serviceCIDR"},
		},
		{
			name: "another kind of endpoint", to: same,
			edit: fixture.Set("Cluster", "", map[string]any{"type": "External", "host": "api.example.com"}, "spec", "controlPlane", "endpoint"),
			says: []string{"endpoint"},
		},
		{
			name: "the exchange of a control plane that would cost quorum", to: exchangeFirst,
			arrange: func(t *testing.T, w *world) { w.freeze(t, "etcd", "n3") },
			says:    []string{"quorum", "n3"},
		},
		{
			name: "the exchange of a control plane while nobody knows how etcd's members are", to: exchangeFirst,
			arrange:   func(t *testing.T, w *world) { w.freeze(t, "etcd", "n2", "n3") },
			says:      []string{"etcd's members cannot be learned"},
			restarted: []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"},
		},
	} {
		t.Run(r.name, func(t *testing.T) { w.refused(t, r) })
	}
}

// refuseForeign names a host that another cluster has claimed. It is refused; taken out of the spec again it is left alone.
func refuseForeign(t *testing.T, w *world) {
	w.foreignHost(t, "n7")
	w.refused(t, refusal{
		to:   func(now shape) shape { now.workers = append(slices.Clone(now.workers), "n7"); return now },
		says: []string{"n7", "other"},
	})
	before := w.inService(t)
	w.must(t, w.now)
	w.requireWhole(t)
	t.Run("putting the spec back touches nobody, nor that host", func(t *testing.T) { requireSame(t, before, w.inService(t)) })
}

// refused tries a change, which must end with one error that says what is wrong, and leave every host as it was.
func (w *world) refused(t *testing.T, r refusal) {
	settings, now := w.settings, w.now
	defer func() { w.settings, w.now = settings, now }()
	if r.arrange != nil {
		r.arrange(t, w)
	}
	var reached []string
	for _, h := range w.fleet.Hosts() {
		if _, err := w.fleet.Exec(t.Context(), h.Name, "true"); err == nil {
			reached = append(reached, h.Name)
		}
	}
	before := w.inService(t, reached...)
	out, err := w.change(t, r.to(now), r.edit)
	if err == nil {
		t.Fatalf("it was done:\n%s", tail(out, 40))
	}
	parts := strings.SplitAfter(out, "Error: ")
	for _, text := range r.says {
		if !strings.Contains(parts[len(parts)-1], text) {
			t.Errorf("the error does not say %q", text)
		}
	}
	t.Log(tail(out, 15))
	requireSame(t, without(before, r.restarted), without(w.inService(t, reached...), r.restarted))
}

// without leaves processes of programs out.
func without(v listing.View, programs []string) listing.View {
	kept := listing.View{}
	for host, lines := range v {
		kept[host] = slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return slices.ContainsFunc(programs, func(p string) bool { return strings.HasPrefix(line, "process "+p+" ") })
		})
	}
	return kept
}

// freeze stops a program on hosts from answering, until the test ends.
func (w *world) freeze(t *testing.T, program string, on ...string) {
	t.Helper()
	for _, host := range on {
		w.exec(t, host, "pkill", "-STOP", "-x", program)
		t.Cleanup(func() {
			if _, err := w.fleet.Exec(context.WithoutCancel(t.Context()), host, "pkill", "-CONT", "-x", program); err != nil {
				t.Error(err)
			}
		})
	}
}

// foreignHost boots a host that belongs to another cluster, until the test ends.
func (w *world) foreignHost(t *testing.T, name string) {
	t.Helper()
	if _, err := w.fleet.Add(t.Context(), hosts.HostSpec{Name: name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.fleet.Remove(context.WithoutCancel(t.Context()), name); err != nil {
			t.Error(err)
		}
	})
	ledger := `{"version":1,"owner":{"clusterName":"other","clusterUID":"0b1f"},"entries":[]}`
	if err := w.fleet.WriteFile(t.Context(), name, "/var/lib/kubewright/ledger.json", 0o600, []byte(ledger)); err != nil {
		t.Fatal(err)
	}
}
