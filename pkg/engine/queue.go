package engine

import "sync"

// coalesceFrom is the length of the queue from which on older progress messages give way to newer ones.
const coalesceFrom = 256

// queue stands between a run and its sink, so that a slow sink never holds up a step.
type queue struct {
	sink Sink
	wake chan struct{}
	idle chan struct{}

	mu       sync.Mutex
	items    []queued
	progress map[pairKey]int // where in items the newest progress message of a pair stands
	closed   bool
}

type queued struct {
	event   Event
	dropped bool
}

// pairKey identifies a step on a host.
type pairKey struct{ step, host string }

func newQueue(sink Sink) *queue {
	q := &queue{sink: sink, wake: make(chan struct{}, 1), idle: make(chan struct{}), progress: map[pairKey]int{}}
	go q.deliver()
	return q
}

// put adds an event. progress marks one that a newer one of the same pair may replace.
func (q *queue) put(e Event, progress bool) {
	q.mu.Lock()
	if progress {
		key := pairKey{e.Step, e.Host}
		if old, ok := q.progress[key]; ok && len(q.items) >= coalesceFrom {
			q.items[old] = queued{dropped: true}
		}
		q.progress[key] = len(q.items)
	}
	q.items = append(q.items, queued{event: e})
	q.mu.Unlock()
	q.signal()
}

// close delivers what is left and returns when that is done.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	<-q.idle
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) deliver() {
	defer close(q.idle)
	for range q.wake {
		for {
			q.mu.Lock()
			batch, closed := q.items, q.closed
			q.items = nil
			clear(q.progress)
			q.mu.Unlock()
			for i := range batch {
				if !batch[i].dropped {
					q.sink.Emit(batch[i].event)
				}
			}
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
		}
	}
}
