package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// PartsSuffix is what the list of parts has behind the bundle's file name.
const PartsSuffix = ".parts.json"

// maxParts bounds what a list of parts may name.
const maxParts = 9999

// Parts lists the parts of a split bundle. It lies beside them and is not trusted: the bundle it leads to is checked by its digests.
type Parts struct {
	// Name is the bundle's file name, Size its length in bytes.
	Name string `json:"name"`
	Size int64  `json:"size"`
	// Parts follow one another.
	Parts []Part `json:"parts"`
}

// Part is one part of a split bundle.
type Part struct {
	// Name is the part's file name, Size its length in bytes, Digest that of its bytes, for whoever wants to check a medium alone.
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	Digest digest.Digest `json:"digest"`
}

// MissingPartError says that a part of a split bundle is not there, or has not its length.
type MissingPartError struct {
	// List is the list of parts, Number the part's, from 1 on, of Count.
	List          string
	Number, Count int
	// Path is where the part should be, Err why it is not right.
	Path string
	Err  error
}

func (e *MissingPartError) Error() string {
	return fmt.Sprintf("part %d of %d is needed next: %v; bring %s and run this again, it goes on from there", e.Number, e.Count, e.Err, e.Path)
}

// Unwrap returns why the part is not right.
func (e *MissingPartError) Unwrap() error { return e.Err }

// DamagedPartError says in which parts of a split bundle a fault lies.
type DamagedPartError struct {
	// Parts are the paths of the parts the damaged entry lies in.
	Parts []string
	// Err is the fault.
	Err error
}

func (e *DamagedPartError) Error() string {
	return fmt.Sprintf("copy %s again, something in it was damaged: %v", list(e.Parts), e.Err)
}

// Unwrap returns the fault.
func (e *DamagedPartError) Unwrap() error { return e.Err }

// Split cuts a bundle or delta into parts of at most size bytes in dir, and writes a list of them, whose path it returns. A part that
// is there already and right is left alone.
func Split(ctx context.Context, source, dir string, size int64) (string, error) {
	a, err := openArchive(source)
	if err != nil {
		return "", err
	}
	defer a.closer.Close() //nolint:errcheck // read only
	if size <= 0 || (a.size+size-1)/size > maxParts {
		return "", fmt.Errorf("split %s: parts of %d bytes would be more than %d", source, size, maxParts)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // it is for media that others read
		return "", fmt.Errorf("make the directory for the parts: %w", err)
	}
	parts := Parts{Name: filepath.Base(source), Size: a.size}
	for off := int64(0); off < a.size; off += size {
		part := Part{Name: fmt.Sprintf("%s.%03d", parts.Name, len(parts.Parts)+1), Size: min(size, a.size-off)}
		section := func() io.Reader { return stoppable(ctx, io.NewSectionReader(a.file, off, part.Size)) }
		if part.Digest, err = digest.SHA256.FromReader(section()); err != nil {
			return "", fmt.Errorf("split %s: %w", source, err)
		}
		if err := writePart(ctx, filepath.Join(dir, part.Name), part, section()); err != nil {
			return "", fmt.Errorf("split %s: %w", source, err)
		}
		parts.Parts = append(parts.Parts, part)
	}
	raw, err := json.MarshalIndent(parts, "", "  ")
	if err != nil {
		return "", fmt.Errorf("split %s: %w", source, err)
	}
	to := filepath.Join(dir, parts.Name+PartsSuffix)
	return to, writeAtomicMode(to, 0o644, func(w io.Writer) error {
		_, err := w.Write(append(raw, '\n'))
		return err
	})
}

func writePart(ctx context.Context, path string, part Part, content io.Reader) error {
	if f, err := os.Open(path); err == nil {
		have, err := digest.SHA256.FromReader(stoppable(ctx, io.LimitReader(f, part.Size+1)))
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		if have == part.Digest {
			return nil
		}
	}
	return writeAtomicMode(path, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, content)
		return err
	})
}

// Join makes the bundle of its parts, which lie beside their list, at path, as Copy does. Not all parts have to be there: as far as they
// are they are copied, MissingPartError names the next, and a later run goes on with it. Damage is a DamagedPartError that names the
// parts to bring again.
func Join(ctx context.Context, path, list string, o CopyOptions) error {
	parts, err := readParts(list)
	if err != nil {
		return err
	}
	r := &partsReader{list: list, parts: parts}
	defer r.close()
	return copyArchive(ctx, path, &archive{path: list, file: r, size: parts.Size}, o, r.blame)
}

// blame names the parts in which a fault lies.
func (r *partsReader) blame(from, to int64, err error) error {
	if missing, ok := errors.AsType[*MissingPartError](err); ok {
		return missing
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	first, _ := r.partAt(from)
	last, _ := r.partAt(max(from, to-1))
	damaged := &DamagedPartError{Err: err}
	for i := first; i <= last && i < len(r.parts.Parts); i++ {
		damaged.Parts = append(damaged.Parts, r.path(i))
	}
	return damaged
}

func readParts(path string) (*Parts, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read list of parts: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	parts := &Parts{}
	if err := json.NewDecoder(io.LimitReader(f, maxJSONSize)).Decode(parts); err != nil {
		return nil, fmt.Errorf("read list of parts %s: %w", path, err)
	}
	if len(parts.Parts) == 0 || len(parts.Parts) > maxParts {
		return nil, fmt.Errorf("list of parts %s: it names %d parts", path, len(parts.Parts))
	}
	var sum int64
	for _, p := range parts.Parts {
		if p.Name == "" || p.Name != filepath.Base(p.Name) || p.Name == ".." || p.Size <= 0 || p.Size > parts.Size {
			return nil, fmt.Errorf("list of parts %s: %.120q of %d bytes is no part", path, p.Name, p.Size)
		}
		sum += p.Size
	}
	if sum != parts.Size {
		return nil, fmt.Errorf("list of parts %s: the parts have %d bytes together, the bundle %d", path, sum, parts.Size)
	}
	return parts, nil
}

// partsReader reads parts as one file. The one that was read last stays open.
type partsReader struct {
	list  string
	parts *Parts

	open   *os.File
	number int
}

// ReadAt reads across the borders of parts.
func (r *partsReader) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		i, start := r.partAt(off + int64(done))
		if i == len(r.parts.Parts) {
			return done, io.EOF
		}
		if err := r.use(i); err != nil {
			return done, err
		}
		in := off + int64(done) - start
		part := p[done:][:min(int64(len(p)-done), r.parts.Parts[i].Size-in)]
		n, err := r.open.ReadAt(part, in)
		done += n
		if err != nil {
			return done, r.missing(i, err)
		}
	}
	return done, nil
}

// partAt is the part that holds an offset, and where that part starts.
func (r *partsReader) partAt(off int64) (i int, start int64) {
	for i < len(r.parts.Parts) && off >= start+r.parts.Parts[i].Size {
		start += r.parts.Parts[i].Size
		i++
	}
	return i, start
}

func (r *partsReader) use(i int) error {
	if r.open != nil && r.number == i {
		return nil
	}
	r.close()
	f, err := os.Open(r.path(i))
	if err != nil {
		return r.missing(i, err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != r.parts.Parts[i].Size {
		if err == nil {
			err = fmt.Errorf("it has %d bytes instead of %d", st.Size(), r.parts.Parts[i].Size)
		}
		return r.missing(i, errors.Join(err, f.Close()))
	}
	r.open, r.number = f, i
	return nil
}

func (r *partsReader) path(i int) string {
	return filepath.Join(filepath.Dir(r.list), r.parts.Parts[i].Name)
}

func (r *partsReader) missing(i int, err error) error {
	return &MissingPartError{List: r.list, Number: i + 1, Count: len(r.parts.Parts), Path: r.path(i), Err: err}
}

func (r *partsReader) close() {
	if r.open != nil {
		_ = r.open.Close() // it was only read
		r.open = nil
	}
}
