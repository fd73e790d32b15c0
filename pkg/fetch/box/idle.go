package box

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// watchIdle returns a context that ends when alive was not called for d, and a function that ends the watch.
func (j *job) watchIdle(ctx context.Context) (_ context.Context, alive, stop func()) {
	d := j.request.Limits.IdleTimeout
	ctx, cancel := context.WithCancelCause(ctx)
	timer := j.after(d, func() {
		cancel(&fetch.Error{Kind: fetch.Unreachable, Message: fmt.Sprintf("the server sent nothing for %s", d.Round(time.Millisecond))})
	})
	return ctx, func() { timer.Reset(d) }, func() { timer.Stop(); cancel(nil) }
}

// livelyReader calls alive whenever bytes came.
type livelyReader struct {
	from  io.Reader
	alive func()
}

func (r livelyReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if n > 0 {
		r.alive()
	}
	return n, err
}

// idleOr says that the server fell silent, if that is why a request failed.
func idleOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
