package operation

import (
	"context"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

// execution is one attempt at an operation. It takes the events in, and is read by reconciles.
type execution struct {
	attempt int32
	cluster *v1alpha1.Cluster
	// planning is set when the attempt finds out what an operation that needs approval would do.
	planning bool
	// readOnly is set when the attempt changes nothing, so that any point is a safe one to stop at.
	readOnly bool
	cancel   context.CancelCauseFunc
	recorder *engine.Recorder
	now      func() time.Time
	// patience is how long it may come no further.
	patience time.Duration

	mu      sync.Mutex
	stop    chan struct{}
	stopped bool
	news    bool
	// advanced is when it last came further.
	advanced time.Time
	// initialized is set when a step has shown that the cluster has a control plane now.
	initialized bool
	done        bool
	outcome     *provision.Outcome
	err         error
	// written is what was last put into each Host's status.step. Only the execution's own goroutine uses it.
	written map[string]v1alpha1.HostStep
	// initializedWritten is set when the Cluster says so. Only the execution's own goroutine uses it.
	initializedWritten bool
}

func newExecution(request provision.Request, cancel context.CancelCauseFunc, now func() time.Time) *execution {
	plans := request.Operation.Spec.Mode == v1alpha1.PlanMode
	return &execution{
		attempt:  int32(request.Attempt),
		cluster:  request.Cluster.DeepCopy(),
		planning: plans && needsApproval(&request.Operation, &request.Cluster),
		readOnly: plans || request.Operation.Spec.Type == v1alpha1.CheckOperation,
		cancel:   cancel,
		recorder: engine.NewRecorder(engine.Graph{}),
		now:      now,
		patience: patience(&request.Cluster),
		advanced: now(),
		stop:     make(chan struct{}),
		written:  map[string]v1alpha1.HostStep{},
	}
}

// askToStop asks for an end at the next safe point; again does nothing.
func (x *execution) askToStop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stopped {
		return
	}
	x.stopped = true
	close(x.stop)
	if x.readOnly {
		x.cancel(nil)
	}
}

// stopping says whether an end was asked for.
func (x *execution) stopping() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stopped
}

// Emit implements engine.Sink.
func (x *execution) Emit(e engine.Event) {
	x.recorder.Emit(e)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.news = true
	if e.Advances {
		x.advanced = x.now()
	}
	x.initialized = x.initialized || !x.readOnly && provision.ShowsInitialized(e.Step, e.State)
}

// showsInitialized says whether a step has shown that the cluster has a control plane now.
func (x *execution) showsInitialized() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.initialized
}

// takeNews says whether anything happened since it was last asked.
func (x *execution) takeNews() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	news := x.news
	x.news = false
	return news
}

func (x *execution) finish(outcome *provision.Outcome, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if outcome == nil {
		outcome = &provision.Outcome{}
	}
	x.done, x.outcome, x.err = true, outcome, err
}

func (x *execution) finished() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.done
}

// result is what the attempt came to; only for one that has finished.
func (x *execution) result() (*provision.Outcome, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.outcome, x.err
}
