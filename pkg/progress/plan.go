package progress

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

// Planned is what would be done.
type Planned struct {
	Changes []v1alpha1.PlannedChange
	// LeftOut counts the changes that a status had no room for.
	LeftOut int
	// Bundle is what OtherBundle says.
	Bundle string
}

// Plan writes what would be done: what it comes to first, then host by host in the order of the plan. What a host lacks altogether is
// counted, and so is the content it is given, unless everything is asked for with all; what is changed is always written with its old and
// new values. Hosts that have the same done to them share a paragraph.
func Plan(w io.Writer, p Planned, all bool) error {
	var b strings.Builder
	if len(p.Changes) == 0 {
		if p.Bundle != "" {
			writeRow(&b, "Bundle", p.Bundle)
		}
		b.WriteString("Nothing would be changed.\n")
	} else {
		summary := plan.Summarise(p.Changes)
		writePlanSummary(&b, summary, p.Bundle)
		writePlanHosts(&b, p.Changes, summary.Joining(), all)
		if !all {
			b.WriteString("\nWith -v everything that is only counted here is listed.\n")
		}
	}
	if p.LeftOut > 0 {
		b.WriteString("\n" + hang("", pluralAre(p.LeftOut, "more change")+" left out here: the status of an operation has no room for them; `kubewright plan` shows all.", "") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func pluralAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return plural(n, what) + " are"
}

// writePlanSummary says who becomes what, and what the change costs those that are there already.
func writePlanSummary(b *strings.Builder, s plan.Summary, bundle string) {
	row := func(what, text string) { writeRow(b, what, text) }
	b.WriteString("Summary\n")
	row("Bundle", bundle)
	row("Begins on", Clean(s.Begins))
	row("Control planes", names(s.Joins))
	row("Workers", names(s.Workers))
	row("Leave", names(s.Leaving))
	row("Content", content(s.ContentBytes))
	drained := names(s.Drained)
	if drained == "" {
		drained = "no node"
	}
	row("Drained", drained)
	var restarts []string
	for _, r := range s.Restarts {
		text := r.What
		if len(r.Hosts) > 0 {
			text += " on " + names(r.Hosts)
		}
		restarts = append(restarts, text)
	}
	if len(restarts) == 0 {
		restarts = []string{"nothing that runs"}
	}
	row("Restarted", strings.Join(restarts, "; "))
}

// writeRow writes a line of the summary; nothing when there is nothing to say.
func writeRow(b *strings.Builder, what, text string) {
	if text != "" {
		b.WriteString(hang(fmt.Sprintf("  %-14s ", what), text, strings.Repeat(" ", 17)) + "\n")
	}
}

func names(hosts []string) string { return Clean(strings.Join(hosts, ", ")) }

// content sums up what hosts are given.
func content(bytes map[string]int64) string {
	if len(bytes) == 0 {
		return ""
	}
	var sum, most int64
	for _, n := range bytes {
		sum, most = sum+n, max(most, n)
	}
	if len(bytes) == 1 {
		return Bytes(sum) + " onto " + names(slices.Collect(maps.Keys(bytes)))
	}
	return fmt.Sprintf("%s onto %s, at most %s onto one", Bytes(sum), plural(len(bytes), "host"), Bytes(most))
}

// writePlanHosts writes a paragraph for each host, or for several with the same.
func writePlanHosts(b *strings.Builder, changes []v1alpha1.PlannedChange, joining []string, all bool) {
	var hosts []string
	byHost := map[string][]v1alpha1.PlannedChange{}
	for _, change := range changes {
		if _, known := byHost[change.Host]; !known {
			hosts = append(hosts, change.Host)
		}
		byHost[change.Host] = append(byHost[change.Host], change)
	}
	var texts []string
	with := map[string][]string{}
	for _, host := range hosts {
		var text strings.Builder
		for _, change := range byHost[host] {
			writeChange(&text, change, !all && slices.Contains(joining, host), all)
		}
		if _, known := with[text.String()]; !known {
			texts = append(texts, text.String())
		}
		with[text.String()] = append(with[text.String()], host)
	}
	for _, text := range texts {
		fmt.Fprintf(b, "\n%s\n%s", hang("", names(with[text]), ""), text)
	}
}

// writeChange writes one step on one host. On a host that is made from nothing it is one line of counts.
func writeChange(b *strings.Builder, change v1alpha1.PlannedChange, made, all bool) {
	var counted []plan.Difference
	var shown []string
	for line := range strings.Lines(change.Why) {
		d := plan.Reason(line)
		if !all && d.Kind != "" && (made || d.Kind == "blob" || d.Kind == "image") {
			counted = append(counted, d)
			continue
		}
		shown = append(shown, strings.TrimRight(line, "\n"))
	}
	step := "  " + Clean(change.Step)
	switch {
	case len(counted) > 0:
		b.WriteString(hang(fmt.Sprintf("%-30s ", step), counts(counted), strings.Repeat(" ", 31)) + "\n")
	case made && len(shown) > 0:
		b.WriteString(hang(fmt.Sprintf("%-30s ", step), shown[0], strings.Repeat(" ", 31)) + "\n")
		return
	default:
		b.WriteString(step + "\n")
	}
	for _, line := range shown {
		if strings.HasPrefix(line, " ") {
			// A value or a line of a file: where it begins matters.
			b.WriteString("      " + Clean(line) + "\n")
			continue
		}
		b.WriteString(hang("      ", line, "        ") + "\n")
	}
}

// kinds are the words for what is counted, in this order.
var kinds = []struct{ kind, one, more string }{
	{"blob", "blob", "blobs"}, {"module", "kernel module", "kernel modules"}, {"sysctl", "kernel parameter", "kernel parameters"},
	{"image", "image", "images"}, {"dir", "directory", "directories"}, {"file", "file", "files"}, {"symlink", "link", "links"},
	{"unit", "unit", "units"}, {"absent", "file that goes", "files that go"}, {"probe", "thing to wait for", "things to wait for"},
}

// counts says of how many things of each kind something is missing.
func counts(differences []plan.Difference) string {
	number := map[string]int{}
	var bytes int64
	var parts []string
	for _, d := range differences {
		number[d.Kind]++
		if n, ok := hostapi.MissingBytes(d.Why); ok {
			bytes += n
		}
		if d.Kind == "command" {
			parts = append(parts, "runs "+d.Name)
		}
	}
	for _, k := range kinds {
		switch n := number[k.kind]; n {
		case 0:
			continue
		case 1:
			parts = append(parts, "1 "+k.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, k.more))
		}
		if k.kind == "blob" {
			parts[len(parts)-1] += " of " + Bytes(bytes)
		}
	}
	return strings.Join(parts, ", ")
}
