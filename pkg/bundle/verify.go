package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// VerifyOptions are the options of Verify.
type VerifyOptions struct {
	// Expected is the trusted digest; empty means that only the bundle's own consistency is checked.
	Expected digest.Digest
	// Progress is called now and then with bytes done and bytes in all, from several goroutines.
	Progress func(done, total int64)
}

// Report is the outcome of a verification that found nothing wrong.
type Report struct {
	// Digest is the bundle's.
	Digest digest.Digest
	// Blobs and Bytes count what was hashed.
	Blobs int
	Bytes int64
	// Duration is how long it took.
	Duration time.Duration
}

// Verify hashes every blob. It reads the file in order, with as many blobs at a time as there are CPUs. Errors:
// UntrustedError (before anything is read), DigestMismatchError, TruncatedError when the file shrank after Open.
func (b *Bundle) Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	if o.Expected != "" {
		if err := validDigest(o.Expected); err != nil {
			return nil, fmt.Errorf("expected digest: %w", err)
		}
		if o.Expected != b.Digest() {
			return nil, &UntrustedError{Path: b.own.path, Want: o.Expected, Got: b.Digest()}
		}
	}
	start := time.Now()
	report := &Report{Digest: b.Digest()}
	places := b.places()
	for _, p := range places {
		report.Blobs++
		report.Bytes += p.size
	}
	var done atomic.Int64
	advance := func(n int) {
		sum := done.Add(int64(n))
		if o.Progress != nil {
			o.Progress(sum, report.Bytes)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range places {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return p.verify(ctx, advance) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil && done.Load() != report.Bytes {
		return nil, err
	}
	report.Duration = time.Since(start)
	return report, nil
}

// located is a place, the digest its content must have, and what names it.
type located struct {
	place
	digest  digest.Digest
	namedBy string
}

// places are all blobs in the order they lie in, so that a disk reads on; the index was compared byte for byte by Open.
func (b *Bundle) places() []located {
	out := make([]located, 0, len(b.blobs)+2)
	out = append(out,
		located{place{b.own, b.own.entries[blobName(b.plan.rootDigest)]}, b.plan.rootDigest, indexName},
		located{place{b.own, b.own.entries[blobName(b.plan.configDigest)]}, b.plan.configDigest, "the root manifest"})
	for d, p := range b.blobs {
		out = append(out, located{p, d, b.plan.blobs[d].namedBy})
	}
	for d, p := range b.attached {
		if _, ok := b.blobs[d]; !ok {
			out = append(out, located{p, d, "a referrer"})
		}
	}
	slices.SortFunc(out, func(x, y located) int {
		return cmp.Or(cmp.Compare(slices.Index(b.files, x.in), slices.Index(b.files, y.in)), cmp.Compare(x.offset, y.offset))
	})
	return out
}

// verify hashes one blob.
func (n located) verify(ctx context.Context, advance func(int)) error {
	digester := digest.SHA256.Digester()
	buf := make([]byte, min(1<<20, n.size))
	for off := int64(0); off < n.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buf[:min(int64(len(buf)), n.size-off)]
		got, err := n.in.file.ReadAt(chunk, n.offset+off)
		if got != len(chunk) {
			if errors.Is(err, io.EOF) {
				return &TruncatedError{Path: n.in.path, Entry: blobName(n.digest), NamedBy: n.namedBy, Size: n.offset + off + int64(got), Need: n.offset + n.size}
			}
			return fmt.Errorf("read bundle %s at byte %d: %w", n.in.path, n.offset+off, err)
		}
		digester.Hash().Write(chunk)
		off += int64(got)
		advance(got)
	}
	if got := digester.Digest(); got != n.digest {
		return &DigestMismatchError{Path: n.in.path, Entry: blobName(n.digest), NamedBy: n.namedBy, Want: n.digest, Got: got}
	}
	return nil
}
