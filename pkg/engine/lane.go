package engine

import (
	"fmt"
	"slices"
)

// Lane is a way through several steps with few places: a host takes a place when its first step of the lane begins and gives it back
// when its last one has ended well. So a node that is being worked on goes through all it needs, up to being back in service, before
// the next one is touched.
type Lane struct {
	// ID is what Step.Lane names.
	ID string
	// Width is how many hosts may be inside at a time; 0 means all.
	Width int
	// FailureBudget is how many hosts may fail inside before no further one is let in. A host that failed within the budget gives its
	// place back.
	FailureBudget int
}

// lane is the state of a Lane in a run.
type lane struct {
	Lane
	inside map[string]bool
	open   map[string]int  // pairs of a host that have not ended
	failed map[string]bool // hosts with a pair that failed inside
	closed bool
}

func newLanes(g Graph) map[string]*lane {
	lanes := map[string]*lane{}
	for _, l := range g.Lanes {
		lanes[l.ID] = &lane{Lane: l, inside: map[string]bool{}, open: map[string]int{}, failed: map[string]bool{}}
	}
	for i := range g.Steps {
		if l := lanes[g.Steps[i].Lane]; l != nil {
			for _, h := range g.Steps[i].Hosts {
				l.open[h]++
			}
		}
	}
	return lanes
}

// full says that a host has to wait outside.
func (l *lane) full(host string) bool {
	return l != nil && !l.inside[host] && l.Width > 0 && len(l.inside) >= l.Width
}

// shut says that a host will never be let in.
func (l *lane) shut(host string) bool { return l != nil && l.closed && !l.inside[host] }

// ended takes in that a pair of a host ended.
func (l *lane) ended(p *pair) {
	if l == nil || p.hostless() {
		return
	}
	host := p.outcome.Host
	l.open[host]--
	if p.outcome.State == StateFailed {
		l.failed[host] = true
		l.closed = l.closed || len(l.failed) > l.FailureBudget
	}
	// A host that failed beyond the budget keeps its place: nobody follows it.
	if l.open[host] == 0 && (!l.failed[host] || !l.closed) {
		delete(l.inside, host)
	}
}

// closedMessage says why a host was not begun.
func (l *lane) closedMessage() string {
	var names []string
	for h := range l.failed {
		names = append(names, h)
	}
	slices.Sort(names)
	return fmt.Sprintf("not begun: the rollout over %s pauses after %s (%d tolerated): %v", l.ID, plural(len(names), "host", "failed"), l.FailureBudget, names)
}

// lanes checks that every lane is there, and that no step inside one waits for hosts that may be outside.
func (v *validation) lanes(g Graph) {
	known := map[string]bool{}
	for _, l := range g.Lanes {
		if l.ID == "" || known[l.ID] || l.Width < 0 || l.FailureBudget < 0 {
			v.add("", "the lane %q has no ID of its own, or a negative width or budget", l.ID)
		}
		known[l.ID] = true
	}
	in := map[string]string{}
	for i := range g.Steps {
		in[g.Steps[i].ID] = g.Steps[i].Lane
	}
	for i := range g.Steps {
		s := &g.Steps[i]
		if s.Lane == "" {
			continue
		}
		if !known[s.Lane] {
			v.add(s.ID, "it is in the lane %q, which is not in the graph", s.Lane)
		}
		for _, n := range s.Needs {
			if n.Scope != SameHost && in[n.Step] == s.Lane {
				v.add(s.ID, "it is in the lane %s and needs %s there on other hosts, which may have to wait outside for this one", s.Lane, n.Step)
			}
		}
	}
}
