package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
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
			return nil, &UntrustedError{Path: b.path, Want: o.Expected, Got: b.Digest()}
		}
	}
	start := time.Now()
	report := &Report{Digest: b.Digest()}
	for _, name := range b.order {
		if isBlob(name) {
			report.Blobs++
			report.Bytes += b.entries[name].size
		}
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
	for _, name := range b.order {
		if !isBlob(name) {
			continue // the index was compared byte for byte by Open
		}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return b.verifyBlob(ctx, name, advance) })
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

func isBlob(name string) bool { return name != layoutName && name != indexName }

func (b *Bundle) verifyBlob(ctx context.Context, name string, advance func(int)) error {
	e := b.entries[name]
	digester := digest.SHA256.Digester()
	buf := make([]byte, min(1<<20, e.size))
	for off := int64(0); off < e.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := buf[:min(int64(len(buf)), e.size-off)]
		n, err := b.file.ReadAt(chunk, e.offset+off)
		if n != len(chunk) {
			if errors.Is(err, io.EOF) {
				return &TruncatedError{Path: b.path, Entry: name, Size: e.offset + off + int64(n), Need: e.offset + e.size}
			}
			return fmt.Errorf("read bundle %s at byte %d: %w", b.path, e.offset+off, err)
		}
		digester.Hash().Write(chunk)
		off += int64(n)
		advance(n)
	}
	want := digest.Digest("sha256:" + name[len(blobPrefix):])
	if got := digester.Digest(); got != want {
		return &DigestMismatchError{Path: b.path, Entry: name, Want: want, Got: got}
	}
	return nil
}
