//go:build e2e

package conditions

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// Exit codes the program documents.
const (
	succeeded = 0
	failed    = 1
	badInput  = 2
)

// condition is one line of the table.
type condition struct {
	// name says the condition and the result in one sentence.
	name string
	// workers says that n2 is a worker of the cluster; otherwise the cluster is n1 alone.
	workers bool
	// arrange makes the hosts so. What a reset does not take back, it undoes in a cleanup of the test.
	arrange func(t *testing.T, s *site)
	// edit changes the user's file.
	edit fixture.Edit
	// code is what `kubewright up` ends with. Unless that is succeeded, hosts must be as they were before.
	code int
	// says are texts that a user reads: in the error if there is one, else anywhere in what is printed.
	says []string
	// hides are texts that must not be printed at all.
	hides []string
	// running looks at the cluster and may change hosts further, or run `up` again. It is not called for a refusal.
	running func(t *testing.T, s *site)
	// removed looks at the hosts after the cluster was removed.
	removed func(t *testing.T, s *site)
}

// TestConditions tells every line on hosts that all of them share. A line that fails leaves hosts that the next one does not use.
func TestConditions(t *testing.T) {
	w := newWorld(t)
	for _, c := range slices.Concat(hostsAsTheyAre(), sshdSettings(), controlPlanes(), namesOutside(), judgedHosts(), firewalls(), identities(), disks(), hostPorts()) {
		t.Run(c.name, func(t *testing.T) { c.tell(t, w) })
	}
}

func (c condition) tell(t *testing.T, w *world) {
	s := w.site(t)
	// Undone last, when whatever arrange does is undone.
	t.Cleanup(func() { w.spoilt = w.spoilt || t.Failed() })
	if c.arrange != nil {
		c.arrange(t, s)
	}
	s.describe(t, c.workers, c.edit)
	before := s.remains(t)
	out, code := s.up(t)
	if code != c.code {
		t.Fatalf("kubewright up ended with code %d, want %d\n%s", code, c.code, s.evidence())
	}
	said := out
	if c.code != succeeded {
		_, said, _ = strings.Cut(out, "Error: ")
	}
	for _, text := range c.says {
		if !strings.Contains(said, text) {
			t.Errorf("it does not say %q", text)
		}
	}
	for _, text := range c.hides {
		if strings.Contains(out, text) {
			t.Errorf("it says %q, which it should not", text)
		}
	}
	if c.code != succeeded {
		requireSame(t, before, s.remains(t))
		return
	}
	if c.running != nil {
		c.running(t, s)
	}
	s.remove(t)
	requireSame(t, before, s.remains(t))
	if c.removed != nil {
		c.removed(t, s)
	}
}
