package resource

import (
	"fmt"
	"strings"
)

const (
	// maxDiffLines is the most lines a side may have for a line by line comparison, which costs their product.
	maxDiffLines = 800
	// maxDiffShown bounds the lines of a diff.
	maxDiffShown = 60
	diffContext  = 2
)

type edit struct {
	op   byte
	text string
}

// unifiedDiff shows what would change, in the manner of diff -u without line numbers, bounded.
func unifiedDiff(name, old, new string) string {
	a, b := splitLines(old), splitLines(new)
	if len(a) > maxDiffLines || len(b) > maxDiffLines || strings.ContainsRune(old, 0) {
		return fmt.Sprintf("%s: %d bytes on the host, %d wanted", name, len(old), len(new))
	}
	edits := diffLines(a, b)
	keep := make([]bool, len(edits))
	for i, e := range edits {
		if e.op != ' ' {
			for j := max(0, i-diffContext); j <= min(len(edits)-1, i+diffContext); j++ {
				keep[j] = true
			}
		}
	}
	var out strings.Builder
	shown, gap := 0, false
	for i, e := range edits {
		if !keep[i] {
			gap = true
			continue
		}
		if shown == maxDiffShown {
			out.WriteString("... (more)\n")
			break
		}
		if gap && shown > 0 {
			out.WriteString("...\n")
		}
		gap = false
		fmt.Fprintf(&out, "%c%.500s\n", e.op, e.text)
		shown++
	}
	return out.String()
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// diffLines walks the table of longest common subsequences.
func diffLines(a, b []string) []edit {
	lcs := make([][]int, len(a)+1)
	for i := range lcs {
		lcs[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var edits []edit
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			edits = append(edits, edit{' ', a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || lcs[i+1][j] >= lcs[i][j+1]):
			edits = append(edits, edit{'-', a[i]})
			i++
		default:
			edits = append(edits, edit{'+', b[j]})
			j++
		}
	}
	return edits
}
