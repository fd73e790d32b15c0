package box

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// isWhole says whether the mark speaks of a file all of whose bytes are safe.
func (m mark) isWhole() bool { return m.Total > 0 && m.Safe == m.Total }

// readPlaced looks for the file that the mark speaks of at its destination, and hashes it. The mark goes last, so where it is left and the
// part is not, the fetch before had given the file its name and was killed then.
func (p *part) readPlaced() (bool, error) {
	f, err := os.OpenFile(p.destination, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", p.destination, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", p.destination, err)
	}
	if !info.Mode().IsRegular() || info.Size() != p.mark.Total {
		return false, nil
	}
	if p.size, err = io.Copy(p.hash, f); err != nil {
		return false, fmt.Errorf("read %s: %w", p.destination, err)
	}
	return true, nil
}

// forgetPlaced begins anew when what is at the destination turned out to be another file than is asked for now.
func (p *part) forgetPlaced() {
	if p.placed {
		p.placed, p.size, p.mark = false, 0, mark{Source: p.mark.Source}
		p.hash.Reset()
	}
}
