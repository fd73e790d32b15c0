//go:build e2e

package badinput

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/listing"
)

func (w *world) look(t *testing.T) listing.View {
	t.Helper()
	v, err := listing.Take(t.Context(), w.fleet, listing.Untouched)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// requireSame fails when a host looks different from before.
func requireSame(t *testing.T, before, after listing.View) {
	t.Helper()
	for _, difference := range listing.Differences(before, after) {
		t.Error(difference)
	}
}

// testChangesAreSeen keeps the comparison honest: what an installation begins with must show in it.
func (w *world) testChangesAreSeen(t *testing.T) {
	before := w.look(t)
	w.put(t, "n2", "/usr/local/bin/kubelet", "x")
	w.put(t, "n2", "/var/lib/kubelet/config.yaml", "x")
	w.listen(t, "n2", 10250)
	found := strings.Join(listing.Differences(before, w.look(t)), "\n")
	for _, text := range []string{"file /usr/local/bin/kubelet", "file /var/lib/kubelet/config.yaml", "unit squatter-10250.service", "listens *:10250"} {
		if !strings.Contains(found, "n2 was changed, new is: "+text) {
			t.Errorf("%q is not seen in\n%s", text, found)
		}
	}
	if strings.Contains(found, "n1 was") {
		t.Errorf("n1 was not touched, but is said to have changed:\n%s", found)
	}
}
