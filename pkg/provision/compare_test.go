package provision

import (
	"errors"
	"testing"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	hostclient "github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/plan"
)

func TestHostsAreComparedEachByItself(t *testing.T) {
	wanted := []hostapi.Resource{{ID: "dir", Dir: &hostapi.Dir{Path: "/opt/kubewright"}}}
	steps := []plan.Step{{ID: "host/tools", Hosts: []string{"n1", "n2"}, Resources: map[string][]hostapi.Resource{"n1": wanted, "n2": wanted, "n3": nil}}}
	for _, c := range []struct {
		name string
		// losses is how often the connection to n2 breaks under the question.
		losses int
		failed bool
	}{
		{"a host whose connection holds is asked once", 0, false},
		{"one whose connection broke is asked again", 2, false},
		{"one that stays away is named, and the others are asked all the same", 100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n1, n2 := newMachine(t), newMachine(t)
			n2.with(func() { n2.losses = c.losses })
			b := &hostSteps{
				sessions: sessionsWith(t, map[string]*machine{"n1": n1, "n2": n2}), known: map[string]map[string][]hostapi.Verdict{},
				first: map[string]map[string][]hostapi.Verdict{}, compared: map[string]bool{},
			}
			result, err := engine.Run(t.Context(), engine.Graph{Steps: []engine.Step{b.compareStep(steps)}}, engine.Options{Clock: instant{}})
			if result == nil {
				t.Fatal(err)
			}
			if tries := map[string]int{"n1": 1, "n2": min(c.losses+1, 5)}; len(result.Steps[0].Hosts) != 2 ||
				result.Steps[0].Hosts[0].Tries != tries["n1"] || result.Steps[0].Hosts[1].Tries != tries["n2"] {
				t.Errorf("tried %+v, want %v", result.Steps[0].Hosts, tries)
			}
			if !b.foundNeeded([]string{"host/tools"}, "n1", []string{"dir"}) {
				t.Error("what n1 lacks was not found")
			}
			if !c.failed {
				if err != nil || !b.foundNeeded([]string{"host/tools"}, "n2", nil) {
					t.Errorf("what n2 lacks was not found: %v", err)
				}
				return
			}
			var lost *hostclient.LostError
			failures := result.Failures()
			if !errors.As(err, &lost) || len(failures) != 1 || failures[0].Host != "n2" || failures[0].Kind != engine.KindRetryable {
				t.Errorf("got %v", err)
			}
		})
	}
}
