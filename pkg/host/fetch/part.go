package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// partSuffix ends the name of what came of a blob so far.
const partSuffix = ".part"

// partLifetime is how long a part waits for the next try before it counts as forgotten.
const partLifetime = 7 * 24 * time.Hour

// part is the beginning of a blob on the disk, with the sum of what it holds.
type part struct {
	file *os.File
	hash hash.Hash
	size int64
}

// openPart opens the part that belongs to path and reads what is there already; one that is longer than the blob is begun again. Only the
// holder of the host's lease fetches, so nobody else writes to it.
func openPart(path string, size int64) (*part, error) {
	file, err := os.OpenFile(path+partSuffix, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep what comes of a blob: %w", err)
	}
	p := &part{file: file, hash: sha256.New()}
	// Without a ReaderFrom in between, the buffer is what decides how much is read at once.
	if p.size, err = io.CopyBuffer(struct{ io.Writer }{p.hash}, struct{ io.Reader }{io.LimitReader(file, size+1)}, make([]byte, bufferSize)); err != nil {
		p.close()
		return nil, fmt.Errorf("read what came of a blob before: %w", err)
	}
	if p.size > size {
		if err := p.restart(); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// fill appends src, which must bring the part to exactly size bytes.
func (p *part) fill(src io.Reader, size int64, alive func(int64)) error {
	buf := make([]byte, bufferSize)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if p.size+int64(n) > size {
				return fmt.Errorf("more than the %d bytes of the blob came", size)
			}
			if _, werr := p.file.Write(buf[:n]); werr != nil {
				// What was written of it is not known, and the next try reads what is there.
				return werr
			}
			p.hash.Write(buf[:n])
			p.size += int64(n)
			alive(p.size)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if p.size != size {
		return fmt.Errorf("the transfer ended after %d of %d bytes: %w", p.size, size, io.ErrUnexpectedEOF)
	}
	return nil
}

func (p *part) digest() string { return "sha256:" + hex.EncodeToString(p.hash.Sum(nil)) }

// restart empties the part.
func (p *part) restart() error {
	if err := p.file.Truncate(0); err != nil {
		return fmt.Errorf("begin a blob again: %w", err)
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("begin a blob again: %w", err)
	}
	p.hash.Reset()
	p.size = 0
	return nil
}

// become gives the part its name as a blob.
func (p *part) become(path string) error { return os.Rename(p.file.Name(), path) }

// close leaves the part for the next try, unless there is nothing in it.
func (p *part) close() {
	if p.size == 0 {
		_ = os.Remove(p.file.Name())
	}
	_ = p.file.Close()
}

// CleanParts removes from dir what came of blobs that nobody has gone on fetching for a week.
func CleanParts(dir string, now time.Time) {
	parts, _ := filepath.Glob(filepath.Join(dir, "*"+partSuffix)) // the pattern is a constant and well formed
	for _, name := range parts {
		if info, err := os.Lstat(name); err == nil && now.Sub(info.ModTime()) > partLifetime {
			_ = os.Remove(name)
		}
	}
}
