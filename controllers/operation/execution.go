package operation

import (
	"context"
	"sync"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

// execution is one attempt at an operation. It takes the events in, and is read by reconciles.
type execution struct {
	attempt  int32
	cluster  *v1alpha1.Cluster
	cancel   context.CancelFunc
	recorder *engine.Recorder

	mu      sync.Mutex
	news    bool
	done    bool
	outcome *provision.Outcome
	err     error
	// written is what was last put into each Host's status.step. Only the execution's own goroutine uses it.
	written map[string]v1alpha1.HostStep
}

func newExecution(request provision.Request, cancel context.CancelFunc) *execution {
	return &execution{
		attempt:  int32(request.Attempt),
		cluster:  request.Cluster.DeepCopy(),
		cancel:   cancel,
		recorder: engine.NewRecorder(engine.Graph{}),
		written:  map[string]v1alpha1.HostStep{},
	}
}

// Emit implements engine.Sink.
func (x *execution) Emit(e engine.Event) {
	x.recorder.Emit(e)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.news = true
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
