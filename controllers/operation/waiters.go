package operation

import (
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/internal/wake"
)

// bundleWaiters remembers which operations wait for a bundle to be opened.
type bundleWaiters struct {
	waker *wake.Waker

	mu     sync.Mutex
	byName map[string]map[client.ObjectKey]bool
}

func newBundleWaiters(waker *wake.Waker) *bundleWaiters {
	return &bundleWaiters{waker: waker, byName: map[string]map[client.ObjectKey]bool{}}
}

// add must come before the attempt to acquire, or the opening could fall between the two and be missed.
func (w *bundleWaiters) add(name string, key client.ObjectKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byName[name] == nil {
		w.byName[name] = map[client.ObjectKey]bool{}
	}
	w.byName[name][key] = true
}

func (w *bundleWaiters) remove(name string, key client.ObjectKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byName[name], key)
}

// opened wakes those that wait for a bundle.
func (w *bundleWaiters) opened(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.byName[name] {
		w.waker.Wake(key)
	}
	delete(w.byName, name)
}
