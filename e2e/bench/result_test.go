package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const summary = `
Control plane on this machine is up after 3.4s, state in /state
Cluster default/bench is ready: 4 of 4 nodes at v1.36.3, 3 etcd members, after 1m41s.
  Slowest steps         cluster/nodes 60s, control-plane/join 23s
  Traffic               2 connections, 5 requests (at most 3 to one host), 0 B of content, 0 B of it over SSH
  Connections/requests  n1 1/3, n2 1/2
`

func TestMeasuredReadsWhatKubewrightPrints(t *testing.T) {
	for _, c := range []struct {
		name, output string
		costs, parts []string
	}{
		{"a summary names every host", summary, []string{"n1 1/3", "n2 1/2"}, []string{"cluster/nodes 60s", "control-plane/join 23s", "its own control plane 3.4s"}},
		{"without a summary nothing is made up", "stopped\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := measured(time.Now(), "", c.output)
			if !slices.Equal(got.costs, c.costs) {
				t.Errorf("costs are %q, want %q", got.costs, c.costs)
			}
			if !slices.Equal(got.parts, c.parts) {
				t.Errorf("parts are %q, want %q", got.parts, c.parts)
			}
		})
	}
}

func TestTableShowsTheRatioOfBothRuns(t *testing.T) {
	var out strings.Builder
	r := results{floor: &result{took: 100 * time.Second, load: "1 2 3"}, kubewright: &result{took: 93 * time.Second}, again: measured(time.Now(), "", summary)}
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"100.0 s", "93.0 s", "0.93", "1 2 3", "n1 1/3, n2 1/2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestLifecycleTableShowsARatioForEachActOfBoth(t *testing.T) {
	r := newLifecycleResults()
	r.floor[actUpgrade] = &result{took: 200 * time.Second, load: "1 2 3"}
	r.kubewright[actUpgrade] = &result{took: 250 * time.Second, load: "4 5 6"}
	r.kubewright[actNothing] = measured(time.Now(), "", summary)
	var out strings.Builder
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200.0 s", "250.0 s", "1.25", "at most 1.3", "1 2 3; 4 5 6", "n1 1/3, n2 1/2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}
