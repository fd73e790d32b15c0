package provision

import (
	"strings"
	"testing"
)

func TestWhenAnEtcdMemberMayBeAdded(t *testing.T) {
	for _, c := range []struct {
		name    string
		members []member
		refused string
	}{
		{"one healthy member may get a second", []member{{Name: "cp1"}}, ""},
		{"all healthy members may get another", []member{{Name: "cp1"}, {Name: "cp2"}}, ""},
		{"an unhealthy member blocks", []member{{Name: "cp1"}, {Name: "cp3", Problem: "no answer"}}, "cp3"},
		{"another host's learner blocks", []member{{Name: "cp1"}, {Name: "cp3", Learner: true}}, "cp3"},
		{"the joining host's own unfinished attempt does not block", []member{{Name: "cp1"}, {Name: "cp2", Learner: true, Problem: "no answer"}}, ""},
		{"an announced member that never started and so has no name does not block", []member{{Name: "cp1"}, {Problem: "has not started", Learner: true}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := canGrow(c.members, "cp2")
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v, want a refusal that names %s", err, c.refused)
			}
		})
	}
}
