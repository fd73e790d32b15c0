package box

import (
	"os"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// fetcher carries out one request. What it has of the world is in its fields, so that tests can put another there.
type fetcher struct {
	after   func(d time.Duration, f func()) timer
	free    func(dir string) (int64, error)
	connect connector
	write   func(f *os.File, b []byte) (int, error)
	rename  func(from, to string) error

	mu  sync.Mutex
	now fetch.Progress
}

// timer is what after returns.
type timer interface {
	// Reset begins the time anew.
	Reset(d time.Duration) bool
	// Stop ends it.
	Stop() bool
}

func newFetcher() *fetcher {
	return &fetcher{
		after:   func(d time.Duration, f func()) timer { return time.AfterFunc(d, f) },
		free:    freeBytes,
		connect: connect,
		write:   (*os.File).Write,
		rename:  os.Rename,
	}
}

// progress is how far the fetch has come. It may be asked for at any time.
func (f *fetcher) progress() fetch.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fetcher) report(p fetch.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = p
}
