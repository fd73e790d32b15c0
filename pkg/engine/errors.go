package engine

import (
	"context"
	"errors"
	"net"
)

// Kind says what can be done about an error.
type Kind int

const (
	// KindPermanent will fail again in the same way: it is not tried again.
	KindPermanent Kind = iota
	// KindRetryable may go away by itself: it is tried again.
	KindRetryable
	// KindNeedsHuman waits for a decision or an act of a person: it is not tried again.
	KindNeedsHuman
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case KindPermanent:
		return "Permanent"
	case KindRetryable:
		return "Retryable"
	case KindNeedsHuman:
		return "NeedsHuman"
	}
	return "Kind(?)"
}

// Detail is what a failure carries besides its text. Nothing in it may be secret: it ends in status and logs.
type Detail struct {
	// Reason is one CamelCase word that programs may compare.
	Reason string
	// ExitCode of the command that failed, if one did.
	ExitCode *int
	// Output holds the last lines the command printed, redacted.
	Output string
}

// Detailed is implemented by errors that carry a Detail; the engine copies it into events and outcomes. Errors of other packages
// can have it without importing anything but this type.
type Detailed interface {
	error
	// Detail of the failure.
	Detail() Detail
}

// kindError gives an error a kind.
type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// Retryable marks err as one that may go away by itself. It returns nil for nil.
func Retryable(err error) error { return mark(KindRetryable, err) }

// Permanent marks err as one that trying again will not cure. It returns nil for nil.
func Permanent(err error) error { return mark(KindPermanent, err) }

// NeedsHuman marks err as one that a person has to deal with. It returns nil for nil.
func NeedsHuman(err error) error { return mark(KindNeedsHuman, err) }

func mark(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &kindError{kind: kind, err: err}
}

// Advanced marks err as that of a try that came further than every one before it on the same host, so that it does not count among
// RetryPolicy.Attempts: a transfer that is cut off again and again comes to its end all the same. Whoever marks must see to it that a
// step cannot advance without end. It returns nil for nil.
func Advanced(err error) error {
	if err == nil {
		return nil
	}
	return &advancedError{err}
}

type advancedError struct{ err error }

func (e *advancedError) Error() string { return e.err.Error() }
func (e *advancedError) Unwrap() error { return e.err }

// detailError gives an error a Detail.
type detailError struct {
	detail Detail
	err    error
}

func (e *detailError) Error() string  { return e.err.Error() }
func (e *detailError) Unwrap() error  { return e.err }
func (e *detailError) Detail() Detail { return e.detail }

// WithDetail adds a reason, exit code and output to err. It returns nil for nil.
func WithDetail(err error, detail Detail) error {
	if err == nil {
		return nil
	}
	return &detailError{detail: detail, err: err}
}

// DetailOf returns the outermost Detail in err's chain, or an empty one.
func DetailOf(err error) Detail {
	if d, ok := errors.AsType[Detailed](err); ok {
		return d.Detail()
	}
	return Detail{}
}

// KindOf says what can be done about err. The outermost mark (Retryable, Permanent, NeedsHuman) counts; without one an error that
// answers `Retryable() bool` is believed, then one that answers `Temporary() bool` with true; the end of a context and failures of
// network connections are retryable. Everything else is permanent: trying again what nobody understands hides it. Of joined errors
// the worst decides: NeedsHuman before Permanent before Retryable. nil is permanent, there being nothing to try again.
func KindOf(err error) Kind {
	kind, _ := classify(err)
	return kind
}

// classify is KindOf, and says whether anything in the chain claimed that kind.
func classify(err error) (kind Kind, known bool) {
	for e := err; e != nil; {
		if k, ok := ownKind(e); ok {
			return k, true
		}
		switch u := e.(type) { //nolint:errorlint // the chain is walked here, one error at a time
		case interface{ Unwrap() error }:
			e = u.Unwrap()
		case interface{ Unwrap() []error }:
			return worstOf(u.Unwrap())
		default:
			e = nil
		}
	}
	return KindPermanent, false
}

// ownKind judges one error without looking into its chain.
func ownKind(err error) (Kind, bool) {
	switch e := err.(type) { //nolint:errorlint // the chain is walked here, one error at a time
	case *kindError:
		return e.kind, true
	case interface{ Retryable() bool }:
		if e.Retryable() {
			return KindRetryable, true
		}
		return KindPermanent, true
	case *net.OpError, *net.DNSError:
		return KindRetryable, true
	case interface{ Temporary() bool }:
		if e.Temporary() {
			return KindRetryable, true
		}
	}
	if err == context.Canceled || err == context.DeadlineExceeded { //nolint:errorlint // the chain is walked here, one error at a time
		return KindRetryable, true
	}
	return KindPermanent, false
}

// worstOf judges joined errors. A part that nothing is known of counts as permanent.
func worstOf(errs []error) (worst Kind, known bool) {
	rank := map[Kind]int{KindRetryable: 0, KindPermanent: 1, KindNeedsHuman: 2}
	worst = KindRetryable
	some := false
	for _, err := range errs {
		if err == nil {
			continue
		}
		k, ok := classify(err)
		known = known || ok
		if rank[k] > rank[worst] {
			worst = k
		}
		some = true
	}
	if !some {
		return KindPermanent, false
	}
	return worst, known
}
