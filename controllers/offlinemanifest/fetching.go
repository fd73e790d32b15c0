package offlinemanifest

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// fetching runs fetches outside of reconciles, one for each digest however many OfflineManifests want it.
type fetching struct {
	sources Sources
	leases  *leases
	waker   *wake.Waker
	now     func() time.Time
	slots   chan struct{}

	life context.Context //nolint:containedctx // it bounds goroutines that outlive every call
	end  context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	flights map[digest.Digest]*flight
}

// flight is one fetch, under way or ended and not yet looked at.
type flight struct {
	// name and generation of the OfflineManifest whose spec is followed.
	name       string
	generation int64
	// waiting want the same bundle.
	waiting  map[string]bool
	cancel   context.CancelFunc
	progress fetch.Progress
	told     time.Time
	ended    bool
	err      error
	// over is closed when the goroutine is through.
	over chan struct{}
}

func newFetching(sources Sources, leases *leases, waker *wake.Waker, now func() time.Time) *fetching {
	f := &fetching{sources: sources, leases: leases, waker: waker, now: now, slots: make(chan struct{}, sources.MaxConcurrent), flights: map[digest.Digest]*flight{}}
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// Start waits for the end of the manager and then stops what goes on. What was fetched stays, and the next process goes on with it.
func (f *fetching) Start(ctx context.Context) error {
	<-ctx.Done()
	f.end()
	f.wg.Wait()
	return nil
}

// standing is what a reconcile wants to know of a fetch.
type standing struct {
	// none says that nothing is under way; other names the OfflineManifest whose fetch is waited for.
	none     bool
	other    string
	progress fetch.Progress
	ended    bool
	err      error
}

// look says how the fetch of a digest stands for an OfflineManifest. A fetch by another generation of its spec is stopped. What has
// ended is told once.
func (f *fetching) look(name string, generation int64, d digest.Digest) standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.flights[d]
	switch {
	case at == nil:
		return standing{none: true}
	case at.name != name:
		at.waiting[name] = true
		return standing{other: at.name, progress: at.progress}
	case at.generation != generation && !at.ended:
		at.cancel()
		return standing{progress: at.progress}
	case at.ended:
		delete(f.flights, d)
		if at.generation != generation {
			return standing{none: true}
		}
	}
	return standing{progress: at.progress, ended: at.ended, err: at.err}
}

// begin starts a fetch unless one of the digest is under way.
func (f *fetching) begin(name string, generation int64, d digest.Digest, request fetch.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flights[d] != nil {
		return
	}
	ctx, cancel := context.WithCancel(f.life)
	at := &flight{name: name, generation: generation, waiting: map[string]bool{}, cancel: cancel, over: make(chan struct{})}
	f.flights[d] = at
	release := f.leases.take(useFetch, d)
	f.wg.Go(func() {
		defer close(at.over)
		defer cancel()
		err := f.run(ctx, at, request)
		release()
		f.mu.Lock()
		at.ended, at.err = true, err
		names := []string{at.name}
		for other := range at.waiting {
			names = append(names, other)
		}
		f.mu.Unlock()
		for _, n := range names {
			f.waker.Wake(client.ObjectKey{Name: n})
		}
	})
}

// forget stops the fetch that an OfflineManifest began, and waits until it has ended, so that its files can be removed.
func (f *fetching) forget(name string, d digest.Digest) {
	f.mu.Lock()
	at := f.flights[d]
	if at == nil || at.name != name {
		f.mu.Unlock()
		return
	}
	at.cancel()
	f.mu.Unlock()
	<-at.over
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flights[d] == at {
		delete(f.flights, d)
	}
	for other := range at.waiting {
		f.waker.Wake(client.ObjectKey{Name: other})
	}
}

func (f *fetching) run(ctx context.Context, at *flight, request fetch.Request) error {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := f.sources.Fetcher.Fetch(ctx, request, func(p fetch.Progress) {
		f.mu.Lock()
		moved := at.progress != p
		at.progress = p
		now := f.now()
		tell := moved && now.Sub(at.told) >= f.sources.ProgressInterval
		if tell {
			at.told = now
		}
		f.mu.Unlock()
		if tell {
			f.waker.Wake(client.ObjectKey{Name: at.name})
		}
	})
	return err
}
