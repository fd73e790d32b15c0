package progress

import (
	"fmt"
	"io"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Problems writes what went wrong on hosts: step, reason, message, exit code and the last lines of output, one host after the
// other. What is blocked only because something else failed is counted, not listed.
func Problems(w io.Writer, status v1alpha1.ClusterOperationStatus) error {
	var b strings.Builder
	blocked := 0
	for _, p := range status.Problems {
		if p.Reason == "NeedFailed" {
			blocked++
			continue
		}
		fmt.Fprintf(&b, "  %s: %s: %s\n", Clean(p.Host), Clean(p.Step), Clean(p.Reason))
		if p.Message != "" {
			fmt.Fprintln(&b, indent(p.Message, "      "))
		}
		var notes []string
		if p.ExitCode != nil {
			notes = append(notes, fmt.Sprintf("exit code %d", *p.ExitCode))
		}
		if p.Attempts > 1 {
			notes = append(notes, fmt.Sprintf("tried %d times", p.Attempts))
		}
		if len(notes) > 0 {
			fmt.Fprintf(&b, "      (%s)\n", strings.Join(notes, ", "))
		}
		if p.Output != "" {
			fmt.Fprintln(&b, indent(p.Output, "      | "))
		}
	}
	if blocked > 0 {
		fmt.Fprintf(&b, "  %d more could not run because of these.\n", blocked)
	}
	if status.ProblemsLeftOut > 0 {
		fmt.Fprintf(&b, "  %d more problems are left out here; see `kubewright logs`.\n", status.ProblemsLeftOut)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
