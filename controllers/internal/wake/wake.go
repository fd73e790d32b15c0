// Package wake lets work that goes on outside a reconcile ask for one. It must not know what the work is.
package wake

import (
	"context"
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// queue is where controllers take their work from.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Waker asks one controller to look at objects. Calls never block, and asking twice before the controller looks counts once.
type Waker struct {
	mu      sync.Mutex
	queue   queue
	waiting map[client.ObjectKey]bool
}

// New returns a Waker for one controller.
func New() *Waker { return &Waker{waiting: map[client.ObjectKey]bool{}} }

// Source is what the controller watches.
func (w *Waker) Source() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.queue = q
		for key := range w.waiting {
			q.Add(reconcile.Request{NamespacedName: key})
		}
		clear(w.waiting)
		return nil
	})
}

// Wake asks for a reconcile of an object. Before the controller has started the call is remembered.
func (w *Waker) Wake(key client.ObjectKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queue == nil {
		w.waiting[key] = true
		return
	}
	w.queue.Add(reconcile.Request{NamespacedName: key})
}
