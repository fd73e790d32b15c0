package engine

import (
	"context"
	"time"
)

// Scope says on which hosts a needed step must have ended well.
type Scope int

const (
	// SameHost needs the step on the same host. Where the needed step does not run on that host there is nothing to wait for.
	SameHost Scope = iota
	// AllHosts needs the step on every host it runs on.
	AllHosts
	// AnyHost needs the step on at least one of its hosts.
	AnyHost
)

// String names the scope as it is written in code and messages.
func (s Scope) String() string {
	switch s {
	case SameHost:
		return "SameHost"
	case AllHosts:
		return "AllHosts"
	case AnyHost:
		return "AnyHost"
	}
	return "Scope(?)"
}

// Need is an edge of the graph: the step that has it starts on a host only after Step ended well in the given Scope. A step
// without hosts, and one left out on request, counts as ended well.
type Need struct {
	// Step is the ID of the needed step.
	Step string
	// Scope says on which hosts.
	Scope Scope
}

// VerdictState is what a Check found.
type VerdictState int

const (
	// Unknown means that the check could not tell yet. It is the zero value, so that an empty Verdict never passes for Done.
	Unknown VerdictState = iota
	// Done means the host is as the step wants it.
	Done
	// Needed means something has to be done.
	Needed
)

// String names the verdict.
func (s VerdictState) String() string {
	switch s {
	case Done:
		return "Done"
	case Needed:
		return "Needed"
	case Unknown:
		return "Unknown"
	}
	return "VerdictState(?)"
}

// Verdict is the answer of a Check.
type Verdict struct {
	// State found.
	State VerdictState
	// Why it is not Done, one short line per difference. It is shown to people: no secrets.
	Why []string
	// Note is shown with a Done that ends the step: what people should know although nothing has to be done. No secrets.
	Note string
	// RetryAfter is how long to wait before asking again; 0 leaves it to the engine (100 ms growing to 2 s).
	RetryAfter time.Duration
}

// RetryPolicy says how often, and how far apart, one step is tried on one host. A zero field takes its default.
type RetryPolicy struct {
	// Attempts in all, the first included. Default 5.
	Attempts int
	// Initial wait before the second try; it doubles with each further one. Default 1 s.
	Initial time.Duration
	// Max wait between two tries. Default 30 s.
	Max time.Duration
}

// Step is one thing to bring about on a number of hosts.
//
// For each host the engine waits for the needs and for a free slot, then asks Check. Done ends it. Needed leads through Guard and
// Apply to another Check, which must come to Done before the step counts as done: nothing succeeds before it is observed. So one
// Check gives idempotence, resumption, plan mode and drift detection.
//
// Check, Guard and Apply are called from several goroutines at once for different hosts, never twice at once for the same host.
// They must return soon after their context ends: Run waits for them. A panic in one of them fails that step on that host only.
type Step struct {
	// ID is stable over releases, for example "control-plane/init". It is used in status, logs, metrics and to select steps.
	ID string
	// Title is what people read, for example "Initialise the first control plane".
	Title string
	// Hosts the step runs on; they start in this order where a window or a group holds them back. None makes the step vacuous.
	Hosts []string
	// Window is how many hosts may be in this step at a time; 0 means all at once. A host that waits for a retry keeps its place.
	Window int
	// Needs are the steps that must have ended well before.
	Needs []Need
	// Exclusive names a group of steps of which only one (step, host) may be in hand at a time, for example "control-plane".
	// The place is kept over retries, because a failed try may have left its work half done.
	Exclusive string
	// Lane names the Lane of the graph the step is part of; empty means none.
	Lane string
	// Guard is asked right before Apply and may refuse, for example when the change would lose quorum. Optional. A refusal is
	// permanent unless its error says otherwise (see KindOf).
	Guard func(ctx context.Context, host string) error
	// Check says how things stand. It must not change anything. Required.
	Check func(ctx context.Context, host string) (Verdict, error)
	// Apply brings the wanted state about. report passes a line of progress on to people and may be called at any rate. A nil
	// Apply makes a step that only waits: Check is asked again and again until Done or Timeout.
	Apply func(ctx context.Context, host string, report func(message string)) error
	// Mutates says that Apply changes something that outlives the run. Such a step ends as Changed, and stands in a plan;
	// without it, a step that had to apply ends as Done (think of opening a connection). In plan mode Apply is never called,
	// whatever this says.
	Mutates bool
	// Timeout of each phase of one try: reaching a verdict, Guard and Apply together, and observing Done after Apply. 0 means
	// DefaultTimeout.
	Timeout time.Duration
	// Stall, when set, takes the place of Timeout for Guard and Apply together: they may take as long as report is called, and are cut off
	// when it was not for so long. It is for what moves content, of which nobody knows how fast it comes.
	Stall time.Duration
	// Retry of retryable failures, on each host by itself. A step without Apply is not tried again after its Timeout.
	Retry RetryPolicy
}

// Graph is a set of steps. Their order does not matter to correctness; where several could start, the earlier one goes first,
// and everything shown keeps this order.
type Graph struct {
	// Steps of the graph.
	Steps []Step
	// Lanes that steps are part of.
	Lanes []Lane
}

// Defaults for what a Step leaves at zero.
const (
	// DefaultTimeout is the limit of one phase of a step that names none.
	DefaultTimeout = 10 * time.Minute
	// DefaultAttempts is how often a step is tried on a host.
	DefaultAttempts = 5
	// DefaultInitialWait comes before the second try.
	DefaultInitialWait = time.Second
	// DefaultMaxWait is the longest wait between two tries.
	DefaultMaxWait = 30 * time.Second
)

// filled returns the policy with defaults in place of zero fields.
func (p RetryPolicy) filled() RetryPolicy {
	if p.Attempts == 0 {
		p.Attempts = DefaultAttempts
	}
	if p.Initial == 0 {
		p.Initial = DefaultInitialWait
	}
	if p.Max == 0 {
		p.Max = DefaultMaxWait
	}
	if p.Max < p.Initial {
		p.Max = p.Initial
	}
	return p
}
