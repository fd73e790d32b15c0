package engine

// Mode says whether a run may change anything.
type Mode int

const (
	// ModeApply does what has to be done.
	ModeApply Mode = iota
	// ModePlan only asks every Check, and says what would be done.
	ModePlan
)

// String names the mode.
func (m Mode) String() string {
	if m == ModePlan {
		return "Plan"
	}
	return "Apply"
}

// Options of a run. The zero value applies the whole graph.
type Options struct {
	// Operation and Attempt are copied into every event.
	Operation string
	Attempt   int
	// Mode is ModeApply or ModePlan.
	Mode Mode
	// Sink receives the events; nil drops them. See Multi for several.
	Sink Sink
	// Clock to take time from; nil means the machine's.
	Clock Clock
	// Only names the steps to run, by ID or by a part of it up to a slash ("control-plane" means control-plane/init and the
	// like); all others are skipped and count as satisfied. Empty means all.
	Only []string
	// Skip names steps to leave out in the same way; it wins over Only.
	Skip []string
	// MaxParallelHosts is how many hosts may be worked on at a time; 0 means all. A step that waits on one host for what happens
	// on another can hold the last place until its Timeout, so keep it well above what a graph needs at once.
	MaxParallelHosts int
	// Stop, when closed, makes the run end at its next safe point: what is in hand is carried to its end, hosts inside a lane go through
	// it, and nothing else begins; a step that failed is not tried again. The error then wraps ErrStopped unless everything was done all the same. nil never stops.
	Stop <-chan struct{}
	// AfterApply is called when an Apply has succeeded and before its effect is observed, from the goroutine of that step and host. It is
	// where tests cut an execution off. It may be nil.
	AfterApply func(step, host string)
}
