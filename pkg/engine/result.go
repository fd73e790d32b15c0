package engine

import (
	"fmt"
	"strings"
	"time"
)

// Outcome is how one step ended on one host.
type Outcome struct {
	// Step is the ID of the step, Host the name of the host.
	Step string
	Host string
	// State is final.
	State State
	// Reason is one CamelCase word, empty when all is well.
	Reason string
	// Err is why it failed; nil for every other state.
	Err error
	// Kind of Err, when it failed.
	Kind Kind
	// Message for people: the text of Err, what it is blocked by, or the Note of the verdict it ended with.
	Message string
	// Why it was not done when last looked at; in plan mode what would be changed.
	Why []string
	// Tries made; 0 when it never began.
	Tries int
	// StartedAt is when it began; zero when it never did.
	StartedAt time.Time
	// Took is the time from begin to end, waits between tries included.
	Took time.Duration
}

// StepResult is how one step ended on its hosts, in the order of the step's Hosts.
type StepResult struct {
	// ID and Title of the step.
	ID    string
	Title string
	// Hosts holds one outcome per host.
	Hosts []Outcome
}

// Summary counts (step, host) pairs by the state they ended in.
type Summary struct {
	Done    int
	Changed int
	Failed  int
	Blocked int
	Skipped int
}

func (s *Summary) count(state State) {
	switch state {
	case StateDone:
		s.Done++
	case StateChanged:
		s.Changed++
	case StateFailed:
		s.Failed++
	case StateBlocked:
		s.Blocked++
	case StateSkipped:
		s.Skipped++
	}
}

// Result is what a run came to.
type Result struct {
	// Mode the run was made in.
	Mode Mode
	// Steps in the order of the graph.
	Steps []StepResult
	// Summary counts all pairs.
	Summary Summary
	// Changed says that at least one step changed something; in plan mode, that one would.
	Changed bool
	// Cancelled says that the context ended before the run did.
	Cancelled bool
	// Stopped says that the run ended at a safe point on request, with something left to do.
	Stopped bool
	// StartedAt and Took of the whole run.
	StartedAt time.Time
	Took      time.Duration
}

// Outcome returns how a step ended on a host; false when the graph has no such pair.
func (r *Result) Outcome(step, host string) (Outcome, bool) {
	for _, s := range r.Steps {
		if s.ID != step {
			continue
		}
		for _, o := range s.Hosts {
			if o.Host == host {
				return o, true
			}
		}
	}
	return Outcome{}, false
}

// InState returns all outcomes that ended in a state, in the order of the graph.
func (r *Result) InState(state State) []Outcome {
	var out []Outcome
	for _, s := range r.Steps {
		for _, o := range s.Hosts {
			if o.State == state {
				out = append(out, o)
			}
		}
	}
	return out
}

// Failures returns what failed by itself, in the order of the graph. What is only blocked by it is in InState(StateBlocked).
func (r *Result) Failures() []Outcome { return r.InState(StateFailed) }

// err returns nil when everything ended well, and a *RunError otherwise.
func (r *Result) err(cause error) error {
	if r.Summary.Failed == 0 && r.Summary.Blocked == 0 && !r.Cancelled {
		return nil
	}
	if r.Stopped && !r.Cancelled {
		cause = ErrStopped
	}
	return &RunError{Failures: r.Failures(), Blocked: r.Summary.Blocked, Cancelled: r.Cancelled, Stopped: r.Stopped, cause: cause}
}

// maxShownFailures bounds the text of a RunError: with hundreds of hosts the rest is the same again.
const maxShownFailures = 5

// RunError says that a run did not end with everything as wanted. errors.Is and errors.As look into every failure, and find the
// context's error when the run was cancelled.
type RunError struct {
	// Failures holds everything that failed by itself.
	Failures []Outcome
	// Blocked counts the pairs that could not run because of them or of the cancellation.
	Blocked int
	// Cancelled says that the context ended first.
	Cancelled bool
	// Stopped says that it was asked to stop.
	Stopped bool

	cause error
}

// Error names the first five failures and counts the rest.
func (e *RunError) Error() string {
	var b strings.Builder
	switch {
	case e.Cancelled && len(e.Failures) == 0:
		b.WriteString("cancelled")
	case e.Cancelled:
		fmt.Fprintf(&b, "cancelled; %s", plural(len(e.Failures), "step", "failed"))
	case e.Stopped && len(e.Failures) == 0:
		b.WriteString(ErrStopped.Error())
	case e.Stopped:
		fmt.Fprintf(&b, "%v; %s", ErrStopped, plural(len(e.Failures), "step", "failed"))
	default:
		b.WriteString(plural(len(e.Failures), "step", "failed"))
	}
	if e.Blocked > 0 {
		fmt.Fprintf(&b, ", %d not run", e.Blocked)
	}
	for i, f := range e.Failures {
		if i == maxShownFailures {
			fmt.Fprintf(&b, "; and %d more", len(e.Failures)-i)
			break
		}
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s on %s: %s", sep, f.Step, f.Host, f.Message)
	}
	return b.String()
}

// Unwrap returns the errors of all failures, and why the run was cancelled if it was.
func (e *RunError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failures)+1)
	for _, f := range e.Failures {
		if f.Err != nil {
			errs = append(errs, f.Err)
		}
	}
	if (e.Cancelled || e.Stopped) && e.cause != nil {
		errs = append(errs, e.cause)
	}
	return errs
}

func plural(n int, noun, verb string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s %s", noun, verb)
	}
	return fmt.Sprintf("%d %ss %s", n, noun, verb)
}
