package progress

import (
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
)

// Model is what is known of one operation in progress. It is not safe for use by several goroutines at once.
type Model struct {
	cluster   string
	began     time.Time
	operation string
	attempt   int
	headline  string

	steps     []string
	stepIndex map[string]int
	hosts     []string
	roles     map[string]string
	cells     map[pair]*cell

	lines lineState
}

type pair struct{ step, host string }

// wouldChange is the word for a step that would change something, where somebody only looks.
const wouldChange = "Planned"

// word is the state for people.
func word(state engine.State, planned bool) string {
	if planned {
		return wouldChange
	}
	return string(state)
}

// cell is one step on one host.
type cell struct {
	state engine.State
	// planned says that the state is what would come about: somebody only looks.
	planned bool
	try     int
	reason  string
	message string
	why     []string
	output  string
	started time.Time
	updated time.Time
	ended   time.Time
}

// New makes the model of what happens to a cluster, named for people; began is when the user started to wait.
func New(cluster string, began time.Time) *Model {
	m := &Model{cluster: cluster, began: began, roles: map[string]string{}}
	m.forget()
	return m
}

// AddHost makes a host known before anything happens on it. Hosts are shown in the order in which they became known.
func (m *Model) AddHost(name, role string) {
	if _, known := m.roles[name]; !known {
		m.hosts = append(m.hosts, name)
	}
	m.roles[name] = role
}

// SetHeadline says in one line what the cluster as a whole is waiting for, e.g. that the bundle is being verified.
func (m *Model) SetHeadline(text string) { m.headline = text }

// SetSteps tells the steps of an operation in their order, so that they are shown before they begin.
func (m *Model) SetSteps(operation string, ids []string) {
	if operation != m.operation {
		if m.operation != "" {
			return
		}
		m.operation = operation
	}
	order := make([]string, 0, len(ids)+len(m.steps))
	index := make(map[string]int, len(ids)+len(m.steps))
	for _, id := range append(append([]string{}, ids...), m.steps...) {
		if _, known := index[id]; !known {
			index[id] = len(order)
			order = append(order, id)
		}
	}
	m.steps, m.stepIndex = order, index
}

// Observe takes an event. The first event of another operation or attempt starts anew: what is done shows itself again.
func (m *Model) Observe(e engine.Event) {
	if e.Operation != m.operation || e.Attempt != m.attempt {
		keep := m.steps
		if e.Operation != m.operation {
			keep = nil
		}
		m.forget()
		m.operation, m.attempt = e.Operation, e.Attempt
		m.SetSteps(m.operation, keep)
	}
	if _, known := m.roles[e.Host]; !known {
		m.AddHost(e.Host, "")
	}
	if _, known := m.stepIndex[e.Step]; !known {
		m.stepIndex[e.Step] = len(m.steps)
		m.steps = append(m.steps, e.Step)
	}
	k := pair{e.Step, e.Host}
	c := m.cells[k]
	if c == nil {
		c = &cell{}
		m.cells[k] = c
	}
	if c.started.IsZero() && e.State != engine.StatePending && e.State != engine.StateBlocked && e.State != engine.StateSkipped {
		c.started = e.At
		if e.State.Final() && e.Took > 0 {
			c.started = e.At.Add(-e.Took)
		}
	}
	c.state, c.try, c.reason, c.message, c.why, c.output, c.updated = e.State, e.Try, e.Reason, e.Message, e.Why, e.Output, e.At
	c.planned = e.Reason == engine.ReasonPlanned || e.Reason == engine.ReasonPlannedUnknown
	if e.State.Final() {
		c.ended = e.At
	}
	m.lines.changed(k)
}

func (m *Model) forget() {
	m.operation, m.attempt = "", 0
	m.steps, m.stepIndex, m.cells = nil, map[string]int{}, map[pair]*cell{}
	m.lines.forget()
}
