package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/progress"
	"github.com/kubewright/kubewright/pkg/standalone"
)

// Exit codes.
const (
	// ExitOK means that what was asked for was observed.
	ExitOK = 0
	// ExitFailed means that it was not; trying again may help.
	ExitFailed = 1
	// ExitBadInput means that a flag, a file or a bundle is wrong; nothing was done.
	ExitBadInput = 2
	// ExitChanges means that a plan holds changes; only with --exit-code.
	ExitChanges = 3
	// ExitWaiting means that an operation waits for approval of its plan.
	ExitWaiting = 4
	// ExitInterrupted means that the user stopped it; the shell gives the same for a Ctrl-C (128 + SIGINT).
	ExitInterrupted = 130
)

// failure is an error with what to do about it and the exit code it leads to.
type failure struct {
	err  error
	hint string
	code int
	// told says that the user has read it already.
	told bool
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// badInput marks an error as one of the user's input.
func badInput(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &failure{err: err, hint: hint, code: ExitBadInput}
}

// failed marks an error with a hint.
func failed(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &failure{err: err, hint: hint, code: ExitFailed}
}

// report writes an error as one line and, if there is one, its hint as another, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	code, hint := ExitFailed, ""
	if f, ok := errors.AsType[*failure](err); ok {
		if f.told {
			return f.code
		}
		code, hint = f.code, f.hint
	} else if _, ok := errors.AsType[input.Errors](err); ok {
		code = ExitBadInput
	} else if errors.Is(err, standalone.ErrNoState) {
		code = ExitBadInput
	}
	// Whether the user can read this is beyond what can be helped from here.
	_, _ = fmt.Fprintf(w, "Error: %s\n", strings.TrimSpace(inLines(err)))
	if hint != "" {
		_, _ = fmt.Fprintf(w, "Hint: %s\n", hint)
	}
	return code
}

// inLines is the text of an error. What failed on several hosts has a line for each of them.
func inLines(err error) string {
	var failures []engine.Outcome
	var find func(err error)
	find = func(err error) {
		if run, ok := err.(*engine.RunError); ok { //nolint:errorlint // the tree is walked here
			failures = append(failures, run.Failures...)
			return
		}
		switch err := err.(type) { //nolint:errorlint // the tree is walked here
		case interface{ Unwrap() error }:
			find(err.Unwrap())
		case interface{ Unwrap() []error }:
			for _, inner := range err.Unwrap() {
				find(inner)
			}
		}
	}
	find(err)
	if len(failures) < 2 {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d steps failed:", len(failures))
	for _, f := range failures {
		fmt.Fprintf(&b, "\n  %s: %s: %s", f.Host, f.Step, strings.ReplaceAll(progress.Clean(f.Message), "\n", " "))
	}
	return b.String()
}
