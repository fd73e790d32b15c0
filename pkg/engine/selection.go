package engine

import (
	"fmt"
	"strings"
)

// selects says whether a pattern of Options.Only or Options.Skip means the step: its ID, or a part of the ID up to a slash.
func selects(pattern, id string) bool {
	pattern = strings.TrimSuffix(pattern, "/")
	return pattern != "" && (id == pattern || strings.HasPrefix(id, pattern+"/"))
}

func anySelects(patterns []string, id string) bool {
	for _, p := range patterns {
		if selects(p, id) {
			return true
		}
	}
	return false
}

// leftOut returns the IDs of the steps that the options leave out. A pattern that means no step at all is an error: silently
// running something else than asked for would be worse than not running.
func leftOut(g Graph, opts Options) (map[string]bool, error) {
	var problems []GraphProblem
	check := func(option string, patterns []string) {
		for _, p := range patterns {
			found := false
			for i := range g.Steps {
				found = found || selects(p, g.Steps[i].ID)
			}
			if !found {
				problems = append(problems, GraphProblem{Message: fmt.Sprintf("%s names %q, and no step has this ID or begins with it", option, p)})
			}
		}
	}
	check("only", opts.Only)
	check("skip", opts.Skip)
	if len(problems) > 0 {
		return nil, &GraphError{Problems: problems}
	}
	out := make(map[string]bool)
	for i := range g.Steps {
		id := g.Steps[i].ID
		if anySelects(opts.Skip, id) || (len(opts.Only) > 0 && !anySelects(opts.Only, id)) {
			out[id] = true
		}
	}
	return out, nil
}
