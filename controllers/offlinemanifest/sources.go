package offlinemanifest

import (
	"context"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// Fetcher fetches one file; *fetch.Program does.
type Fetcher interface {
	Fetch(ctx context.Context, request fetch.Request, progress func(fetch.Progress)) (fetch.Result, error)
}

// Sources says where bundles may come from, and how those that are not on this machine get here.
type Sources struct {
	// Roots are the directories, absolute and clean, below which file:// sources may lie.
	Roots []string
	// StoreDir is the directory that other sources are copied into; it belongs to the manager alone. Empty allows no other sources.
	StoreDir string
	// Fetcher copies them. Required with StoreDir.
	Fetcher Fetcher
	// Namespace holds the Secrets and ConfigMaps that OfflineManifests name.
	Namespace string
	// AllowHTTP permits sources without TLS, AllowLoopback those on this very machine.
	AllowHTTP, AllowLoopback bool
	// MaxBytes is how large a bundle may be; KeepFreeBytes is how much of the store's file system has to stay free.
	MaxBytes, KeepFreeBytes int64
	// MaxConcurrent fetches.
	MaxConcurrent int
	// ProgressInterval is how often a fetch under way is told of at most.
	ProgressInterval time.Duration
	// RetryDelay is how long after a failed attempt the next one comes; it doubles with each failure, up to MaxRetryDelay.
	RetryDelay, MaxRetryDelay time.Duration
	// GarbageDelay is how long a plan to remove files is shown before it is carried out.
	GarbageDelay time.Duration
}

const (
	defaultMaxBytes         = 64 << 30
	defaultMaxConcurrent    = 3
	defaultProgressInterval = 5 * time.Second
	defaultRetryDelay       = 5 * time.Second
	defaultMaxRetryDelay    = 10 * time.Minute
	defaultGarbageDelay     = 30 * time.Second
)

// WithDefaults returns the settings with those filled in that were left out, or says what is missing.
func (s Sources) WithDefaults() (Sources, error) {
	if s.StoreDir != "" && s.Fetcher == nil {
		return s, fmt.Errorf("the store %s needs a program that fetches", s.StoreDir)
	}
	s.MaxBytes = orDefault(s.MaxBytes, defaultMaxBytes)
	s.MaxConcurrent = orDefault(s.MaxConcurrent, defaultMaxConcurrent)
	s.ProgressInterval = orDefault(s.ProgressInterval, defaultProgressInterval)
	s.RetryDelay = orDefault(s.RetryDelay, defaultRetryDelay)
	s.MaxRetryDelay = orDefault(s.MaxRetryDelay, defaultMaxRetryDelay)
	s.GarbageDelay = orDefault(s.GarbageDelay, defaultGarbageDelay)
	return s, nil
}

func orDefault[T int | int64 | time.Duration](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

// retryDelay is how long to wait after so many failures in a row.
func (s Sources) retryDelay(failures int32) time.Duration {
	delay := s.RetryDelay
	for ; failures > 1 && delay < s.MaxRetryDelay; failures-- {
		delay *= 2
	}
	return min(delay, s.MaxRetryDelay)
}
