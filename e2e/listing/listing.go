// Package listing writes down what hosts are like, so that a test can tell what was changed on them. What is looked at is a script for
// bash that prints one line for each thing there is.
package listing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/e2e/hosts"
)

// View is what each host looks like: lines by the host's name.
type View map[string][]string

// Take runs a script on hosts, on all of the fleet when none is named.
func Take(ctx context.Context, fleet *hosts.Fleet, script string, names ...string) (View, error) {
	if len(names) == 0 {
		for _, h := range fleet.Hosts() {
			names = append(names, h.Name)
		}
	}
	v := View{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		group.Go(func() error {
			out, err := fleet.Exec(ctx, name, "bash", "-c", script)
			if err != nil {
				return fmt.Errorf("list what is on %s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			v[name] = strings.Split(strings.TrimRight(string(out), "\n"), "\n")
			return nil
		})
	}
	return v, group.Wait()
}

// Only is the part of a view that is about these hosts.
func (v View) Only(names ...string) View {
	part := View{}
	for _, name := range names {
		part[name] = v[name]
	}
	return part
}

// Differences says what is gone and what is new, host by host; nothing when both are alike.
func Differences(before, after View) []string {
	var out []string
	for _, host := range slices.Sorted(maps.Keys(before)) {
		for _, line := range missing(before[host], after[host]) {
			out = append(out, host+" was changed, gone is: "+line)
		}
		for _, line := range missing(after[host], before[host]) {
			out = append(out, host+" was changed, new is: "+line)
		}
	}
	return out
}

// missing are the lines of a that b lacks.
func missing(a, b []string) []string {
	has := map[string]bool{}
	for _, line := range b {
		has[line] = true
	}
	var out []string
	for _, line := range a {
		if !has[line] {
			out = append(out, line)
		}
	}
	return out
}
