package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// Limits on what a file may make Open hold in memory.
const (
	maxEntries  = 1 << 16
	maxJSONSize = 8 << 20
)

// archive is one tar file in the one form: where its entries are. What they mean it does not know.
type archive struct {
	path    string
	file    io.ReaderAt
	closer  io.Closer
	size    int64
	entries map[string]entry
	order   []string
}

// entry is where a tar entry's content lies.
type entry struct{ offset, size int64 }

// openArchive opens a file and walks its headers.
func openArchive(path string) (*archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("open bundle %s: it is not a regular file", path)
	}
	var a *archive
	if err == nil {
		a, err = scan(path, f, st.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	a.closer = f
	return a, nil
}

// scan walks the tar headers of any random-access content.
func scan(path string, r io.ReaderAt, size int64) (*archive, error) {
	a := &archive{path: path, file: r, size: size, entries: map[string]entry{}}
	w := walker{archive: a}
	for {
		name, e, err := w.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(a.order) == maxEntries {
			return nil, a.malformed(name, e.offset-blockSize, "there are too many entries")
		}
		a.entries[name] = e
		a.order = append(a.order, name)
	}
	if w.pos != size {
		return nil, a.malformed("", w.pos, "there is something after the end of the archive")
	}
	return a, nil
}

// walker goes through an archive entry by entry. Between calls of next, pos is where the next padding begins.
type walker struct {
	archive *archive
	// pos is where it has come to, last the entry it has passed, pad how much padding follows that.
	pos  int64
	last string
	pad  int64
}

// next returns the next entry, or io.EOF after the end mark, with pos behind it. Errors: TruncatedError, MalformedError.
func (w *walker) next() (string, entry, error) {
	var (
		a    = w.archive
		buf  [2 * blockSize]byte // padding of the entry before and the next header
		zero [2 * blockSize]byte
	)
	chunk := buf[:w.pad+blockSize]
	if err := a.readAt(chunk, w.pos, w.last); err != nil {
		return "", entry{}, err
	}
	if !bytes.Equal(chunk[:w.pad], zero[:w.pad]) {
		return "", entry{}, a.malformed(w.last, w.pos, "padding is not zero")
	}
	at := w.pos + w.pad
	header := (*[blockSize]byte)(chunk[w.pad:])
	if *header == [blockSize]byte(zero[:blockSize]) {
		return "", entry{}, w.end(at + blockSize)
	}
	name, size, err := decodeHeader(header)
	if err == nil {
		err = checkName(name)
	}
	e := entry{offset: at + blockSize, size: size}
	switch {
	case err != nil:
		return "", entry{}, a.malformed(fmt.Sprintf("%.120q", name), at, err.Error())
	case name == w.last:
		return "", entry{}, a.malformed(name, at, "the entry occurs twice")
	case name < w.last:
		return "", entry{}, a.malformed(name, at, "entries are out of order, this one is listed twice or late")
	case size > a.size-e.offset:
		return "", entry{}, &TruncatedError{Path: a.path, Entry: name, Size: a.size, Need: e.offset + size}
	}
	w.pos, w.pad, w.last = e.offset+size, padding(size), name
	return name, e, nil
}

// end reads the second half of the end mark and returns io.EOF if it is right.
func (w *walker) end(at int64) error {
	var end, zero [blockSize]byte
	if err := w.archive.readAt(end[:], at, ""); err != nil {
		return err
	}
	if end != zero {
		return w.archive.malformed("", at, "the end-of-archive mark is incomplete")
	}
	w.pos, w.pad = at+blockSize, 0
	return io.EOF
}

// small reads a whole entry of limited size.
func (a *archive) small(name string) ([]byte, error) {
	e, ok := a.entries[name]
	if !ok {
		return nil, a.malformed(name, -1, "the entry is missing")
	}
	if e.size > maxJSONSize {
		return nil, a.malformed(name, e.offset, fmt.Sprintf("%d bytes are too many for it", e.size))
	}
	buf := make([]byte, e.size)
	if err := a.readAt(buf, e.offset, name); err != nil {
		return nil, err
	}
	return buf, nil
}

// smallBlob reads a blob of limited size and checks it against its descriptor.
func (a *archive) smallBlob(d Descriptor, namedBy string) ([]byte, error) {
	name := blobName(d.Digest)
	e, ok := a.entries[name]
	if !ok {
		return nil, &MissingBlobError{Path: a.path, Digest: d.Digest, NamedBy: namedBy}
	}
	if e.size != d.Size {
		return nil, &SizeMismatchError{Path: a.path, Entry: name, NamedBy: namedBy, Want: d.Size, Got: e.size}
	}
	raw, err := a.small(name)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(raw); got != d.Digest {
		return nil, &DigestMismatchError{Path: a.path, Entry: name, NamedBy: namedBy, Want: d.Digest, Got: got}
	}
	return raw, nil
}

func (a *archive) readAt(p []byte, off int64, name string) error {
	if off+int64(len(p)) > a.size {
		return &TruncatedError{Path: a.path, Entry: name, Size: a.size, Need: off + int64(len(p))}
	}
	if n, err := a.file.ReadAt(p, off); err != nil && (n != len(p) || !errors.Is(err, io.EOF)) {
		return fmt.Errorf("read bundle %s at byte %d: %w", a.path, off, err)
	}
	return nil
}

func (a *archive) malformed(name string, off int64, reason string) error {
	return &MalformedError{Path: a.path, Entry: name, Offset: off, Reason: reason}
}
