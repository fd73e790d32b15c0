package engine

import "time"

// State of one step on one host.
type State string

const (
	// StatePending has not begun. An event with it says that the needs are met but the window or group is full.
	StatePending State = "Pending"
	// StateRunning is being checked, applied or observed. Progress messages keep this state.
	StateRunning State = "Running"
	// StateRetrying failed and waits for its next try.
	StateRetrying State = "Retrying"
	// StateDone was found as wanted. Final.
	StateDone State = "Done"
	// StateChanged was applied and then observed as wanted; in plan mode it would be applied. Final.
	StateChanged State = "Changed"
	// StateFailed will not be tried again in this run. Final.
	StateFailed State = "Failed"
	// StateBlocked cannot run because something it needs did not end well, or because the run was cancelled. Final.
	StateBlocked State = "Blocked"
	// StateSkipped was left out: on request, or in plan mode because it only waits for what the plan would change. Final; what
	// needs it goes on.
	StateSkipped State = "Skipped"
)

// Final says that the state will not change any more in this run.
func (s State) Final() bool {
	switch s {
	case StateDone, StateChanged, StateFailed, StateBlocked, StateSkipped:
		return true
	}
	return false
}

// OK says that the state is final and lets the steps that need it go on.
func (s State) OK() bool { return s == StateDone || s == StateChanged || s == StateSkipped }

// Reasons the engine itself gives. Errors that carry a Detail bring their own.
const (
	// ReasonError is a failure without a reason of its own.
	ReasonError = "Error"
	// ReasonTimeout is a phase that took longer than the step's Timeout.
	ReasonTimeout = "Timeout"
	// ReasonGuardRefused is a Guard that said no.
	ReasonGuardRefused = "GuardRefused"
	// ReasonNotObserved is an Apply that succeeded though Check did not come to Done, or a wait that ended without Done.
	ReasonNotObserved = "NotObserved"
	// ReasonUnknown is a Check that could not tell how things stand.
	ReasonUnknown = "StateUnknown"
	// ReasonNeedFailed is a step blocked by another one.
	ReasonNeedFailed = "NeedFailed"
	// ReasonCancelled is a step that was cut off, or never begun, because the run was cancelled.
	ReasonCancelled = "Cancelled"
	// ReasonStopped is a step that was not begun because the run was asked to stop.
	ReasonStopped = "Stopped"
	// ReasonLaneClosed is a step on a host that was not let into a lane, because too many failed in it before.
	ReasonLaneClosed = "RolloutPaused"
	// ReasonPanic is a defect in a step's own code.
	ReasonPanic = "Panic"
	// ReasonPlanned would be applied (plan mode).
	ReasonPlanned = "Planned"
	// ReasonPlannedUnknown would probably be applied; it cannot be told before earlier changes are made (plan mode).
	ReasonPlannedUnknown = "PlannedUnknown"
	// ReasonAwaited only waits or prepares, so a plan leaves it out.
	ReasonAwaited = "Awaited"
	// ReasonLeftOut was skipped on request.
	ReasonLeftOut = "LeftOut"
	// ReasonWaitingForSlot is held back by a window, an exclusive group, a lane or the limit on hosts.
	ReasonWaitingForSlot = "WaitingForSlot"
)

// Event says that something happened to one step on one host. Everything people see of a run derives from these.
type Event struct {
	// Operation and Attempt as given in Options.
	Operation string
	Attempt   int
	// Step is the ID of the step, Host the name of the host.
	Step string
	Host string
	// State after the event.
	State State
	// Try counts from 1; 0 before the first one.
	Try int
	// Reason is one CamelCase word, empty while all is well.
	Reason string
	// Message is for people.
	Message string
	// ExitCode and Output of a command that failed, if one did.
	ExitCode *int
	Output   string
	// Why the step is not done, one line per difference.
	Why []string
	// At is when it happened.
	At time.Time
	// Took is the time since the step began on this host; set on final states.
	Took time.Duration
	// Advances says that the run came further with this: the step began on the host, said something about how it goes, was applied, or
	// ended. What is said while something is tried again, that had come no further before, is no advance.
	Advances bool
}

// Sink receives the events of a run.
//
// Emit is called from one goroutine, one event after the other, in the order in which things happened, and all events have been
// delivered when Run returns. The run does not wait for a sink: events queue up without limit, and while a sink is far behind only
// the newest progress message of each (step, host) is kept; changes of state are never dropped. Run does wait for the queue to be
// delivered at its end, so Emit must not block for ever.
type Sink interface {
	Emit(Event)
}

// SinkFunc makes a function a Sink.
type SinkFunc func(Event)

// Emit calls f.
func (f SinkFunc) Emit(e Event) { f(e) }

// Multi returns a Sink that passes each event to every given sink in turn; nil ones are left out.
func Multi(sinks ...Sink) Sink {
	var kept multi
	for _, s := range sinks {
		if s != nil {
			kept = append(kept, s)
		}
	}
	return kept
}

type multi []Sink

func (m multi) Emit(e Event) {
	for _, s := range m {
		s.Emit(e)
	}
}
