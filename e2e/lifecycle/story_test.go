//go:build e2e

package lifecycle

import "testing"

// scenario is one thing that is shown on a running cluster. A story is several of them in an order in which each begins with what the one
// before it left; each can also be run by itself, and then begins with a cluster that was installed as it needs it.
type scenario struct {
	name string
	// needs is the cluster it begins with.
	needs shape
	run   func(t *testing.T, w *world)
}

// tell runs a story. What a failed scenario leaves is not built upon.
func (w *world) tell(t *testing.T, story []scenario) {
	for _, s := range story {
		t.Run(s.name, func(t *testing.T) {
			w.ensure(t, s.needs)
			w.spoilt = true
			t.Cleanup(func() {
				if t.Failed() {
					w.explain(t)
				}
			})
			s.run(t, w)
			w.spoilt = t.Failed()
		})
	}
}
