package box

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// mark says how much of a part is safe on the disk, and of what. It is written after the bytes it speaks of.
type mark struct {
	// Source the bytes come from. Bytes of another source are not gone on with.
	Source string `json:"source"`
	// Validator is the server's strong ETag or time of modification. Without one it cannot be asked whether the file is still the same.
	Validator string `json:"validator,omitempty"`
	// Total size of the file; zero when unknown.
	Total int64 `json:"total,omitempty"`
	// Safe bytes.
	Safe int64 `json:"safe"`
}

// part is a file that grows. Its lock keeps other processes away.
type part struct {
	destination, path, markPath string
	file                        *os.File
	mark                        mark
	hash                        hash.Hash
	size                        int64
	received                    int64
	every                       int64
	// placed says that the file got its name already and nothing is left to do; size and sum are that file's.
	placed bool
	write  func(f *os.File, b []byte) (int, error)
	rename func(from, to string) error
}

// openPart opens what an earlier fetch of the same source left, up to the last byte that is known to be safe, or an empty part.
func openPart(destination, source string, every int64) (_ *part, err error) {
	p := &part{
		destination: destination, path: destination + fetch.PartSuffix, markPath: destination + fetch.MarkSuffix,
		hash: sha256.New(), every: every, write: (*os.File).Write, rename: os.Rename,
	}
	p.file, err = os.OpenFile(p.path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, diskError("open "+p.path, err)
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := unix.Flock(int(p.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &fetch.Error{Kind: fetch.Busy, Message: fmt.Sprintf("another process is fetching to %s", destination)}
	} else if err != nil {
		return nil, fmt.Errorf("lock %s: %w", p.path, err)
	}
	p.mark = p.readMark(source)
	info, err := p.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", p.path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &fetch.Error{Kind: fetch.Failed, Message: p.path + " is not a regular file: remove it"}
	}
	// The process that held the lock may have put this very file in its place meanwhile; then it is a part no more.
	if now, err := os.Lstat(p.path); err != nil || !os.SameFile(info, now) {
		return nil, &fetch.Error{Kind: fetch.Busy, Message: fmt.Sprintf("another process has just fetched to %s", destination)}
	}
	if info.Size() == 0 && p.mark.isWhole() {
		if p.placed, err = p.readPlaced(); err != nil || p.placed {
			return p, err
		}
	}
	if p.mark.Safe > info.Size() {
		p.mark = mark{Source: source}
	}
	if err := p.file.Truncate(p.mark.Safe); err != nil {
		return nil, diskError("shorten "+p.path, err)
	}
	// What is there is hashed anew: the sum has to be that of the bytes on the disk.
	if p.size, err = io.Copy(p.hash, p.file); err != nil {
		return nil, fmt.Errorf("read %s: %w", p.path, err)
	}
	return p, nil
}

// readMark returns the mark if it is of the same source. A damaged one only costs time.
func (p *part) readMark(source string) mark {
	content, err := os.ReadFile(p.markPath)
	var m mark
	if err != nil || json.Unmarshal(content, &m) != nil || m.Source != source || m.Safe < 0 || (m.Total > 0 && m.Safe > m.Total) {
		return mark{Source: source}
	}
	return m
}

// begin empties the part for a file with another validator or size.
func (p *part) begin(validator string, total int64) error {
	p.mark = mark{Source: p.mark.Source, Validator: validator, Total: total}
	// The mark first: a crash in between must not leave one that speaks of bytes of the file before.
	if err := p.writeMark(); err != nil {
		return err
	}
	if err := p.file.Truncate(0); err != nil {
		return diskError("empty "+p.path, err)
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind %s: %w", p.path, err)
	}
	p.hash.Reset()
	p.size = 0
	return nil
}

// Write takes in bytes that follow upon those that are there.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.write(p.file, b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	p.received += int64(n)
	if err != nil {
		return n, diskError("write "+p.path, err)
	}
	if p.size-p.mark.Safe >= p.every {
		return n, p.checkpoint()
	}
	return n, nil
}

// checkpoint makes safe what is there.
func (p *part) checkpoint() error {
	if p.mark.Safe == p.size {
		return nil
	}
	if err := p.file.Sync(); err != nil {
		return diskError("write "+p.path, err)
	}
	p.mark.Safe = p.size
	return p.writeMark()
}

func (p *part) writeMark() error {
	content, err := json.Marshal(p.mark)
	if err != nil {
		return fmt.Errorf("write %s: %w", p.markPath, err)
	}
	fresh := p.markPath + ".new"
	if err := os.WriteFile(fresh, content, 0o600); err != nil {
		return diskError("write "+fresh, err)
	}
	if err := os.Rename(fresh, p.markPath); err != nil {
		return diskError("write "+p.markPath, err)
	}
	return nil
}

func (p *part) sum() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// check compares the whole file with what is known of it.
func (p *part) check(expect fetch.Expect) error {
	if expect.Size > 0 && p.size != expect.Size {
		return &fetch.Error{Kind: fetch.Mismatch, Message: fmt.Sprintf("%s has %d bytes, expected are %d", p.mark.Source, p.size, expect.Size)}
	}
	if got := p.sum(); expect.SHA256 != "" && got != expect.SHA256 {
		return &fetch.Error{Kind: fetch.Mismatch, Message: fmt.Sprintf("%s has the sha256 %s, expected is %s: it is another file, or was changed on the way", p.mark.Source, got, expect.SHA256)}
	}
	return nil
}

// finish checks the whole file and lets it appear at its destination.
func (p *part) finish(expect fetch.Expect) error {
	if err := p.check(expect); err != nil {
		return err
	}
	// Whoever comes after a death right before or after the file gets its name sees by the mark that nothing is left to fetch.
	if err := p.file.Sync(); err != nil {
		return diskError("write "+p.path, err)
	}
	p.mark.Safe, p.mark.Total = p.size, p.size
	if err := p.writeMark(); err != nil {
		return err
	}
	if err := p.rename(p.path, p.destination); err != nil {
		return fmt.Errorf("put %s in its place: %w", p.destination, err)
	}
	if err := syncDir(filepath.Dir(p.destination)); err != nil {
		return err
	}
	if err := os.Remove(p.markPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", p.markPath, err)
	}
	return nil
}

// settle leaves behind what the next fetch can use: what is there, or nothing when it turned out to be another file.
func (p *part) settle(err error) error {
	switch fetch.KindOf(err) {
	case fetch.Mismatch, fetch.TooLarge:
		return p.discard()
	case fetch.DiskFull:
		return nil // writing more would not help; the last checkpoint stands
	}
	return p.checkpoint()
}

func (p *part) discard() error {
	var errs []error
	for _, path := range []string{p.markPath, p.path} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// close lets go of the lock. What matters was written and checked before.
func (p *part) close() { _ = p.file.Close() }

// diskError tells a full disk from other failures.
func diskError(what string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &fetch.Error{Kind: fetch.DiskFull, Message: fmt.Sprintf("%s: %v: make room; it goes on by itself", what, err)}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// syncDir makes a rename in a directory safe.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	return nil
}

// freeBytes is how much an unprivileged user can still write into a directory.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil //nolint:gosec,unconvert // no file system has 8 EiB; the fields' types differ between systems
}
