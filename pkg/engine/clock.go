package engine

import (
	"context"
	"time"
)

// Clock is where a run takes its time from, so that tests and simulations need not wait.
type Clock interface {
	// Now is the present time.
	Now() time.Time
	// After delivers once, d from now.
	After(d time.Duration) <-chan time.Time
	// WithTimeout returns a context that ends with context.DeadlineExceeded d from now.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// SystemClock is the clock of the machine.
type SystemClock struct{}

// Now is the present time.
func (SystemClock) Now() time.Time { return time.Now() }

// After delivers once, d from now.
func (SystemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// WithTimeout returns a context that ends d from now.
func (SystemClock) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
