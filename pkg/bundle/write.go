package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/opencontainers/go-digest"
)

// Blob is content to be written: a length and something that can write that many bytes.
type Blob struct {
	Size int64
	// Copy writes the content to w. It may be called more than once and must write the same each time.
	Copy func(w io.Writer) error
	// From is the bundle the content comes from, for errors; empty when it comes from elsewhere.
	From string
	// namedBy is what the content belongs to, for errors.
	namedBy string
}

// BytesBlob is a Blob of bytes in memory, with its digest.
func BytesBlob(b []byte) (digest.Digest, Blob) {
	return digest.FromBytes(b), Blob{Size: int64(len(b)), Copy: func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}}
}

// FileBlob is a Blob read from a file, which must not change until the bundle is written.
func FileBlob(path string, size int64) Blob {
	return Blob{Size: size, Copy: func(w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		_, err = io.Copy(w, f)
		return err
	}}
}

// Write writes the bundle that cfg describes to path, taking content from blobs, and returns its digest. cfg is put into
// its one order. All content is hashed on the way; path appears only when everything was right and is on disk. Equal cfg
// and content give equal bytes. Attachments say something about the bundle and do not change its digest.
func Write(ctx context.Context, path string, cfg *Config, blobs map[digest.Digest]Blob, attachments ...Attachment) (digest.Digest, error) {
	p, err := planOf(cfg)
	if err != nil {
		return "", fmt.Errorf("write bundle %s: %w", path, err)
	}
	if err := p.write(ctx, path, content{blobs: blobs, attachments: attachments}); err != nil {
		return "", err
	}
	return p.rootDigest, nil
}

// DigestOf is the digest of the bundle that Write makes of cfg, which is put into its one order.
func DigestOf(cfg *Config) (digest.Digest, error) {
	p, err := planOf(cfg)
	if err != nil {
		return "", err
	}
	return p.rootDigest, nil
}

// planOf completes, orders and checks cfg.
func planOf(cfg *Config) (*plan, error) {
	cfg.FormatVersion = FormatVersion
	cfg.Created = cfg.Created.UTC()
	cfg.normalize()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return planFor(cfg)
}

// content is what a file is written from.
type content struct {
	// base is the one of a delta.
	base  *Base
	blobs map[digest.Digest]Blob
	// without are blobs to leave out, because base has them.
	without     map[digest.Digest]need
	attachments []Attachment
}

// write writes the file of the bundle, or of a delta.
func (p *plan) write(ctx context.Context, path string, c content) error {
	all, err := p.entries(c)
	if err == nil {
		err = writeAtomicMode(path, 0o644, func(w io.Writer) error { return writeTar(ctx, w, all) })
	}
	if err != nil {
		return fmt.Errorf("write bundle %s: %w", path, err)
	}
	return nil
}

// entries are everything that goes into the file, by name.
func (p *plan) entries(c content) (map[string]Blob, error) {
	all := make(map[string]Blob, len(p.blobs)+4)
	for d, n := range p.blobs {
		if _, ok := c.without[d]; ok {
			continue
		}
		b, ok := c.blobs[d]
		if !ok {
			return nil, fmt.Errorf("no content was given for blob %s, which %s names", d, n.namedBy)
		}
		if b.Size != n.size {
			return nil, fmt.Errorf("blob %s has %d bytes, but %s says %d", d, b.Size, n.namedBy, n.size)
		}
		b.namedBy = n.namedBy
		all[blobName(d)] = b
	}
	referrers, blobs, err := attach(p.rootDescriptor(), c.attachments)
	if err != nil {
		return nil, err
	}
	for d, b := range blobs {
		all[blobName(d)] = b
	}
	index, err := p.index(c.base, referrers)
	if err != nil {
		return nil, err
	}
	for name, raw := range map[string][]byte{
		blobName(p.configDigest): p.config,
		blobName(p.rootDigest):   p.root,
		indexName:                index,
		layoutName:               []byte(layoutFile),
	} {
		_, all[name] = BytesBlob(raw)
	}
	return all, nil
}

func writeTar(ctx context.Context, w io.Writer, entries map[string]Blob) error {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	sort.Strings(names)
	var h [blockSize]byte
	zeros := make([]byte, 2*blockSize)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := entries[name]
		if err := encodeHeader(&h, name, b.Size); err != nil {
			return err
		}
		if _, err := w.Write(h[:]); err != nil {
			return err
		}
		if err := copyChecked(w, name, b); err != nil {
			return fmt.Errorf("entry %s: %w", name, err)
		}
		if _, err := w.Write(zeros[:padding(b.Size)]); err != nil {
			return err
		}
	}
	_, err := w.Write(zeros)
	return err
}

// copyChecked writes the blob's content and fails when length or digest are not those it was named with.
func copyChecked(w io.Writer, name string, b Blob) error {
	digester := digest.SHA256.Digester()
	count := &countWriter{w: io.MultiWriter(w, digester.Hash())}
	if err := b.Copy(count); err != nil {
		return err
	}
	if count.n != b.Size {
		return fmt.Errorf("content has %d bytes, expected %d", count.n, b.Size)
	}
	if name == indexName || name == layoutName {
		return nil
	}
	if got := blobName(digester.Digest()); got != name {
		if b.From != "" {
			return &DigestMismatchError{Path: b.From, Entry: name, NamedBy: b.namedBy, Want: digest.Digest("sha256:" + name[len(blobPrefix):]), Got: digester.Digest()}
		}
		return fmt.Errorf("content changed while it was written: it is now %s", got)
	}
	return nil
}

type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// writeAtomicMode lets fill write a temporary file beside path and gives it its name once it is complete and on disk. What processes that
// were killed have left beside path is removed first: it may be as large as a bundle.
func writeAtomicMode(path string, mode os.FileMode, fill func(io.Writer) error) (err error) {
	if err := removeLeftovers(path); err != nil {
		return err
	}
	f, err := createTemporary(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreClosed(f.Close()), os.RemoveAll(f.Name())) // it may have its name already
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// It is closed, and with that let go, only when it has its name, or another process could take it for a leftover.
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
