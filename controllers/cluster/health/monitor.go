package health

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

const (
	// workers bounds the checks under way. They wait for the network nearly all the time; with this many, a thousand clusters that
	// all time out after 5 s are still looked at once in three minutes.
	workers = 32
	// patience is how many checks in a row must fail before a cluster is said to have failed: one may be lost on the way.
	patience = 2
	// jitter is the part of the interval by which checks are spread to either side, so that they do not gather at one moment.
	jitter = 0.2
)

// Monitor checks the clusters it was told to keep, again and again. The zero value is not usable, see New.
type Monitor struct {
	checker  Checker
	interval time.Duration
	changed  func(client.ObjectKey)
	queue    workqueue.TypedDelayingInterface[client.ObjectKey]

	mu      sync.Mutex
	watches map[client.ObjectKey]*watch
}

// watch is what is kept about one cluster. A cluster that is dropped and kept again has another one, so that what a check finds which
// began before is thrown away.
type watch struct {
	target   Target
	due      time.Time
	failures int
	record   Record
}

// New returns a Monitor that checks every cluster once per interval, give or take a fifth, and calls changed whenever the Record of
// one is another than before. Start sets it to work.
func New(checker Checker, interval time.Duration, changed func(client.ObjectKey)) *Monitor {
	return &Monitor{
		checker: checker, interval: interval, changed: changed,
		queue:   workqueue.NewTypedDelayingQueue[client.ObjectKey](),
		watches: map[client.ObjectKey]*watch{},
	}
}

// Keep has a cluster checked from now on, first after an interval: whoever changed the cluster last has just looked at it. A cluster
// that is kept already is not disturbed.
func (m *Monitor) Keep(target Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.watches[target.Key]
	if w == nil {
		w = &watch{}
		m.watches[target.Key] = w
		m.schedule(target.Key, w)
	}
	w.target = target
}

// Drop ends the checks of a cluster and forgets what was found; a check under way counts for nothing.
func (m *Monitor) Drop(key client.ObjectKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watches, key)
}

// Record returns the newest finding about a cluster; the zero Record when there is none.
func (m *Monitor) Record(key client.ObjectKey) Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w := m.watches[key]; w != nil {
		return w.record
	}
	return Record{}
}

// Start checks until ctx ends, and returns when the last check has ended. It can be called once.
func (m *Monitor) Start(ctx context.Context) error {
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for m.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	m.queue.ShutDown()
	group.Wait()
	return nil
}

// next makes the next check that is due; false when there will be none.
func (m *Monitor) next(ctx context.Context) bool {
	key, shutdown := m.queue.Get()
	if shutdown {
		return false
	}
	defer m.queue.Done(key)
	w, target := m.take(key)
	if w == nil {
		return true
	}
	nodes, err := m.checker.Check(ctx, target)
	if ctx.Err() != nil {
		return true // the process ends; that says nothing about the cluster
	}
	if m.note(key, w, nodes, err) {
		m.changed(key)
	}
	return true
}

// take returns the watch of a cluster whose check is due. Nil is for a cluster that was dropped, and for one that was kept again
// meanwhile, whose check comes later.
func (m *Monitor) take(key client.ObjectKey) (*watch, Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.watches[key]
	if w == nil {
		return nil, Target{}
	}
	if left := time.Until(w.due); left > 0 {
		m.queue.AddAfter(key, left)
		return nil, Target{}
	}
	return w, w.target
}

// note puts a finding into the record, and says whether that changed it.
func (m *Monitor) note(key client.ObjectKey, w *watch, nodes Nodes, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watches[key] != w {
		return false
	}
	m.schedule(key, w)
	if errors.Is(err, ErrNotChecked) {
		return false
	}
	before := w.record
	if err == nil {
		w.failures = 0
		w.record = Record{Verdict: Reachable, Nodes: nodes}
		return w.record != before
	}
	if w.failures++; w.failures < patience {
		return false
	}
	w.record = Record{Verdict: Unreachable, Message: inbound.Head(err.Error(), maxWords)}
	if _, ok := errors.AsType[*CredentialsError](err); ok {
		w.record.Verdict = Unknown
	}
	if isFull(err) {
		w.record.Verdict = Full
	}
	return w.record != before
}

// schedule sets the time of a cluster's next check. The lock must be held.
func (m *Monitor) schedule(key client.ObjectKey, w *watch) {
	after := time.Duration(float64(m.interval) * (1 - jitter + 2*jitter*rand.Float64())) //nolint:gosec // spreads load, guards nothing
	w.due = time.Now().Add(after)
	m.queue.AddAfter(key, after)
}
