package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// Duration renders a time span for people: 0.4s, 12.3s, 2m05s.
func Duration(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Bytes renders a size for people, in units of 1024.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n), ""
	for _, s := range []string{"KiB", "MiB", "GiB", "TiB"} {
		value, suffix = value/unit, s
		if value < unit {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, suffix)
}

// firstLine is the first line of a text with something on it, cleaned.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(inbound.Text(text)), "\n")
	return Clean(line)
}

// Clean makes a text one line that a terminal shows and does not obey.
func Clean(text string) string { return inbound.Line(text) }

// indent puts each line of a text behind a margin, cleaned.
func indent(text, margin string) string {
	lines := strings.Split(strings.TrimRight(inbound.Text(text), "\n"), "\n")
	for i := range lines {
		lines[i] = margin + Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// pageWidth is how wide text is that is not drawn on a terminal of a known size.
const pageWidth = 80

// hang writes a text after a beginning, and its further lines behind a margin, so that no line is longer than a page where words allow it.
func hang(begin, text, margin string) string {
	var b strings.Builder
	line, empty := begin, true
	for _, word := range strings.Fields(Clean(text)) {
		switch {
		case empty:
			line += word
		case ansi.StringWidth(line)+1+ansi.StringWidth(word) > pageWidth:
			b.WriteString(line + "\n")
			line = margin + word
		default:
			line += " " + word
		}
		empty = false
	}
	return b.String() + strings.TrimRight(line, " ")
}

// Paragraph is a text behind a margin, cleaned, with no line longer than a page where words allow it.
func Paragraph(text, margin string) string { return hang(margin, text, margin) }

// FoldTable folds the last column of a table with two columns, whose rows begin with two spaces, so that no row is longer than a page.
func FoldTable(table string) string {
	var b strings.Builder
	for row := range strings.Lines(table) {
		row = strings.TrimRight(row, "\n")
		// The second column begins after the last run of two spaces that the first cell is filled up with.
		cell := strings.TrimLeft(row, " ")
		name, rest, found := strings.Cut(cell, "  ")
		if !found || ansi.StringWidth(row) <= pageWidth {
			b.WriteString(row + "\n")
			continue
		}
		begin := len(row) - len(strings.TrimLeft(rest, " "))
		b.WriteString(hang("  "+name+strings.Repeat(" ", begin-len(name)-2), row[begin:], strings.Repeat(" ", begin)) + "\n")
	}
	return b.String()
}
