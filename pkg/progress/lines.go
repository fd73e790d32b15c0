package progress

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
)

const (
	// quickStep is how long a step must run before plain lines tell that it does; most end sooner, and their end is told.
	quickStep = 2 * time.Second
	// messageEvery is how often a step under way tells its progress in plain lines.
	messageEvery = 10 * time.Second
	// shownTook is what a line says of how long something took, at least: less would be written as 0.0s.
	shownTook = 50 * time.Millisecond
)

// Line is one thing to tell, about one step on the hosts it holds for.
type Line struct {
	At    time.Time
	Hosts []string
	Step  string
	State engine.State
	// Planned says that it was only found out that something would change.
	Planned bool
	// Took is set on final states.
	Took    time.Duration
	Message string
}

// lineState remembers what was told.
type lineState struct {
	dirty map[pair]bool
	told  map[pair]told
	// headline last told.
	headline string
}

type told struct {
	state   engine.State
	message string
	at      time.Time
}

func (l *lineState) changed(k pair) { l.dirty[k] = true }
func (l *lineState) forget() {
	l.dirty, l.told = map[pair]bool{}, map[pair]told{}
}

// Lines returns what has to be told since the last call; call it about every second, and once at the end with last set. Steps that
// end quickly are told once; hosts with the same news share a line; hosts that are blocked are told once per host.
func (m *Model) Lines(now time.Time, last bool) []Line {
	var lines []Line
	if m.headline != "" && m.headline != m.lines.headline && len(m.cells) == 0 {
		lines = append(lines, Line{At: now, Message: m.headline})
	}
	m.lines.headline = m.headline
	blocked := map[string][]string{}
	for _, k := range m.dirtyInOrder() {
		c := m.cells[k]
		if c.state == engine.StateBlocked {
			blocked[k.host] = append(blocked[k.host], k.step)
			delete(m.lines.dirty, k)
			continue
		}
		if !m.due(k, c, now, last) {
			continue
		}
		delete(m.lines.dirty, k)
		message := c.text()
		m.lines.told[k] = told{state: c.state, message: message, at: now}
		line := Line{At: c.updated, Hosts: []string{k.host}, Step: k.step, State: c.state, Planned: c.planned, Message: message}
		if c.state.Final() && !c.started.IsZero() {
			line.Took = c.ended.Sub(c.started)
		}
		lines = join(lines, line)
	}
	for _, host := range m.hosts {
		if steps := blocked[host]; len(steps) > 0 {
			c := m.cells[pair{steps[0], host}]
			lines = join(lines, Line{At: c.updated, Hosts: []string{host}, Step: steps[0], State: engine.StateBlocked,
				Message: strings.TrimSpace(fmt.Sprintf("%s%s", andMore(len(steps)-1), c.text()))})
		}
	}
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].At.Before(lines[j].At) })
	return lines
}

// due says whether news of a cell is told now.
func (m *Model) due(k pair, c *cell, now time.Time, last bool) bool {
	before, known := m.lines.told[k]
	switch c.state {
	case engine.StatePending, engine.StateSkipped:
		return false
	case engine.StateRunning:
		if known && before.state == engine.StateRunning {
			return c.text() != before.message && now.Sub(before.at) >= messageEvery
		}
		return now.Sub(c.started) >= quickStep && !last
	case engine.StateRetrying:
		return !known || before.state != engine.StateRetrying || before.message != c.text()
	}
	return true
}

// dirtyInOrder lists what changed, by step and then by host, in the order of the plan.
func (m *Model) dirtyInOrder() []pair {
	var out []pair
	for _, step := range m.steps {
		for _, host := range m.hosts {
			if k := (pair{step, host}); m.lines.dirty[k] {
				out = append(out, k)
			}
		}
	}
	return out
}

// join adds a line, or its hosts to one that tells the same. What failed has a line for each host.
func join(lines []Line, line Line) []Line {
	for i := range lines {
		l := &lines[i]
		if l.Step == line.Step && l.State == line.State && l.State != engine.StateFailed && l.Planned == line.Planned && l.Message == line.Message && len(l.Hosts) > 0 {
			l.Hosts = append(l.Hosts, line.Hosts...)
			l.Took = max(l.Took, line.Took)
			if line.At.After(l.At) {
				l.At = line.At
			}
			return lines
		}
	}
	return append(lines, line)
}

func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return "(and " + plural(n, "more step") + ") "
}

// shownHosts is how many hosts a line names.
const shownHosts = 4

// shortList names hosts, or the first ones and how many there are more.
func shortList(hosts []string) string {
	if len(hosts) <= shownHosts {
		return strings.Join(hosts, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:2], ","), len(hosts)-2)
}

// String renders the line: time of day, host, step, state, how long it took, message.
func (l Line) String() string {
	if l.Step == "" {
		return strings.TrimRight(fmt.Sprintf("%s  %s", l.At.Format(time.TimeOnly), l.Message), " ")
	}
	state := strings.ToLower(word(l.State, l.Planned))
	if l.Took >= shownTook {
		state += " " + Duration(l.Took)
	}
	return strings.TrimRight(fmt.Sprintf("%s  %-20s %-28s %-15s %s", l.At.Format(time.TimeOnly), shortList(l.Hosts), l.Step, state, l.Message), " ")
}
