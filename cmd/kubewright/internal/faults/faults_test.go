package faults

import (
	"slices"
	"testing"

	"github.com/kubewright/kubewright/pkg/engine"
)

func TestParseReadsPointsAndNamesWhatIsNone(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Point
		refused    bool
	}{
		{name: "nothing set means no points"},
		{name: "several points", text: "kill:begin:node/join,kill:applied:runtime/images@n2", want: []Point{{Begin, "node/join", ""}, {Applied, "runtime/images", "n2"}}},
		{name: "another verb is refused", text: "stall:begin:node/join", refused: true},
		{name: "another moment is refused", text: "kill:end:node/join", refused: true},
		{name: "a missing step is refused", text: "kill:begin:", refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.text)
			if (err != nil) != c.refused || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestKillerDiesAtItsPointsOnly(t *testing.T) {
	var died []Point
	k := &Killer{Points: []Point{{Begin, "a/b", ""}, {Applied, "a/b", "n2"}}, Kill: func(p Point, _ []string) { died = append(died, p) }}
	for _, e := range []engine.Event{
		{Step: "a/b", Host: "n1", State: engine.StatePending},
		{Step: "a/c", Host: "n1", State: engine.StateRunning, Try: 1},
		{Step: "a/b", Host: "n1", State: engine.StateRunning, Try: 2},
		{Step: "a/b", Host: "n3", State: engine.StateRunning, Try: 1},
	} {
		k.Emit(e)
	}
	k.AfterApply("a/b", "n1")
	k.AfterApply("a/b", "n2")
	if want := []Point{{Begin, "a/b", "n3"}, {Applied, "a/b", "n2"}}; !slices.Equal(died, want) {
		t.Errorf("died at %v, want %v", died, want)
	}
}

func TestKillerTellsWhatWasUnderWayBesides(t *testing.T) {
	var inHand []string
	k := &Killer{Points: []Point{{Applied, "a/b", ""}}, Kill: func(_ Point, besides []string) { inHand = besides }}
	for _, e := range []engine.Event{
		{Step: "a/b", Host: "n1", State: engine.StateRunning, Try: 1},
		{Step: "a/c", Host: "n1", State: engine.StatePending},
		{Step: "a/c", Host: "n2", State: engine.StateRunning, Try: 1},
		{Step: "a/c", Host: "n3", State: engine.StateRunning, Try: 1},
		{Step: "a/d", Host: "n3", State: engine.StateRetrying, Try: 1},
		{Step: "a/c", Host: "n3", State: engine.StateChanged},
	} {
		k.Emit(e)
	}
	k.AfterApply("a/b", "n1")
	if want := []string{"a/c@n2", "a/d@n3"}; !slices.Equal(inHand, want) {
		t.Errorf("under way were %v, want %v", inHand, want)
	}
}
