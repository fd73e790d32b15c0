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

func TestAHostThatWaitsForItsTurnSaysForWhat(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := New("default/demo", began)
	tell := func(step string, state engine.State, reason, message string) {
		m.Observe(engine.Event{Operation: "op", Attempt: 1, Step: step, Host: "w2", State: state, Reason: reason, Message: message, At: began})
	}
	for _, step := range []string{"content/files", "cluster/dns", "worker/drain", "worker/upgrade"} {
		tell(step, engine.StatePending, "", "")
	}
	tell("content/files", engine.StateChanged, "", "")
	tell("worker/drain", engine.StatePending, engine.ReasonWaitingForSlot, "waits its turn: 1 at a time in worker")
	got := m.View(began.Add(time.Second)).Hosts[0]
	if got.Step != "worker/drain" || got.State != engine.StatePending || got.Message != "waits its turn: 1 at a time in worker" {
		t.Errorf("the host is shown as %+v, want it to wait before worker/drain", got)
	}
	tell("worker/drain", engine.StateRunning, "", "3 pods left")
	if got := m.View(began.Add(time.Second)).Hosts[0]; got.State != engine.StateRunning || got.Message != "3 pods left" {
		t.Errorf("the host is shown as %+v, want it in its turn", got)
	}
}
