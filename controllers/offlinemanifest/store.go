package offlinemanifest

import (
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
)

// Store keeps the opened bundles of OfflineManifests that were verified, by name of the OfflineManifest.
type Store struct {
	verified verified.Cache
	// leases have a lock of their own, which is taken with mu held and never the other way round.
	leases leases

	mu        sync.Mutex
	open      map[string]*held
	listeners []func(name string)
}

// held is one opened bundle and how many use it.
type held struct {
	bundle   *bundle.Bundle
	identity identity
	record   record
	users    int
	dropped  bool
}

// NewStore returns an empty store. stateDir is where it remembers which files were verified, so that a restart need not hash them
// again; it must be as well protected as the program itself, because what it says is believed. Empty means to remember nothing.
func NewStore(stateDir string) *Store {
	return &Store{verified: verified.In(stateDir), open: map[string]*held{}}
}

// Lease is the use of a bundle. It stays open until Release, also when its OfflineManifest is changed or deleted meanwhile.
type Lease struct {
	// Bundle was verified against the digest of its OfflineManifest.
	Bundle *bundle.Bundle

	once    sync.Once
	release func()
}

// Release ends the use; the Bundle must not be read afterwards. Calling it again does nothing.
func (l *Lease) Release() { l.once.Do(l.release) }

// Acquire returns the bundle of an OfflineManifest; false while it is not verified and open in this process.
func (s *Store) Acquire(name string) (*Lease, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.open[name]
	if h == nil {
		return nil, false
	}
	h.users++
	// A delta is read from together with its base.
	of := []digest.Digest{h.bundle.Digest()}
	if base := h.bundle.Base(); base != nil {
		of = append(of, base.Digest)
	}
	end := s.leases.take(useOperation, of...)
	return &Lease{Bundle: h.bundle, release: func() {
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		h.users--
		h.closeIfUnused()
	}}, true
}

// OnOpen has f called whenever a bundle becomes available, with the name of its OfflineManifest. f must not block and must not call
// the store.
func (s *Store) OnOpen(f func(name string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, f)
}

// Close closes every bundle that nobody uses, and the others when they are released.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.open {
		s.dropLocked(name)
	}
}

// lookup returns what is open under a name if it is exactly the file and digest asked for.
func (s *Store) lookup(name string, id identity) (*bundle.Bundle, record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.open[name]
	if h == nil || h.identity != id {
		return nil, record{}, false
	}
	return h.bundle, h.record, true
}

// filesOf returns the files of an open bundle by its digest; none when it is not open.
func (s *Store) filesOf(d digest.Digest) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.open {
		if h.identity.Digest == d {
			return h.bundle.Files()
		}
	}
	return nil
}

// put makes a verified bundle available, in place of an older one of the name.
func (s *Store) put(name string, id identity, b *bundle.Bundle, r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(name)
	s.open[name] = &held{bundle: b, identity: id, record: r}
	for _, listener := range s.listeners {
		listener(name)
	}
}

// drop makes a name's bundle unavailable to newcomers.
func (s *Store) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(name)
}

func (s *Store) dropLocked(name string) {
	if h := s.open[name]; h != nil {
		delete(s.open, name)
		h.dropped = true
		h.closeIfUnused()
	}
}

// closeIfUnused is called with the store locked. The bundle was only read, so an error of closing it loses nothing.
func (h *held) closeIfUnused() {
	if h.dropped && h.users == 0 {
		_ = h.bundle.Close()
	}
}
