package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one timed run.
type result struct {
	took time.Duration
	// load is the machine's load average over 1, 5 and 15 minutes when the run began.
	load string
	// costs are "host connections/requests" as kubewright prints them; nil where nothing was printed.
	costs []string
	// parts are moments on the way, or steps with what they took.
	parts []string
}

type results struct{ floor, kubewright, again *result }

// costLine is the line of kubewright's summary that tells connections and requests of every host.
var costLine = regexp.MustCompile(`(?m)^\s*Connections/requests\s+(.+)$`)

// slowLine is the line of kubewright's summary with the slowest steps.
var slowLine = regexp.MustCompile(`(?m)^\s*Slowest steps\s+(.+)$`)

// ownLine is the line that tells when the control plane of kubewright itself was up, which the floor has no need of.
var ownLine = regexp.MustCompile(`(?m)^Control plane on this machine is up after ([^,]+),`)

func measured(began time.Time, load, output string) *result {
	r := &result{took: time.Since(began).Round(100 * time.Millisecond), load: load}
	if found := costLine.FindStringSubmatch(output); found != nil {
		r.costs = strings.Split(strings.TrimSpace(found[1]), ", ")
	}
	if found := slowLine.FindStringSubmatch(output); found != nil {
		r.parts = strings.Split(strings.TrimSpace(found[1]), ", ")
	}
	if found := ownLine.FindStringSubmatch(output); found != nil {
		r.parts = append(r.parts, "its own control plane "+found[1])
	}
	return r
}

// loadAverage is empty where the kernel does not tell.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

func (r *results) print(w io.Writer) error {
	t := newTable(w)
	_, _ = fmt.Fprintf(t, "\n3 CONTROL PLANES + 1 WORKER, %s\tTIME\tLOAD BEFORE (1, 5, 15 MIN)\tCONNECTIONS/REQUESTS PER HOST\n", version)
	row := func(name string, one *result) {
		if one != nil {
			_, _ = fmt.Fprintf(t, "%s\t%.1f s\t%s\t%s\n", name, one.took.Seconds(), one.load, list(one.costs))
		}
	}
	row("scripted kubeadm (floor)", r.floor)
	row("kubewright up", r.kubewright)
	if r.floor != nil && r.kubewright != nil {
		_, _ = fmt.Fprintf(t, "ratio kubewright / floor\t%.2f\tgoal: at most 1.0\t\n", r.kubewright.took.Seconds()/r.floor.took.Seconds())
	}
	row("kubewright up, nothing to do", r.again)
	if err := t.Flush(); err != nil {
		return err
	}
	if r.floor != nil {
		_, _ = fmt.Fprintf(w, "\nfloor, seconds after its start: %s\n", list(r.floor.parts))
	}
	if r.kubewright != nil {
		_, _ = fmt.Fprintf(w, "kubewright, slowest steps: %s\n", list(r.kubewright.parts))
	}
	return nil
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 4, 2, ' ', 0) }

// seconds is how long it took; "-" when it was not run.
func (r *result) seconds() string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f s", r.took.Seconds())
}

// perHost is what every host cost; "-" when nothing was printed.
func (r *result) perHost() string {
	if r == nil || len(r.costs) == 0 {
		return "-"
	}
	return list(r.costs)
}

func ratio(kubewright, floor *result) string {
	if kubewright == nil || floor == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", kubewright.took.Seconds()/floor.took.Seconds())
}

func loads(all ...*result) string {
	var found []string
	for _, r := range all {
		if r != nil {
			found = append(found, r.load)
		}
	}
	return strings.Join(found, "; ")
}

func list(parts []string) string { return strings.Join(parts, ", ") }
