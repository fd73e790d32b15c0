package upstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// Limits on what servers can make a build hold, in bytes.
const (
	maxFile     = 8 << 30 // as a bundle's blobs
	maxManifest = 4 << 20 // as the distribution specification says
	maxConfig   = 8 << 20 // as a bundle's JSON
)

// Fetcher brings one file; *fetch.Program is one.
type Fetcher interface {
	// Fetch carries out one request and calls progress whenever there is news.
	Fetch(ctx context.Context, request fetch.Request, progress func(fetch.Progress)) (fetch.Result, error)
}

// Options are the options of New. All but Mirrors, Network and Credentials are required.
type Options struct {
	// Dir is where content is kept by its digest. Several builds may share it.
	Dir string
	// Scratch is an own directory for what is not kept.
	Scratch string
	// Fetcher fetches, Parallel is how many fetches may run at a time.
	Fetcher  Fetcher
	Parallel int
	// Lock keeps other builds from what a name stands for, until unlock is called.
	Lock func(ctx context.Context, name string) (unlock func() error, err error)
	// Mirrors say where things are to be had instead.
	Mirrors Mirrors
	// Network says what may be talked to, and how.
	Network fetch.Network
	// Credentials returns those for a host, perhaps with a port; it may be nil.
	Credentials func(ctx context.Context, host string) (fetch.Credentials, error)
}

// Store is a cache that fills itself. Its methods may be called from several goroutines.
type Store struct {
	o     Options
	slots *semaphore.Weighted
}

// New returns a Store.
func New(o Options) *Store { return &Store{o: o, slots: semaphore.NewWeighted(int64(o.Parallel))} }

// Progress is how far an item is, in bytes.
type Progress struct {
	// Done of Total; Total is zero while it is unknown.
	Done, Total int64
	// Resumed is how many of Done an earlier run had brought, and Cached how many were in the cache whole.
	Resumed, Cached int64
}

// Content is something in the store.
type Content struct {
	// Path of the file that holds it.
	Path string
	// Digest and Size of it.
	Digest digest.Digest
	Size   int64
}

// File returns the file at a URL, which must have a digest, and calls tell now and then. Errors: those of package fetch, wrapped.
func (s *Store) File(ctx context.Context, at string, want digest.Digest, tell func(Progress)) (Content, error) {
	return s.bring(ctx, content{at: s.o.Mirrors.Apply(at), digest: want}, tell)
}

// Text returns a small file at a URL. It is asked for anew each time, since it says by what other things are known.
func (s *Store) Text(ctx context.Context, at string, limit int64) ([]byte, error) {
	return s.text(ctx, content{at: s.o.Mirrors.Apply(at)}, limit)
}

// content is something that can be fetched.
type content struct {
	at     string
	object fetch.Object
	digest digest.Digest
	// size is zero when it is unknown.
	size int64
}

func (s *Store) text(ctx context.Context, c content, limit int64) ([]byte, error) {
	dir, err := os.MkdirTemp(s.o.Scratch, "text-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // all of Scratch is removed in the end
	file := filepath.Join(dir, "text")
	if _, err := s.fetch(ctx, c, file, limit, nil); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// path is where content of a digest is kept.
func (s *Store) path(d digest.Digest) string {
	return filepath.Join(s.o.Dir, string(d.Algorithm()), d.Encoded())
}

// have returns content that is in the cache. That its bytes have its digest was checked when they came, and is again when a bundle is
// written.
func (s *Store) have(c content) (Content, bool) {
	st, err := os.Lstat(s.path(c.digest))
	if err != nil || !st.Mode().IsRegular() || c.size > 0 && st.Size() != c.size {
		return Content{}, false
	}
	return Content{Path: s.path(c.digest), Digest: c.digest, Size: st.Size()}, true
}

// bring returns content, which it fetches if it is not in the cache.
func (s *Store) bring(ctx context.Context, c content, tell func(Progress)) (_ Content, err error) {
	if got, ok := s.have(c); ok {
		tell(Progress{Done: got.Size, Total: got.Size, Cached: got.Size})
		return got, nil
	}
	unlock, err := s.o.Lock(ctx, "content-"+c.digest.Encoded())
	if err != nil {
		return Content{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if got, ok := s.have(c); ok {
		tell(Progress{Done: got.Size, Total: got.Size, Cached: got.Size})
		return got, nil
	}
	result, err := s.fetch(ctx, c, s.path(c.digest), maxFile, tell)
	if err != nil {
		return Content{}, err
	}
	tell(Progress{Done: result.Size, Total: result.Size, Resumed: result.Size - result.Received})
	return Content{Path: s.path(c.digest), Digest: c.digest, Size: result.Size}, nil
}

// fetch has one file fetched, when it is its turn.
func (s *Store) fetch(ctx context.Context, c content, to string, limit int64, tell func(Progress)) (fetch.Result, error) {
	request := fetch.Request{Source: c.at, Object: c.object, Destination: to, Network: s.o.Network,
		Limits: fetch.Limits{MaxBytes: limit}, Expect: fetch.Expect{Size: c.size}}
	if c.digest != "" {
		request.Expect.SHA256 = c.digest.Encoded()
	}
	if s.o.Credentials != nil {
		u, err := url.Parse(c.at)
		if err != nil {
			return fetch.Result{}, fmt.Errorf("fetch %s: %w", c.at, err)
		}
		if request.Credentials, err = s.o.Credentials(ctx, u.Host); err != nil {
			return fetch.Result{}, fmt.Errorf("credentials for %s: %w", u.Host, err)
		}
	}
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return fetch.Result{}, err
	}
	defer s.slots.Release(1)
	result, err := s.o.Fetcher.Fetch(ctx, request, func(p fetch.Progress) {
		if tell != nil {
			tell(Progress{Done: p.Done, Total: p.Total, Resumed: p.Resumed})
		}
	})
	if fetch.KindOf(err) == fetch.Unreachable && err != nil {
		return result, fmt.Errorf("%w; what has come is kept, so run it again, or name a mirror", err)
	}
	return result, err
}

// keep puts small content into the cache under its digest.
func (s *Store) keep(raw []byte) (Content, error) {
	c := Content{Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	c.Path = s.path(c.Digest)
	if st, err := os.Lstat(c.Path); err == nil && st.Size() == c.Size {
		return c, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return c, err
	}
	f, err := os.CreateTemp(s.o.Scratch, "keep-")
	if err != nil {
		return c, err
	}
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Close()); err != nil {
		return c, fmt.Errorf("keep %s: %w", c.Digest, err)
	}
	return c, os.Rename(f.Name(), c.Path)
}
