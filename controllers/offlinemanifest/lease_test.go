package offlinemanifest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// removes says whether a bundle would be removed now.
func removes(t *testing.T, l *leases, d digest.Digest) bool {
	t.Helper()
	done := false
	use, err := l.unless(d, func() error { done = true; return nil })
	if err != nil || done != (use == "") || l.of(d) != use {
		t.Fatalf("done: %v, though it is said to be used: %q, %v", done, use, err)
	}
	return done
}

func TestWhatIsLeasedTwiceIsFreeAfterBothUses(t *testing.T) {
	var l leases
	a, b := digest.FromString("a"), digest.FromString("b")
	one, two := l.take(useFetch, a, b), l.take(useFetch, a)
	one()
	one()
	if removes(t, &l, a) || !removes(t, &l, b) {
		t.Errorf("after one use %v are left", l.uses)
	}
	two()
	if !removes(t, &l, a) || len(l.uses) != 0 {
		t.Errorf("after both %v are left", l.uses)
	}
	if use, err := l.unless(a, func() error { return errors.New("no") }); use != "" || err == nil {
		t.Errorf("a failure is told as %q, %v", use, err)
	}
}

// An operation goes on reading what its OfflineManifest named when it began.
func TestAnOperationsLeaseOutlivesTheNameItCameBy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k.bundle")
	root := writeBundle(t, path, "v1.36.3", []byte("the program kubelet"))
	s := NewStore("")
	open := func() *bundle.Bundle {
		b, err := bundle.Open(path)
		check(t, err)
		return b
	}
	for name, change := range map[string]func(){
		"the OfflineManifest was deleted":      func() { s.drop("m") },
		"its source is another file now":       func() { s.put("m", identity{Path: "elsewhere"}, open(), record{}) },
		"the manager lets go of all it opened": s.Close,
	} {
		t.Run(name, func(t *testing.T) {
			s.put("m", identity{Path: path, Digest: root}, open(), record{})
			lease, ok := s.Acquire("m")
			if !ok {
				t.Fatal("it is not handed out")
			}
			change()
			if removes(t, &s.leases, root) {
				t.Error("the bundle would be removed while an operation reads from it")
			}
			if _, err := lease.Bundle.Verify(t.Context(), bundle.VerifyOptions{}); err != nil {
				t.Errorf("it cannot be read any more: %v", err)
			}
			lease.Release()
			if !removes(t, &s.leases, root) {
				t.Error("the bundle would be kept though nobody reads from it")
			}
		})
	}
}

func TestWhoReadsADeltaHoldsItsBaseToo(t *testing.T) {
	dir := t.TempDir()
	base, whole, delta := filepath.Join(dir, "base"), filepath.Join(dir, "whole"), filepath.Join(dir, "delta")
	baseRoot := writeBundle(t, base, "v1.35.4", []byte("the same"))
	wholeRoot := writeBundle(t, whole, "v1.36.3", []byte("the same"), []byte("another"))
	a, err := bundle.Open(base)
	check(t, err)
	b, err := bundle.Open(whole)
	check(t, err)
	check(t, bundle.Diff(t.Context(), delta, a, b))
	check(t, errors.Join(a.Close(), b.Close()))
	set, err := bundle.OpenSet(delta, base)
	check(t, err)
	s := NewStore("")
	s.put("m", identity{Path: delta, Digest: wholeRoot}, set, record{})
	lease, _ := s.Acquire("m")
	if removes(t, &s.leases, baseRoot) || removes(t, &s.leases, wholeRoot) {
		t.Errorf("leased are only %v", s.leases.uses)
	}
	lease.Release()
	s.Close()
	if len(s.leases.uses) != 0 {
		t.Errorf("still leased are %v", s.leases.uses)
	}
}

func TestAVerificationHoldsWhatItReads(t *testing.T) {
	dir := storeDir(t.TempDir())
	id := incoming(t, dir, "v1.36.3", []byte("the program kubelet"))
	v, store := verifierIn(t, dir, time.Now)
	held := false
	hash := v.verify
	v.verify = func(ctx context.Context, b *bundle.Bundle, o verified.Options) (*verified.Result, error) {
		held = !removes(t, &store.leases, id.Digest)
		return hash(ctx, b, o)
	}
	v.ensure("m", id, trust{})
	v.wg.Wait()
	if !held || !removes(t, &store.leases, id.Digest) {
		t.Errorf("held while it was verified: %v; after that %v", held, store.leases.uses)
	}
}

// fetcher does what a test says.
type fetcher func(ctx context.Context) error

func (f fetcher) Fetch(ctx context.Context, _ fetch.Request, _ func(fetch.Progress)) (fetch.Result, error) {
	return fetch.Result{}, f(ctx)
}

func TestAFetchHoldsWhatItWrites(t *testing.T) {
	d := digest.FromString("a bundle")
	var l leases
	begun := make(chan struct{})
	sources, err := Sources{Fetcher: fetcher(func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})}.WithDefaults()
	check(t, err)
	f := newFetching(sources, &l, wake.New(), time.Now)
	f.begin("m", 1, d, fetch.Request{})
	<-begun
	if removes(t, &l, d) {
		t.Error("what is being fetched would be removed")
	}
	f.forget("other", d)
	if removes(t, &l, d) {
		t.Error("another OfflineManifest ended the fetch")
	}
	f.forget("m", d)
	if !removes(t, &l, d) {
		t.Errorf("after the end of the fetch %v is left", l.uses)
	}
}
