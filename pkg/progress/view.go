package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
)

// View is a moment of an operation, ready to be drawn.
type View struct {
	// Cluster for people, Operation and Attempt; Operation is empty before one runs.
	Cluster   string
	Operation string
	Attempt   int
	// Headline says what the whole is waiting for.
	Headline string
	// Elapsed since the user started to wait.
	Elapsed time.Duration
	// Steps in order, and Hosts in order.
	Steps []StepView
	Hosts []HostView
}

// StepView is one step over all its hosts.
type StepView struct {
	ID    string
	State engine.State
	// Ended of Total hosts came to an end; Failed of them not well.
	Ended, Total, Failed int
	// Took from the first host's begin to the last one's end, or to now; zero before it began.
	Took time.Duration
}

// HostView is where a host stands.
type HostView struct {
	Name, Role string
	// Step that says most about the host now, and how it stands there.
	Step  string
	State engine.State
	// Planned says that it was only found out that something would change.
	Planned bool
	// Message for people.
	Message string
	// Ended of Total steps came to an end on this host.
	Ended, Total int
}

// View works out the present picture.
func (m *Model) View(now time.Time) View {
	v := View{Cluster: m.cluster, Operation: m.operation, Attempt: m.attempt, Headline: m.shortHeadline(), Elapsed: now.Sub(m.began)}
	for _, id := range m.steps {
		v.Steps = append(v.Steps, m.stepView(id, now))
	}
	for _, name := range m.hosts {
		v.Hosts = append(v.Hosts, m.hostView(name))
	}
	return v
}

// shortHeadline is the headline without the operation and attempt that stand in the title already.
func (m *Model) shortHeadline() string {
	return strings.TrimPrefix(m.headline, fmt.Sprintf("operation %s, attempt %d: ", m.operation, m.attempt))
}

func (m *Model) stepView(id string, now time.Time) StepView {
	s := StepView{ID: id, State: engine.StatePending}
	var first, last time.Time
	counts := map[engine.State]int{}
	for _, host := range m.hosts {
		c := m.cells[pair{id, host}]
		if c == nil {
			continue
		}
		s.Total++
		counts[c.state]++
		if c.state.Final() {
			s.Ended++
		}
		if !c.started.IsZero() && (first.IsZero() || c.started.Before(first)) {
			first = c.started
		}
		if c.ended.After(last) {
			last = c.ended
		}
	}
	s.Failed = counts[engine.StateFailed] + counts[engine.StateBlocked]
	s.State = sum(counts, s.Total)
	if !first.IsZero() {
		if s.Ended < s.Total {
			last = now
		}
		s.Took = max(last.Sub(first), 0)
	}
	return s
}

// sum is the state of a step over its hosts: what is worst, then what is under way, then what was done.
func sum(counts map[engine.State]int, total int) engine.State {
	for _, state := range []engine.State{engine.StateFailed, engine.StateRetrying, engine.StateRunning, engine.StateBlocked} {
		if counts[state] > 0 {
			return state
		}
	}
	switch {
	case total == 0 || counts[engine.StatePending] == total:
		return engine.StatePending
	case counts[engine.StatePending] > 0:
		return engine.StateRunning
	case counts[engine.StateChanged] > 0:
		return engine.StateChanged
	case counts[engine.StateDone] > 0:
		return engine.StateDone
	}
	return engine.StateSkipped
}

// waitingTells is the rank of a host that is held back until others are through.
const waitingTells = 3

// telling ranks the states a host may have in several steps at once by how much they tell.
var telling = map[engine.State]int{
	engine.StateFailed: 6, engine.StateRetrying: 5, engine.StateRunning: 4, engine.StatePending: 2,
	engine.StateChanged: 1, engine.StateDone: 1, engine.StateSkipped: 0, engine.StateBlocked: 0,
}

// telling ranks a cell among those of its host. That a host waits for its turn tells more than what else is ahead of it.
func (c *cell) telling() int {
	if c.state == engine.StatePending && c.reason == engine.ReasonWaitingForSlot {
		return waitingTells
	}
	return telling[c.state]
}

func (m *Model) hostView(name string) HostView {
	h := HostView{Name: name, Role: m.roles[name]}
	var best *cell
	for _, id := range m.steps {
		c := m.cells[pair{id, name}]
		if c == nil {
			continue
		}
		h.Total++
		if c.state.Final() {
			h.Ended++
		}
		// Of steps that are ahead the next one tells most, of all others the newest.
		if best == nil || c.telling() > best.telling() || c.telling() == best.telling() && c.state != engine.StatePending && !c.updated.Before(best.updated) {
			best, h.Step = c, id
		}
	}
	if best == nil {
		return h
	}
	h.State, h.Planned, h.Message = best.state, best.planned, best.text()
	return h
}

// text is the line about a cell: its message, or why it is not done, with the number of the try when it is not the first.
func (c *cell) text() string {
	text := firstLine(c.message)
	if text == "" && len(c.why) > 0 && !c.state.Final() {
		text = firstLine(c.why[0])
	}
	if c.try > 1 && !c.state.OK() {
		text = fmt.Sprintf("(try %d) %s", c.try, text)
	}
	return text
}
