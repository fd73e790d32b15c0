package engine

import (
	"slices"
	"sync"
	"time"
)

// StepSummary is the sum of one step over its hosts at one moment. The counts add up to Hosts.
type StepSummary struct {
	// ID and Title of the step.
	ID    string
	Title string
	// Hosts the step runs on.
	Hosts int
	// Pending, Running (waiting for another try included), and the final states.
	Pending int
	Running int
	Done    int
	Changed int
	Failed  int
	Blocked int
	Skipped int
	// StartedAt is when the first host began; zero before that.
	StartedAt time.Time
	// Took is the time from the first host's begin to the last event of the step so far.
	Took time.Duration
}

// State sums the step up in one word: Running while any host is in hand or some are done and others pending, Failed or Blocked when
// any host ended so, Changed when any was changed, Skipped when all were. A step without hosts is Done.
func (s StepSummary) State() State {
	switch {
	case s.Running > 0:
		return StateRunning
	case s.Hosts > 0 && s.Pending == s.Hosts:
		return StatePending
	case s.Pending > 0:
		return StateRunning
	case s.Failed > 0:
		return StateFailed
	case s.Blocked > 0:
		return StateBlocked
	case s.Changed > 0:
		return StateChanged
	case s.Hosts > 0 && s.Skipped == s.Hosts:
		return StateSkipped
	}
	return StateDone
}

// Problem is why a host is not where it should be.
type Problem struct {
	// Step and Host it happened at.
	Step string
	Host string
	// State is Failed, Blocked, or Retrying when it may still get better.
	State State
	// Reason, Message, ExitCode and Output of the failure.
	Reason   string
	Message  string
	ExitCode *int
	Output   string
	// Tries made.
	Tries int
}

// HostState is where a host stands: the step it is in, or the last one that it ended, or the one that stopped it.
type HostState struct {
	// Host name.
	Host string
	// Step and its State on this host. When several are in hand it is the one that began last.
	Step  string
	State State
	// Reason and Message of the newest event of that step.
	Reason  string
	Message string
	// Since is when the step came into this state.
	Since time.Time
	// Ended and Steps count the steps of this host that ended, in whatever state, and all of them.
	Ended int
	Steps int
}

// Recorder is a Sink that folds the events of one run into what a status or a screen shows. It may be read while the run goes on.
type Recorder struct {
	mu    sync.Mutex
	order []string // step IDs in the order of the graph
	steps map[string]*recorded
	hosts []string // in order of first appearance in the graph
	known map[string]bool
	pairs map[pairKey]*recordedPair
}

type recorded struct {
	title     string
	hosts     []string
	startedAt time.Time
	last      time.Time
}

type recordedPair struct {
	event   Event     // the newest one
	since   time.Time // when it came into its state
	started time.Time
}

// NewRecorder returns a Recorder in which every step of the graph is pending on each of its hosts.
func NewRecorder(g Graph) *Recorder {
	r := &Recorder{steps: map[string]*recorded{}, pairs: map[pairKey]*recordedPair{}, known: map[string]bool{}}
	for i := range g.Steps {
		s := &g.Steps[i]
		r.addStep(s.ID, s.Title)
		for _, h := range s.Hosts {
			r.addPair(s.ID, h)
		}
	}
	return r
}

func (r *Recorder) addStep(id, title string) *recorded {
	s := &recorded{title: title}
	r.steps[id] = s
	r.order = append(r.order, id)
	return s
}

func (r *Recorder) addPair(step, host string) *recordedPair {
	p := &recordedPair{event: Event{Step: step, Host: host, State: StatePending}}
	r.pairs[pairKey{step, host}] = p
	r.steps[step].hosts = append(r.steps[step].hosts, host)
	if !r.known[host] {
		r.known[host] = true
		r.hosts = append(r.hosts, host)
	}
	return p
}

// Emit takes an event in. Steps and hosts that the graph did not have are added, so that a stored stream can be folded too.
func (r *Recorder) Emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.steps[e.Step]
	if s == nil {
		s = r.addStep(e.Step, "")
	}
	p := r.pairs[pairKey{e.Step, e.Host}]
	if p == nil {
		p = r.addPair(e.Step, e.Host)
	}
	if p.event.State != e.State || p.since.IsZero() {
		p.since = e.At
	}
	if e.State == StateRunning && e.Message == "" {
		e.Message = p.messageToKeep()
	}
	p.event = e
	if e.Try > 0 {
		if p.started.IsZero() {
			p.started = e.At
		}
		if s.startedAt.IsZero() {
			s.startedAt = e.At
		}
		s.last = e.At
	}
}

// messageToKeep is the progress a host reported before an event that has none of its own.
func (p *recordedPair) messageToKeep() string {
	if p.event.State == StateRunning {
		return p.event.Message
	}
	return ""
}

// Snapshot returns the sums of all steps, in the order of the graph.
func (r *Recorder) Snapshot() []StepSummary {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]StepSummary, 0, len(r.order))
	for _, id := range r.order {
		s := r.steps[id]
		sum := StepSummary{ID: id, Title: s.title, Hosts: len(s.hosts), StartedAt: s.startedAt}
		if !s.startedAt.IsZero() {
			sum.Took = s.last.Sub(s.startedAt)
		}
		for _, h := range s.hosts {
			sum.count(r.pairs[pairKey{id, h}].event.State)
		}
		out = append(out, sum)
	}
	return out
}

func (s *StepSummary) count(state State) {
	switch state {
	case StatePending:
		s.Pending++
	case StateRunning, StateRetrying:
		s.Running++
	case StateDone:
		s.Done++
	case StateChanged:
		s.Changed++
	case StateFailed:
		s.Failed++
	case StateBlocked:
		s.Blocked++
	case StateSkipped:
		s.Skipped++
	}
}

// Problems returns what is wrong now, in the order of the graph: everything that failed or waits for another try, and of the hosts
// on which nothing failed the first step that is blocked, so that each host that is not OK is named and none fills the list.
func (r *Recorder) Problems() []Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Problem
	named := map[string]bool{}
	for _, pass := range [][]State{{StateFailed, StateRetrying}, {StateBlocked}} {
		before := len(out)
		for _, id := range r.order {
			for _, h := range r.steps[id].hosts {
				e := &r.pairs[pairKey{id, h}].event
				if slices.Contains(pass, e.State) && (e.State != StateBlocked || !named[h]) {
					out = append(out, problemOf(e))
					named[h] = named[h] || e.State == StateBlocked
				}
			}
		}
		for _, p := range out[before:] {
			named[p.Host] = true
		}
	}
	return out
}

func problemOf(e *Event) Problem {
	return Problem{Step: e.Step, Host: e.Host, State: e.State, Reason: e.Reason, Message: e.Message,
		ExitCode: e.ExitCode, Output: e.Output, Tries: e.Try}
}

// HostStates returns where each host stands, in the order in which the graph first names them.
func (r *Recorder) HostStates() []HostState {
	r.mu.Lock()
	defer r.mu.Unlock()
	best := make(map[string]*recordedPair, len(r.hosts))
	states := make(map[string]*HostState, len(r.hosts))
	for _, h := range r.hosts {
		states[h] = &HostState{Host: h, State: StatePending}
	}
	for _, id := range r.order {
		for _, h := range r.steps[id].hosts {
			p := r.pairs[pairKey{id, h}]
			states[h].Steps++
			if p.event.State.Final() {
				states[h].Ended++
			}
			if best[h] == nil || p.before(best[h]) {
				best[h] = p
			}
		}
	}
	out := make([]HostState, 0, len(r.hosts))
	for _, h := range r.hosts {
		s, e := states[h], best[h].event
		s.Step, s.State, s.Reason, s.Message, s.Since = e.Step, e.State, e.Reason, e.Message, best[h].since
		out = append(out, *s)
	}
	return out
}

// before says that p tells more about its host than q: what is in hand, then what failed, then what is blocked, then what ended
// last, then what has not begun.
func (p *recordedPair) before(q *recordedPair) bool {
	a, b := p.rank(), q.rank()
	if a != b {
		return a > b
	}
	switch p.event.State {
	case StatePending, StateFailed, StateBlocked:
		return false // the first one of the graph
	case StateRunning, StateRetrying:
		return !p.started.Before(q.started)
	}
	return !p.since.Before(q.since)
}

func (p *recordedPair) rank() int {
	switch p.event.State {
	case StateRunning, StateRetrying:
		return 5
	case StateFailed:
		return 4
	case StateBlocked:
		return 3
	case StateDone, StateChanged:
		return 2
	case StateSkipped:
		return 1
	}
	return 0
}
