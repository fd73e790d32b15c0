package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// partialSuffix is what an unfinished copy has behind its name.
const partialSuffix = ".partial"

// copyBuffer is how much is copied and hashed at a time, in bytes.
const copyBuffer = 1 << 20

// CopyOptions are the options of Copy and Join.
type CopyOptions struct {
	// Progress is called now and then with the bytes that are in place and the bytes in all.
	Progress func(done, total int64)
}

// Copy copies a bundle or delta to path and hashes every blob on the way, so that what arrives is as sound as its digest. A copy that
// was interrupted is continued: what stands in path + ".partial" is hashed again up to the first entry that is not whole and right,
// and the rest is copied. path appears when everything is right and on disk. Errors: DigestMismatchError, TruncatedError or
// MalformedError when the source is damaged (what was copied before stays for the next time), or the operating system's.
func Copy(ctx context.Context, path, source string, o CopyOptions) (err error) {
	f, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("copy bundle: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("copy bundle: %w", err)
	}
	plain := func(_, _ int64, err error) error { return err }
	return copyArchive(ctx, path, &archive{path: source, file: f, size: st.Size()}, o, plain)
}

// copier copies one archive into a partial file.
type copier struct {
	from     *archive
	to       *os.File
	progress func(done, total int64)
	// explain is told of a fault of the source and the bytes it lies in, and returns the error to report.
	explain func(from, to int64, err error) error
	buf     []byte
	// blobsEnd is where the last blob ends; what follows is known to be right only when the copy is opened.
	blobsEnd int64
	// blind says that the partial file could not be compared with all of the source.
	blind bool
}

func copyArchive(ctx context.Context, path string, from *archive, o CopyOptions, explain func(from, to int64, err error) error) (err error) {
	to, err := os.OpenFile(path+partialSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("copy bundle: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreClosed(to.Close())) }()
	if err := holdPartial(to); err != nil {
		return fmt.Errorf("copy bundle: %w", err)
	}
	c := copier{from: from, to: to, progress: o.Progress, explain: explain, buf: make([]byte, copyBuffer)}
	if c.progress == nil {
		c.progress = func(int64, int64) {}
	}
	w, err := c.resume(ctx)
	if err != nil {
		return err
	}
	if err := c.rest(ctx, w); err != nil {
		return err
	}
	return c.finish(path)
}

// holdPartial locks an open partial file, so that no other process writes it.
func holdPartial(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another process is writing %s: %w", f.Name(), err)
	}
	// The process that held the lock may have given this very file its name meanwhile; then it is a bundle, and must not be written to.
	same, err := stillNamed(f)
	if err == nil && !same {
		err = fmt.Errorf("another process has just finished %s; see whether anything is left to do", f.Name())
	}
	return err
}

// stillNamed says whether an open file is the one that has its name now.
func stillNamed(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(info, now), err
}

// resume returns a walker of the source that stands where the partial file stops being right, and cuts the file off there.
func (c *copier) resume(ctx context.Context) (*walker, error) {
	st, err := c.to.Stat()
	if err != nil {
		return nil, fmt.Errorf("copy bundle: %w", err)
	}
	have := &archive{path: c.to.Name(), file: c.to, size: st.Size()}
	at, source := walker{archive: have}, walker{archive: c.from}
	good := at
	for {
		name, e, err := at.next()
		if err == nil {
			err = c.compare(&source, at)
		}
		if err == nil {
			err = c.check(ctx, name, e, have, nil)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			break // the end, or where the last copy broke off: from here on the source counts
		}
		good = at
		c.passed(name, e)
		c.progress(good.pos, c.from.size)
	}
	if err := c.to.Truncate(good.pos); err != nil {
		return nil, fmt.Errorf("copy bundle: %w", err)
	}
	good.archive = c.from
	return &good, nil
}

// compare sees that the source has the same entry in the same place. Where it is a part that is not there any more, that cannot be known
// before the copy is complete.
func (c *copier) compare(source *walker, want walker) error {
	_, _, err := source.next()
	if _, gone := errors.AsType[*MissingPartError](err); gone {
		c.blind = true
		source.pos, source.pad, source.last = want.pos, want.pad, want.last
		return nil
	}
	if err == nil && (source.pos != want.pos || source.last != want.last) {
		err = want.archive.malformed(want.last, want.pos, "it is of another bundle")
	}
	return err
}

// rest copies what follows.
func (c *copier) rest(ctx context.Context, w *walker) error {
	for {
		before := w.pos
		name, e, err := w.next()
		if errors.Is(err, io.EOF) {
			return c.end(before, w.pos)
		}
		if err != nil {
			return c.explain(before, min(before+2*blockSize, c.from.size), err)
		}
		// Padding and header have one form, which the walker has checked.
		head := make([]byte, e.offset-before)
		if err := encodeHeader((*[blockSize]byte)(head[len(head)-blockSize:]), name, e.size); err != nil {
			return err
		}
		if _, err := c.to.WriteAt(head, before); err != nil {
			return fmt.Errorf("copy bundle: %w", err)
		}
		if err := c.check(ctx, name, e, c.from, c.to); err != nil {
			return c.explain(before, e.offset+e.size, err)
		}
		c.passed(name, e)
	}
}

func (c *copier) passed(name string, e entry) {
	if name != indexName && name != layoutName {
		c.blobsEnd = e.offset + e.size
	}
}

// check reads an entry's content, writes it to the same place of another file if there is one, and compares it with what it must be.
func (c *copier) check(ctx context.Context, name string, e entry, in *archive, to *os.File) error {
	digester := digest.SHA256.Digester()
	for off := int64(0); off < e.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk := c.buf[:min(int64(len(c.buf)), e.size-off)]
		if err := in.readAt(chunk, e.offset+off, name); err != nil {
			return err
		}
		digester.Hash().Write(chunk)
		if to != nil {
			if _, err := to.WriteAt(chunk, e.offset+off); err != nil {
				return fmt.Errorf("copy bundle: %w", err)
			}
			c.progress(e.offset+off, c.from.size)
		}
		off += int64(len(chunk))
	}
	if name == indexName || name == layoutName {
		return c.checkNamed(name, e, in)
	}
	if got := blobName(digester.Digest()); got != name {
		return &DigestMismatchError{Path: in.path, Entry: name, Want: digest.Digest("sha256:" + name[len(blobPrefix):]), Got: digester.Digest()}
	}
	return nil
}

// checkNamed compares what has no digest in its name with the source; both are small. That they are right shows when the copy is opened.
func (c *copier) checkNamed(name string, e entry, in *archive) error {
	if in == c.from {
		return nil
	}
	if e.size > maxJSONSize {
		return in.malformed(name, e.offset, "it is too large")
	}
	have, want := make([]byte, e.size), make([]byte, e.size)
	if err := errors.Join(in.readAt(have, e.offset, name), c.from.readAt(want, e.offset, name)); err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return in.malformed(name, e.offset, "it is of another bundle")
	}
	return nil
}

// end writes padding and end mark, which are zeros.
func (c *copier) end(from, to int64) error {
	if to != c.from.size {
		return c.from.malformed("", to, "there is something after the end of the archive")
	}
	if _, err := c.to.WriteAt(make([]byte, to-from), from); err != nil {
		return fmt.Errorf("copy bundle: %w", err)
	}
	c.progress(to, to)
	return nil
}

// finish sees that the copy is a bundle, or a delta, and gives it its name.
func (c *copier) finish(path string) error {
	b, err := Open(c.to.Name())
	if err == nil {
		err = b.Close()
	}
	if _, delta := errors.AsType[*MissingBaseError](err); err != nil && !delta {
		if c.blind {
			// It may be the beginning of another bundle, which would spoil every further run.
			err = errors.Join(err, os.Remove(c.to.Name()))
		}
		return c.explain(c.blobsEnd, c.from.size, fmt.Errorf("the copy of %s is complete, but no bundle: %w", c.from.path, err))
	}
	if err := errors.Join(c.to.Sync(), c.to.Close()); err != nil {
		return fmt.Errorf("copy bundle: %w", err)
	}
	if err := os.Rename(c.to.Name(), path); err != nil {
		return fmt.Errorf("copy bundle: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
