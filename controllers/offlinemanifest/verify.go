package offlinemanifest

import (
	"context"
	"errors"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
)

// progressInterval is how often a verification that goes on is told of at most.
const progressInterval = time.Second

// verifier opens and hashes bundles outside of reconciles, one goroutine per OfflineManifest.
type verifier struct {
	store *Store
	// dir is the store of fetched bundles; empty when there is none.
	dir   storeDir
	waker *wake.Waker
	now   func() time.Time
	// verify hashes a bundle, or knows that this was done before.
	verify func(context.Context, *bundle.Bundle, verified.Options) (*verified.Result, error)
	// delay is how long after so many failures in a row that may pass by themselves the next try comes.
	delay func(failures int32) time.Duration
	// slots bounds how many bundles are hashed at a time: one alone keeps all CPUs busy.
	slots chan struct{}

	life context.Context //nolint:containedctx // it bounds goroutines that outlive every call
	end  context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	jobs map[string]*job
}

// job is one verification, under way or ended in failure. Those that succeeded are in the store.
type job struct {
	identity    identity
	trust       trust
	cancel      context.CancelFunc
	done, total int64
	told        time.Time
	ended       bool
	err         error
	// failures in a row that may pass by themselves, the last of them in err or, while the next try goes on, in before.
	failures int32
	before   error
	// again is when the next try comes; zero when trying again would find the same.
	again time.Time
}

func newVerifier(store *Store, dir storeDir, waker *wake.Waker, now func() time.Time, delay func(failures int32) time.Duration) *verifier {
	v := &verifier{
		store: store, dir: dir, waker: waker, now: now, delay: delay, verify: store.verified.Verify,
		slots: make(chan struct{}, 1), jobs: map[string]*job{},
	}
	v.life, v.end = context.WithCancel(context.Background())
	store.OnOpen(func(string) { v.retryDeltas() })
	return v
}

// Start waits for the end of the manager and then stops what goes on.
func (v *verifier) Start(ctx context.Context) error {
	<-ctx.Done()
	v.end()
	v.wg.Wait()
	v.store.Close()
	return nil
}

// state is what a reconcile wants to know of a verification.
type state struct {
	done, total int64
	ended       bool
	err         error
	// before is what went wrong the last time, while it is tried again; again is how long it is until the next try.
	before error
	again  time.Duration
}

// ensure begins a verification of the file unless one goes on, or has failed and it is not time to try again, and says how it stands.
func (v *verifier) ensure(name string, id identity, t trust) state {
	v.mu.Lock()
	defer v.mu.Unlock()
	j := v.jobs[name]
	var failures int32
	var before error
	if j != nil && j.identity == id {
		left := j.again.Sub(v.now())
		if !j.ended || j.again.IsZero() || left > 0 {
			return state{done: j.done, total: j.total, ended: j.ended, err: j.err, before: j.before, again: left}
		}
		failures, before = j.failures, j.err
	}
	if j != nil {
		j.cancel()
	}
	ctx, cancel := context.WithCancel(v.life)
	j = &job{identity: id, trust: t, cancel: cancel, total: id.Size, failures: failures, before: before}
	v.jobs[name] = j
	v.wg.Go(func() {
		defer cancel()
		err := v.run(ctx, name, j)
		v.mu.Lock()
		j.ended, j.err = true, err
		if mayPass(err) {
			j.failures++
			j.again = v.now().Add(v.delay(j.failures))
		}
		if err == nil && v.jobs[name] == j {
			delete(v.jobs, name)
		}
		v.mu.Unlock()
		v.waker.Wake(client.ObjectKey{Name: name})
	})
	return state{total: id.Size, before: before}
}

// forget stops and forgets a verification.
func (v *verifier) forget(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if j := v.jobs[name]; j != nil {
		j.cancel()
		delete(v.jobs, name)
	}
}

// run opens the bundle, hashes it unless that was done before to the very same file, and puts it into the store.
func (v *verifier) run(ctx context.Context, name string, j *job) (err error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer v.store.leases.take(useVerify, j.identity.Digest)()
	var found record
	b, err := v.open(j, &found)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if base := b.Base(); base != nil {
		defer v.store.leases.take(useVerify, base.Digest)()
	}
	result, err := v.verify(ctx, b, verified.Options{
		VerifyOptions: bundle.VerifyOptions{Expected: j.identity.Digest, Progress: v.progress(name, j)}, Now: v.now,
	})
	if err != nil {
		return err
	}
	after, err := identify(j.identity.Path, j.identity.Digest)
	if err != nil {
		return err
	}
	after.Trust = j.identity.Trust
	if after != j.identity {
		return &verified.ChangedError{Path: j.identity.Path}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	id, err := v.dir.accept(j.identity)
	if err != nil {
		return err
	}
	found.VerifiedAt, found.NotKept = result.VerifiedAt, result.NotKept
	if id != j.identity {
		found.NotKept = errors.Join(found.NotKept, v.store.verified.Renamed(b))
	}
	v.store.put(name, id, b, found)
	return nil
}

// open opens a bundle, and a delta together with its base if that one is open.
func (v *verifier) open(j *job, found *record) (*bundle.Bundle, error) {
	path, want := j.identity.Path, j.identity.Digest
	b, err := openTrusted(path, want, j.trust, found)
	missing, ok := errors.AsType[*bundle.MissingBaseError](err)
	if !ok {
		return b, err
	}
	bases := v.store.filesOf(missing.Base.Digest)
	if bases == nil {
		return nil, err
	}
	return openTrusted(path, want, j.trust, found, bases...)
}

// retryDeltas forgets that deltas lacked their base, because another bundle has become available. It must not call the store.
func (v *verifier) retryDeltas() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, j := range v.jobs {
		if is[*bundle.MissingBaseError](j.err) {
			delete(v.jobs, name)
			v.waker.Wake(client.ObjectKey{Name: name})
		}
	}
}

// progress takes in how far a verification has come, and asks for a reconcile now and then.
func (v *verifier) progress(name string, j *job) func(done, total int64) {
	return func(done, total int64) {
		v.mu.Lock()
		j.done, j.total = max(j.done, done), total
		now := v.now()
		tell := now.Sub(j.told) >= progressInterval
		if tell {
			j.told = now
		}
		v.mu.Unlock()
		if tell {
			v.waker.Wake(client.ObjectKey{Name: name})
		}
	}
}
