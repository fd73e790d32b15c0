package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// check is one thing a scenario shows.
type check struct {
	name string
	ending
}

// scenario is a test whose subtests are its checks. It may have none but itself.
type scenario struct {
	pkg, name string
	took      time.Duration
	result    string
	checks    []check
	measured  []string
	place     int
}

// scenarios, in the order they began, group tests without subtests by the test they are part of.
func (r *run) scenarios() []scenario {
	var all []scenario
	for pkg, tests := range r.ended {
		found := map[string]*scenario{}
		for name, end := range tests {
			parent, childFailed := below(tests, name)
			if parent && (end.action != "fail" || childFailed) {
				continue
			}
			of := name
			if above, _, ok := cutLast(name, "/"); ok && !parent {
				of = above
			}
			if found[of] == nil {
				whole := tests[of]
				found[of] = &scenario{pkg: pkg, name: of, took: whole.took, result: whole.action, measured: whole.measured, place: whole.place}
			}
			one := check{name: name, ending: end}
			if of != name {
				found[of].measured = append(found[of].measured, end.measured...)
			}
			found[of].checks = append(found[of].checks, one)
		}
		for _, s := range found {
			slices.SortFunc(s.checks, func(a, b check) int { return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.name, b.name)) })
			slices.Sort(s.measured)
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b scenario) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.place, b.place), cmp.Compare(a.name, b.name))
	})
	return all
}

func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// printTable prints one line for each scenario, and below it what it measured.
func printTable(out io.Writer, all []scenario) error {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "\nSCENARIO\tCHECKS\tDURATION\tRESULT\n") // Flush tells
	for _, s := range all {
		passed := 0
		for _, c := range s.checks {
			if c.action == "pass" {
				passed++
			}
		}
		_, pkg, _ := cutLast(s.pkg, "/")
		_, _ = fmt.Fprintf(t, "%s: %s\t%d/%d\t%s\t%s\n", pkg, readable(s.name), passed, len(s.checks), s.took.Round(time.Second/10), s.result)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		for _, line := range s.measured {
			if _, err := fmt.Fprintf(out, "%s: %s\n", readable(s.name), line); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	hump = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	// article is a word of one letter, which sticks to the next: "AHost".
	article = regexp.MustCompile(`\b([A-Z])([A-Z][a-z])`)
)

// readable turns a test's name into words.
func readable(name string) string {
	top, rest, _ := strings.Cut(name, "/")
	text := hump.ReplaceAllString(strings.TrimPrefix(top, "Test"), "$1 $2")
	text = strings.ToLower(article.ReplaceAllString(text, "$1 $2"))
	if rest != "" {
		text += " / " + strings.ReplaceAll(strings.ReplaceAll(rest, "/", " / "), "_", " ")
	}
	return text
}

// measuredMark is what a test writes before a line that is to be read also when it passes.
const measuredMark = "measured: "

func measured(lines []string) []string {
	var found []string
	for _, line := range lines {
		if _, text, ok := strings.Cut(line, measuredMark); ok {
			found = append(found, strings.TrimSpace(text))
		}
	}
	return found
}

// said is the output that explains an ending.
func said(action string, lines []string) string {
	if action == "pass" {
		return ""
	}
	var text strings.Builder
	for _, line := range lines {
		if !strings.HasPrefix(line, "=== ") {
			text.WriteString(line)
		}
	}
	return text.String()
}
