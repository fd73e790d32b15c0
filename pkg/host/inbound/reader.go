package inbound

import (
	"encoding/json"
	"fmt"
	"io"
)

// Limits bound one JSON document.
type Limits struct {
	// Bytes as they come.
	Bytes int64
	// Values bounds what the document holds: its objects, lists, and members of either. An object in a list counts as elementWeight more: three
	// bytes ("{},") become a structure of up to 1 KiB in memory, so that a bound on bytes alone bounds nothing.
	Values int64
}

// elementWeight is what an object in a list counts beside its members.
const elementWeight = 8

// Plus returns the sum of both.
func (l Limits) Plus(more Limits) Limits {
	return Limits{Bytes: l.Bytes + more.Bytes, Values: l.Values + more.Values}
}

// Times returns n times the limits.
func (l Limits) Times(n int) Limits {
	return Limits{Bytes: l.Bytes * int64(n), Values: l.Values * int64(n)}
}

// TooLargeError says that an answer is larger than anything that was asked for. Who answered so once does it again.
type TooLargeError struct {
	// What was asked for, in words.
	What string
	// Limit is the one that was reached, in words.
	Limit string
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the answer to %s has more than %s: what answers there is broken or not what it should be", e.What, e.Limit)
}

// Reader passes JSON on and fails with a *TooLargeError when it exceeds its limits, before what exceeds them was passed on.
type Reader struct {
	from   io.Reader
	what   string
	limits Limits
	left   Limits

	inString, escaped bool
	last              byte // that was not blank
	failed            error
}

// NewReader returns a Reader of what was asked for.
func NewReader(from io.Reader, what string, limits Limits) *Reader {
	return &Reader{from: from, what: what, limits: limits, left: limits}
}

// Next gives the limits to the next document of a stream. What a decoder has read ahead of it already counts for nothing.
func (r *Reader) Next() { r.left = r.limits }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.failed != nil {
		return 0, r.failed
	}
	n, err := r.from.Read(p)
	r.left.Bytes -= int64(n)
	r.count(p[:n])
	switch {
	case r.left.Bytes < 0:
		r.failed = &TooLargeError{What: r.what, Limit: fmt.Sprintf("%d KiB", r.limits.Bytes>>10)}
	case r.left.Values < 0:
		r.failed = &TooLargeError{What: r.what, Limit: fmt.Sprintf("%d values", r.limits.Values)}
	default:
		return n, err
	}
	return 0, r.failed
}

// count takes the values that begin in a part of a document off what is left.
func (r *Reader) count(part []byte) {
	for _, c := range part {
		switch {
		case r.escaped:
			r.escaped = false
		case r.inString:
			r.escaped, r.inString = c == '\\', c != '"'
		case c == '"':
			r.inString = true
		case c == ' ', c == '\n', c == '\t', c == '\r':
			continue
		case c == '{' && (r.last == '[' || r.last == ','):
			r.left.Values -= elementWeight
		case c == '{', c == '[', c == ',':
			r.left.Values--
		}
		r.last = c
	}
}

// Decode reads one JSON document of what was asked for into a value, whose texts are clean then. Errors: *TooLargeError, those of encoding/json
// and of the reader.
func Decode(from io.Reader, what string, limits Limits, into any) error {
	if err := json.NewDecoder(NewReader(from, what, limits)).Decode(into); err != nil {
		return err
	}
	Clean(into)
	return nil
}
