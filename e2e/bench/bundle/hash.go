package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// part is how much one core hashes at a time, in bytes.
const part = 16 << 20

// hashWhole hashes the file from its beginning to its end, as sha256sum does.
func hashWhole(_ context.Context, file, _ string) (outcome, error) {
	f, err := os.Open(file)
	if err != nil {
		return outcome{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	n, err := io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return outcome{bytes: n}, err
}

// hashParts hashes the file in parts on all cores: what the machine can do with it.
func hashParts(ctx context.Context, file, _ string) (outcome, error) {
	f, err := os.Open(file)
	if err != nil {
		return outcome{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return outcome{}, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for off := int64(0); off < st.Size() && ctx.Err() == nil; off += part {
		group.Go(func() error {
			_, err := io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{io.NewSectionReader(f, off, part)}, make([]byte, 1<<20))
			return err
		})
	}
	return outcome{bytes: st.Size()}, group.Wait()
}

// verify measures Verify alone.
func verify(ctx context.Context, file, _ string) (outcome, error) {
	b, err := bundle.Open(file)
	if err != nil {
		return outcome{}, err
	}
	defer b.Close() //nolint:errcheck // read only
	r, err := b.Verify(ctx, bundle.VerifyOptions{})
	if err != nil {
		return outcome{}, err
	}
	return outcome{bytes: r.Bytes}, nil
}

// importBundle does what has to be done before a bundle can be used and served.
func importBundle(ctx context.Context, file, _ string) (outcome, error) {
	b, err := bundle.Open(file)
	if err != nil {
		return outcome{}, err
	}
	defer b.Close() //nolint:errcheck // read only
	if _, err := b.Verify(ctx, bundle.VerifyOptions{Expected: b.Digest()}); err != nil {
		return outcome{}, err
	}
	return outcome{bytes: b.Size()}, nil
}

// copyBundle brings a bundle from a medium.
func copyBundle(ctx context.Context, file, scratch string) (outcome, error) {
	to := filepath.Join(scratch, "copy.bundle")
	if err := bundle.Copy(ctx, to, file, bundle.CopyOptions{}); err != nil {
		return outcome{}, err
	}
	st, err := os.Stat(to)
	if err != nil {
		return outcome{}, err
	}
	if err := os.Remove(to); err != nil {
		return outcome{}, fmt.Errorf("remove the copy: %w", err)
	}
	return outcome{bytes: st.Size()}, nil
}
