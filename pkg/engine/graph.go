package engine

import (
	"fmt"
	"strings"
)

// GraphProblem is one thing wrong with a graph or with the selection of its steps.
type GraphProblem struct {
	// Step is the ID of the step at fault; empty when it has none.
	Step string
	// Message says what is wrong.
	Message string
}

// GraphError lists everything wrong with a graph. It is a defect of the program that made the graph, or a step named by a user
// that does not exist; nothing has been run.
type GraphError struct {
	// Problems in the order of the graph.
	Problems []GraphProblem
}

// Error lists all problems.
func (e *GraphError) Error() string {
	parts := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		if p.Step == "" {
			parts = append(parts, p.Message)
			continue
		}
		parts = append(parts, fmt.Sprintf("step %s: %s", p.Step, p.Message))
	}
	return "the graph of steps cannot be run: " + strings.Join(parts, "; ")
}

// Validate says whether a graph can be run: every step has an ID of its own and a Check, every need names a step, hosts are named
// once, numbers are not negative, lanes are there and cannot lock each other up, and no step needs itself through any chain. Steps without hosts are allowed. It returns nil or a
// *GraphError with everything that is wrong.
func Validate(g Graph) error {
	v := validation{index: make(map[string]int, len(g.Steps))}
	for i := range g.Steps {
		v.step(i, &g.Steps[i])
	}
	for i := range g.Steps {
		v.needs(&g.Steps[i])
	}
	v.cycles(g)
	v.lanes(g)
	if len(v.problems) > 0 {
		return &GraphError{Problems: v.problems}
	}
	return nil
}

type validation struct {
	index    map[string]int
	problems []GraphProblem
}

func (v *validation) add(step, format string, args ...any) {
	v.problems = append(v.problems, GraphProblem{Step: step, Message: fmt.Sprintf(format, args...)})
}

func (v *validation) step(i int, s *Step) {
	if s.ID == "" || strings.ContainsAny(s.ID, " \t\r\n") {
		v.add(s.ID, "number %d of the graph has the ID %q; an ID must not be empty or contain white space", i, s.ID)
	}
	if first, ok := v.index[s.ID]; ok {
		v.add(s.ID, "the ID is used twice, by number %d and number %d of the graph", first, i)
	} else {
		v.index[s.ID] = i
	}
	if s.Check == nil {
		v.add(s.ID, "it has no Check, so nobody could tell whether it is done")
	}
	if s.Apply == nil && s.Mutates {
		v.add(s.ID, "it says it changes something but has no Apply")
	}
	if s.Window < 0 || s.Timeout < 0 || s.Retry.Attempts < 0 || s.Retry.Initial < 0 || s.Retry.Max < 0 {
		v.add(s.ID, "window, timeout and retry must not be negative")
	}
	seen := make(map[string]bool, len(s.Hosts))
	for _, h := range s.Hosts {
		switch {
		case h == "":
			v.add(s.ID, "it names a host without a name")
		case seen[h]:
			v.add(s.ID, "it names host %s twice", h)
		}
		seen[h] = true
	}
}

func (v *validation) needs(s *Step) {
	for _, n := range s.Needs {
		if _, ok := v.index[n.Step]; !ok {
			v.add(s.ID, "it needs step %q, which is not in the graph", n.Step)
		}
		if n.Scope < SameHost || n.Scope > AnyHost {
			v.add(s.ID, "its need of %s has the scope %d, which does not exist", n.Step, int(n.Scope))
		}
	}
}

// cycles reports each cycle once. A cycle of steps is refused even where no single host would run into it.
func (v *validation) cycles(g Graph) {
	const (
		unseen = iota
		open
		closed
	)
	mark := make([]int, len(g.Steps))
	var path []int
	var visit func(i int)
	visit = func(i int) {
		mark[i] = open
		path = append(path, i)
		for _, n := range g.Steps[i].Needs {
			j, ok := v.index[n.Step]
			if !ok {
				continue
			}
			switch mark[j] {
			case unseen:
				visit(j)
			case open:
				v.add(g.Steps[j].ID, "it needs itself: %s", cyclePath(g, path, j))
			}
		}
		path = path[:len(path)-1]
		mark[i] = closed
	}
	for i := range g.Steps {
		if mark[i] == unseen {
			visit(i)
		}
	}
}

// cyclePath spells the cycle that starts at step j of the path and comes back to it.
func cyclePath(g Graph, path []int, j int) string {
	var ids []string
	for k := len(path) - 1; k >= 0; k-- {
		ids = append([]string{g.Steps[path[k]].ID}, ids...)
		if path[k] == j {
			break
		}
	}
	return strings.Join(append(ids, g.Steps[j].ID), " needs ")
}
