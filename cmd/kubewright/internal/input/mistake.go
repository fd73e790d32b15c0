package input

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a file.
type Error struct {
	// File and Line it is on, counted from 1; Line is 0 for what is about the file as a whole.
	File string
	Line int
	// Object is kind and name of what the document describes, Field the path within it, both as far as known.
	Object, Field string
	// Message says what is wrong, Next what to write instead; Next is empty when the message says it.
	Message, Next string
}

// Error is the place, as editors and compilers write it, and what is wrong there.
func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where += fmt.Sprintf(":%d", e.Line)
	}
	return where + ": " + e.what()
}

// what is the mistake without the file.
func (e *Error) what() string {
	parts := []string{}
	for _, part := range []string{e.Object, e.Field, e.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	text := strings.Join(parts, ": ")
	if e.Next != "" {
		text += ": " + e.Next
	}
	return text
}

// Errors are all mistakes that were found in a file.
type Errors []*Error

// Error lists them, each on a line of its own, in the order of the file.
func (e Errors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	sorted := slices.Clone(e)
	slices.SortStableFunc(sorted, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %d mistakes:", e[0].File, len(e))
	for _, one := range sorted {
		b.WriteString("\n  ")
		if one.Line > 0 {
			fmt.Fprintf(&b, "line %d: ", one.Line)
		}
		b.WriteString(one.what())
	}
	return b.String()
}

// Unwrap returns each of them.
func (e Errors) Unwrap() []error {
	out := make([]error, 0, len(e))
	for _, one := range e {
		out = append(out, one)
	}
	return out
}

// orNil is the list as an error, nil when it is empty.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
