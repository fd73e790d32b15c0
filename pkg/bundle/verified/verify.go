package verified

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// tick is longer than the times of files stand still on the file systems of Linux: the kernel stamps them with a clock that goes on
// with each timer interrupt, of which there are 100 a second or more.
const tick = 20 * time.Millisecond

// Options are the options of Verify.
type Options struct {
	bundle.VerifyOptions
	// Anew hashes everything, whatever is remembered.
	Anew bool
	// Now is the time of day; time.Now when nil.
	Now func() time.Time
}

// Result is the outcome of a verification that found nothing wrong.
type Result struct {
	// Report says what was hashed, now or then; its Duration is zero when it was then.
	bundle.Report
	// VerifiedAt is when every byte was hashed, to the second.
	VerifiedAt time.Time
	// Remembered says that it was done before and nothing was read now.
	Remembered bool
	// NotKept is why this verification could not be remembered. The bundle is good all the same.
	NotKept error
}

// ChangedError says that a file was written to while it was hashed, so that nothing is known of it.
type ChangedError struct {
	// Path is the bundle file, of a set that of the delta.
	Path string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("bundle %s changed while it was verified; replace files by renaming, not by writing into them, and verify it again", e.Path)
}

// Verify hashes every blob of a bundle, unless that was done before to the very same files, and remembers when all are right. What turns
// out to be wrong is forgotten. Errors: those of Bundle.Verify, ChangedError.
func (c Cache) Verify(ctx context.Context, b *bundle.Bundle, o Options) (*Result, error) {
	if o.Expected != "" && o.Expected != b.Digest() {
		_, err := b.Verify(ctx, o.VerifyOptions) // it says so before it reads
		return nil, err
	}
	id, err := identityOf(b)
	if err != nil {
		return nil, err
	}
	if r, ok := c.load(id); ok && !o.Anew {
		return &Result{Report: bundle.Report{Digest: b.Digest(), Blobs: r.Blobs, Bytes: r.Bytes}, VerifiedAt: r.VerifiedAt, Remembered: true}, nil
	}
	if err := c.settle(ctx, id); err != nil {
		return nil, err
	}
	report, err := b.Verify(ctx, o.VerifyOptions)
	if err != nil {
		if ctx.Err() == nil {
			err = errors.Join(err, c.drop(id))
		}
		return nil, err
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	out := &Result{Report: *report, VerifiedAt: now().UTC().Truncate(time.Second)}
	after, err := identityOf(b)
	if err != nil {
		return nil, err
	}
	if !after.equal(id) {
		return nil, &ChangedError{Path: b.Path()}
	}
	out.NotKept = c.save(record{Identity: id, VerifiedAt: out.VerifiedAt, Blobs: report.Blobs, Bytes: report.Bytes})
	return out, nil
}

// settle waits until another write to the files would give them another time than they have. It takes no time unless they were written
// just now.
func (c Cache) settle(ctx context.Context, id identity) error {
	age := time.Since(id.modified())
	if c.dir == "" || age < 0 || age >= tick {
		return nil
	}
	timer := time.NewTimer(tick - age)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
