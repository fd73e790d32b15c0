//go:build e2e

package install

import (
	"os"
	"testing"

	"github.com/kubewright/kubewright/e2e/kubewright"
)

// requireContent expects that an installation moved content, and no host got more than its bundle has.
func requireContent(t *testing.T, printed string, i *kubewright.Installation, hosts int) kubewright.Content {
	t.Helper()
	moved, err := kubewright.ContentIn(printed)
	if err != nil {
		t.Fatal(err)
	}
	var most int64
	for _, file := range append([]string{i.Bundle}, i.Bases...) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		most += info.Size() * int64(hosts)
	}
	if moved.All <= 0 || moved.All > most || moved.OverSSH > moved.All {
		t.Errorf("%d bytes of content moved, %d of them over SSH; want some, and at most the %d that the bundle has for %d hosts", moved.All, moved.OverSSH, most, hosts)
	}
	return moved
}

// requireNoContent expects that no host got again what it had.
func requireNoContent(t *testing.T, printed string) {
	t.Helper()
	moved, err := kubewright.ContentIn(printed)
	if err != nil {
		t.Fatal(err)
	}
	if moved != (kubewright.Content{}) {
		t.Errorf("%d bytes of content moved to hosts that had all of it, %d of them over SSH", moved.All, moved.OverSSH)
	}
}
