//go:build e2e

package lifecycle

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// endOfStep is a line that says that a step has ended well on hosts, and how long it took.
var endOfStep = regexp.MustCompile(`(?m)^(\d\d:\d\d:\d\d)  (\S+) +(\S+) +(done|changed)(?: (\d\S*))?(?: |$)`)

// span is when a step was in hand on a host.
type span struct{ began, ended time.Time }

// spans reads when a step was in hand on each host from what the program prints.
func spans(t *testing.T, out, step string) map[string]span {
	t.Helper()
	found := map[string]span{}
	var last time.Time
	for _, m := range endOfStep.FindAllStringSubmatch(out, -1) {
		at, err := time.Parse(time.TimeOnly, m[1])
		if err != nil {
			t.Fatal(err)
		}
		for at.Before(last.Add(-time.Hour)) {
			at = at.Add(24 * time.Hour) // midnight has passed
		}
		last = at
		if m[3] != step {
			continue
		}
		var took time.Duration
		if m[5] != "" {
			if took, err = time.ParseDuration(m[5]); err != nil {
				t.Fatal(err)
			}
		}
		for _, host := range strings.Split(m[2], ",") {
			found[host] = span{at.Add(-took), at}
		}
	}
	return found
}

// requireOneByOne wants that hosts were taken in hand one after the other: that the first of some steps began on none of them before the last
// had ended on another that was in hand. Nodes that are not drained are always schedulable, so that watching them does not show it.
func requireOneByOne(t *testing.T, out, first, last string, hosts ...string) {
	t.Helper()
	// Lines have whole seconds, and a duration is rounded.
	const blur = 2 * time.Second
	began, ended := spans(t, out, first), spans(t, out, last)
	for _, host := range hosts {
		if _, ok := began[host]; !ok {
			t.Fatalf("nothing says that %s has ended on %s", first, host)
		}
		if _, ok := ended[host]; !ok {
			t.Fatalf("nothing says that %s has ended on %s", last, host)
		}
	}
	order := slices.SortedFunc(slices.Values(hosts), func(a, b string) int { return began[a].ended.Compare(began[b].ended) })
	for i, next := range order[1:] {
		if before := order[i]; began[next].began.Add(blur).Before(ended[before].ended) {
			t.Errorf("%s of %s began at %s, before %s of %s ended at %s", first, next, began[next].began.Format(time.TimeOnly),
				last, before, ended[before].ended.Format(time.TimeOnly))
		}
	}
}
