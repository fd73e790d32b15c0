package progress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/kubewright/kubewright/pkg/engine"
)

// Style draws a text in the manner of a state. PlainStyle leaves it as it is.
type Style func(state engine.State, text string) string

// PlainStyle draws without colours.
func PlainStyle(_ engine.State, text string) string { return text }

// ColourStyle draws with the colours of the terminal, as far as it has any.
func ColourStyle(state engine.State, text string) string {
	colour, ok := map[engine.State]lipgloss.Color{
		engine.StateRunning: "6", engine.StateRetrying: "3", engine.StateDone: "2", engine.StateChanged: "2",
		engine.StateFailed: "1", engine.StateBlocked: "3",
	}[state]
	if !ok {
		return lipgloss.NewStyle().Faint(true).Render(text)
	}
	return lipgloss.NewStyle().Foreground(colour).Render(text)
}

// marks stand before steps, one for each state.
var marks = map[engine.State]string{
	engine.StatePending: "·", engine.StateRunning: "▸", engine.StateRetrying: "↻", engine.StateDone: "✓", engine.StateChanged: "✓",
	engine.StateFailed: "✗", engine.StateBlocked: "■", engine.StateSkipped: "-",
}

// Frame draws a view into width columns and at most height rows; hint is the last row, if there is one.
func Frame(v View, width, height int, style Style, hint string) string {
	width, height = max(width, 20), max(height, 8)
	title := "Kubewright  " + v.Cluster
	if v.Operation != "" {
		title += fmt.Sprintf("  %s, attempt %d", v.Operation, v.Attempt)
	}
	rows := []string{fit(title+"  "+Duration(v.Elapsed), width), ""}
	if v.Headline != "" {
		rows = []string{rows[0], fit(firstLine(v.Headline), width), ""}
	}

	// Two rows of space and the hint are always there. Steps get what hosts leave, but three rows at least; hosts are cut then.
	const fixed, fewest = 3, 3
	hosts := hostRows(v.Hosts, max(height-len(rows)-fixed-fewest, 2), width, style)
	room := max(height-len(rows)-len(hosts)-fixed, 1)
	rows = append(rows, stepRows(v.Steps, room, width, style)...)
	rows = append(rows, "")
	rows = append(rows, hosts...)
	if hint != "" {
		rows = append(rows, "", style(engine.StatePending, fit(hint, width)))
	}
	return strings.Join(rows, "\n")
}

// stepRows draws steps in at most room rows: when there are more, a window around the first one that has not ended, with the number
// of those left out.
func stepRows(steps []StepView, room, width int, style Style) []string {
	from, to := 0, len(steps)
	if len(steps) > room {
		// The rows before and after tell what is left out; where there is no room for them, nothing does.
		visible := room - 2
		if visible < 1 {
			return stepRows(steps[current(steps):current(steps)+1], 1, width, style)
		}
		from = min(max(current(steps)-visible/3, 0), len(steps)-visible)
		to = from + visible
	}
	var rows []string
	if from > 0 {
		rows = append(rows, style(engine.StateDone, fit("  ✓ "+plural(from, "step")+" before", width)))
	}
	for _, s := range steps[from:to] {
		count, took := "", ""
		if s.Total > 0 {
			count = fmt.Sprintf("%d/%d", s.Ended, s.Total)
		}
		if s.Took > 0 {
			took = Duration(s.Took)
		}
		rows = append(rows, style(s.State, fit(fmt.Sprintf("  %s %-32s %7s %8s", marks[s.State], s.ID, count, took), width)))
	}
	if to < len(steps) {
		rows = append(rows, style(engine.StatePending, fit("  · "+plural(len(steps)-to, "step")+" to come", width)))
	}
	return rows
}

// current is the first step that has not ended well, or else the last one.
func current(steps []StepView) int {
	for i, s := range steps {
		if !s.State.OK() {
			return i
		}
	}
	return len(steps) - 1
}

// hostRows draws hosts in at most room rows, the heading included. When there are more, those that tell most come first.
func hostRows(hosts []HostView, room, width int, style Style) []string {
	more := 0
	if len(hosts)+1 > room {
		hosts = slices.Clone(hosts)
		slices.SortStableFunc(hosts, func(a, b HostView) int { return telling[b.State] - telling[a.State] })
		keep := max(room-2, 0)
		more = len(hosts) - keep
		hosts = hosts[:keep]
	}
	name, role, step := len("HOST"), len("ROLE"), len("STEP")
	for _, h := range hosts {
		name, role, step = max(name, len(h.Name)), max(role, len(h.Role)), max(step, len(h.Step))
	}
	name, step = min(name, 24), min(step, 32)
	row := func(h, r, s, state, message string) string {
		text := fmt.Sprintf("  %-*s", name, ansi.Truncate(h, name, "…"))
		if width >= roleFrom {
			text += fmt.Sprintf("  %-*s", role, r)
		}
		text += fmt.Sprintf("  %-*s  %-8s %s", step, ansi.Truncate(s, step, "…"), state, message)
		return fit(strings.TrimRight(text, " "), width)
	}
	rows := make([]string, 0, len(hosts)+1)
	if len(hosts) > 0 {
		rows = append(rows, style(engine.StateSkipped, row("HOST", "ROLE", "STEP", "STATE", "")))
	}
	for _, h := range hosts {
		rows = append(rows, style(h.State, row(h.Name, h.Role, h.Step, word(h.State, h.Planned), Clean(h.Message))))
	}
	if more > 0 {
		rows = append(rows, style(engine.StatePending, fit("  ... and "+plural(more, "more host"), width)))
	}
	return rows
}

// roleFrom is the width from which hosts are shown with their roles: on a narrow terminal what they do has the room.
const roleFrom = 100

// fit cuts a row to the width of the terminal, or it would wrap and break the count of rows.
func fit(text string, width int) string { return ansi.Truncate(text, width, "…") }
