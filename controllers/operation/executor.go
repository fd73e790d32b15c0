package operation

import (
	"context"
	"errors"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/controllers/operation/internal/slots"
	"github.com/kubewright/kubewright/pkg/provision"
)

// executor carries operations out, each in a goroutine that outlives the reconcile. It asks for a reconcile when there is something
// to tell.
type executor struct {
	runner   provision.Runner
	reporter *reporter
	waker    *wake.Waker
	interval time.Duration
	now      func() time.Time

	life context.Context //nolint:containedctx // it bounds goroutines that outlive every call
	end  context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	known map[client.ObjectKey]*execution
	// changes and looks have the slots of attempts that may change something and of those that do not.
	changes, looks *slots.Pool
}

func newExecutor(r *Reconciler, waker *wake.Waker) *executor {
	e := &executor{
		runner: r.Runner, reporter: newReporter(r.Client, r.Live), waker: waker, interval: r.ProgressInterval, now: r.Now,
		known: map[client.ObjectKey]*execution{}, changes: slots.New(r.MaxConcurrent), looks: slots.New(r.MaxComparisons),
	}
	e.life, e.end = context.WithCancel(context.Background())
	return e
}

// Start waits for the end of the manager, cancels what goes on and waits until it has come to a safe point. What was cut off in this
// way is left in phase Running, so that the next process goes on with it.
func (e *executor) Start(ctx context.Context) error {
	<-ctx.Done()
	e.end()
	e.wg.Wait()
	return nil
}

// start carries the request out and returns at once. With stop it is only brought to a safe point. release is called when the bundle
// is not needed any more.
func (e *executor) start(s *slot, request provision.Request, stop bool, release func()) {
	ctx, cancel := context.WithCancelCause(e.life)
	x := newExecution(request, cancel, e.now)
	if stop {
		x.askToStop()
	}
	request.Sink, request.Stop = x, x.stop
	e.mu.Lock()
	e.known[s.key] = x
	e.mu.Unlock()
	e.wg.Go(func() {
		defer cancel(nil)
		defer s.giveBack()
		outcome, err := e.carryOut(ctx, s.key, request, x)
		release()
		if e.life.Err() != nil {
			return
		}
		unwritten := e.reporter.record(e.life, request, outcome, x.readOnly) //nolint:contextcheck // it is written also when the operation was cancelled
		if e.life.Err() != nil {
			return
		}
		s.giveBack() // before it is known to have ended: the next attempt at it may ask for a slot then
		x.finish(outcome, errors.Join(err, unwritten))
		e.waker.Wake(s.key)
	})
}

// carryOut runs the request and has its progress told meanwhile.
func (e *executor) carryOut(ctx context.Context, key client.ObjectKey, request provision.Request, x *execution) (*provision.Outcome, error) {
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(e.interval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				x.giveUpIfStuck(e.now())
				if x.takeNews() {
					e.waker.Wake(key)
					e.tell(ctx, request, x)
				}
			}
		}
	})
	outcome, err := e.runner.Run(ctx, request)
	close(done)
	telling.Wait()
	if stuck, ok := errors.AsType[*stuckError](context.Cause(ctx)); ok && err != nil {
		err = stuck // what was cut off says nothing else
	}
	e.tell(e.life, request, x) //nolint:contextcheck // it is written also when the operation was cancelled
	return outcome, err
}

// tell puts the steps into the Hosts' statuses, and into the Cluster's that it exists as soon as it does: a process that is cut off tells
// nothing later. A run that changes nothing does nothing that could be told.
func (e *executor) tell(ctx context.Context, request provision.Request, x *execution) {
	if x.readOnly {
		return
	}
	e.reporter.recordInitialized(ctx, request, x)
	e.reporter.recordSteps(ctx, request, x)
}

// find returns the execution of an operation, under way or finished; nil when this process knows of none.
func (e *executor) find(key client.ObjectKey) *execution {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.known[key]
}

// stop asks an execution to end at its next safe point.
func (e *executor) stop(key client.ObjectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.known[key]; x != nil {
		x.askToStop()
	}
}

// cancel cuts an execution off.
func (e *executor) cancel(key client.ObjectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.known[key]; x != nil {
		x.cancel(nil)
	}
}

// forget drops what is known of a finished execution.
func (e *executor) forget(key client.ObjectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.known[key]; x != nil && x.finished() {
		delete(e.known, key)
	}
}
