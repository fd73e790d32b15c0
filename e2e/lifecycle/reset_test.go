//go:build e2e

package lifecycle

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// pair is the smallest cluster that has something to lose.
var pair = shape{newest, []string{"n1"}, []string{"n2"}}

func TestResetOfWhatIsNotWhole(t *testing.T) {
	w := newWorld(t, "reset", len(pair.hosts()))
	w.tell(t, []scenario{
		{"a half-installed cluster is reset", shape{}, resetHalfInstalled},
		{"a host that burnt stops a reset until it is said to be gone for good", pair, resetWithoutBurnt},
	})
}

// resetHalfInstalled kills an installation at points that leave ever more on hosts, and removes what is there.
func resetHalfInstalled(t *testing.T, w *world) {
	for _, point := range []string{"kill:begin:content/blobs", "kill:applied:runtime/containerd", "kill:applied:control-plane/init", "kill:begin:node/join", "kill:applied:node/join"} {
		t.Run("killed at "+point, func(t *testing.T) {
			out, err := w.do(t, w.faulty(t), deed{"install", pair}, "KUBEWRIGHT_FAULT="+point)
			if err == nil || died.FindString(out) == "" {
				t.Fatalf("it was not killed: %v\n%s", err, tail(out, 40))
			}
			w.requireReset(t)
		})
	}
}

func resetWithoutBurnt(t *testing.T, w *world) {
	w.destroy(t, "n2")
	out, err := w.call(t, "delete", w.Name, "--reset", "--yes")
	if err == nil {
		t.Fatalf("a host that is gone was reset:\n%s", tail(out, 40))
	}
	t.Log(tail(out, 15))
	t.Run("the error names the host and says what to do", func(t *testing.T) {
		parts := strings.SplitAfter(out, "Error: ")
		for _, text := range []string{"n2", "onRemoval", "Orphan", "-f FILE"} {
			if !strings.Contains(parts[len(parts)-1], text) {
				t.Errorf("it does not say %q", text)
			}
		}
		if strings.Contains(parts[len(parts)-1], "n1:") {
			t.Error("it says something of the host that was reset")
		}
	})
	t.Run("the other host is as it was before it was ever used", func(t *testing.T) {
		requireSame(t, w.clean.Only("n1"), w.remains(t, "n1"))
	})

	// The file describes destroyed hosts with onRemoval: Orphan.
	w.describe(t, shape{newest, []string{"n1"}, nil})
	out = w.requireReset(t, "-f", w.ClusterFile())
	t.Run("the host is quarantined and said to be", func(t *testing.T) {
		if !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.Contains(line, "n2: quarantined") && strings.Contains(line, "onRemoval is Orphan")
		}) {
			t.Errorf("it is not:\n%s", tail(out, 10))
		}
	})
	t.Run("a cluster that names it is refused", func(t *testing.T) {
		w.describe(t, shape{newest, []string{"n1"}, nil}, fixture.Set("Cluster", "",
			[]any{map[string]any{"name": "default", "hosts": []any{"n2"}}}, "spec", "workers"))
		before := w.remains(t, "n1")
		out, err := w.call(t, "up", "-f", w.ClusterFile(), "--bundle", w.Bundle)
		if err == nil || !strings.Contains(out, "n2 is quarantined") {
			t.Errorf("it was not: %v\n%s", err, tail(out, 20))
		}
		requireSame(t, before, w.remains(t, "n1"))
	})
}

// requireReset removes the cluster, and checks that the hosts there are look as they did before they were ever used.
func (w *world) requireReset(t *testing.T, more ...string) string {
	t.Helper()
	out, err := w.call(t, append([]string{"delete", w.Name, "--reset", "--yes"}, more...)...)
	if err != nil {
		t.Fatalf("kubewright delete: %v\n%s", err, tail(out, 60))
	}
	w.now = shape{}
	for _, h := range w.fleet.Hosts() {
		t.Run(h.Name+" is as it was before it was ever used", func(t *testing.T) {
			requireSame(t, w.clean.Only(h.Name), w.remains(t, h.Name))
		})
	}
	return out
}
