package progress

import (
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
)

func TestAHostThatWaitsIsShownAtItsNextStep(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := New("default/demo", began)
	for i, step := range []string{"runtime/images", "control-plane/prepare", "cluster/nodes"} {
		m.Observe(engine.Event{Operation: "op", Attempt: 1, Step: step, Host: "n2", State: engine.StatePending, At: began.Add(time.Duration(i))})
	}
	m.Observe(engine.Event{Operation: "op", Attempt: 1, Step: "runtime/images", Host: "n2", State: engine.StateChanged, At: began.Add(time.Second), Took: time.Second})
	if got := m.View(began.Add(2 * time.Second)).Hosts[0].Step; got != "control-plane/prepare" {
		t.Errorf("the host is shown at %s, want control-plane/prepare", got)
	}
}
