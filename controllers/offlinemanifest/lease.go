package offlinemanifest

import (
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// Uses of a bundle's bytes, as people are told of them.
const (
	useFetch     = "a fetch writes it"
	useVerify    = "a verification reads it"
	useOperation = "an operation that runs reads from it"
)

// leases says which bundles are in use, by digest: whoever reads or writes the bytes of one holds a lease on its digest, under whatever
// name it came by them, and also when that name has been given something else meanwhile. What is leased is not removed.
type leases struct {
	mu   sync.Mutex
	uses map[digest.Digest][]string
}

// take leases bundles for one use. The function it returns ends that; calling it again does nothing.
func (l *leases) take(use string, of ...digest.Digest) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses == nil {
		l.uses = map[digest.Digest][]string{}
	}
	for _, d := range of {
		l.uses[d] = append(l.uses[d], use)
	}
	var once sync.Once
	return func() { once.Do(func() { l.end(use, of) }) }
}

func (l *leases) end(use string, of []digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range of {
		uses := l.uses[d]
		if i := slices.Index(uses, use); i >= 0 {
			uses = slices.Delete(uses, i, i+1)
		}
		l.uses[d] = uses
		if len(uses) == 0 {
			delete(l.uses, d)
		}
	}
}

// unless calls do while nobody can lease the bundle, or says for what it is leased and does not call it.
func (l *leases) unless(d digest.Digest, do func() error) (use string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uses := l.uses[d]; len(uses) > 0 {
		return uses[0], nil
	}
	return "", do()
}

// of says for what a bundle is leased; empty when it is not.
func (l *leases) of(d digest.Digest) string {
	use, _ := l.unless(d, func() error { return nil }) // nothing is done that could fail
	return use
}
