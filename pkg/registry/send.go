package registry

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// Content is sent in parts, each with a deadline of its own: a client that stops reading is let go, while a slow link may take as
// long as it needs (about 14 kB/s is enough).
const (
	sendPart    = 4 << 20
	partTimeout = 5 * time.Minute
)

// send answers with content that never changes. Ranges, conditions and HEAD are left to net/http.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, section *io.SectionReader, d digest.Digest, mediaType string, counter *atomic.Int64) {
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Docker-Content-Digest", d.String())
	header.Set("Etag", fmt.Sprintf("%q", d.String()))
	header.Set("Cache-Control", "max-age=31536000, immutable")
	header.Set("X-Content-Type-Options", "nosniff")
	s := &sender{ResponseWriter: w, control: http.NewResponseController(w)}
	if r.Method == http.MethodGet {
		counter.Add(1)
		s.openFile(section)
		defer s.closeFile()
	}
	http.ServeContent(s, r, "", time.Time{}, section)
	s.deadline(time.Time{}) // the connection may carry other requests, which must not meet an old deadline
	h.bytes.Add(s.sent)
}

// sender is a ResponseWriter that counts content and, where http.ServeContent copies from the section, hands the kernel the file
// itself: from an *os.File to a TCP connection it copies without passing the bytes through this process (sendfile), which from an
// io.SectionReader it cannot.
type sender struct {
	http.ResponseWriter
	control *http.ResponseController
	section *io.SectionReader
	file    *os.File // a descriptor of this request's own, because sendfile moves the file's offset; nil when that is not possible
	sent    int64
}

// openFile opens the file that the section lies in a second time. If its name leads to another file by now, or nowhere, the content
// goes the long way through the section.
func (s *sender) openFile(section *io.SectionReader) {
	outer, _, _ := section.Outer()
	original, ok := outer.(*os.File)
	if !ok {
		return
	}
	file, err := os.Open(original.Name())
	if err != nil {
		return
	}
	if !sameFile(original, file) {
		// Nothing was written to it.
		_ = file.Close()
		return
	}
	s.section, s.file = section, file
}

func sameFile(a, b *os.File) bool {
	as, err := a.Stat()
	if err != nil {
		return false
	}
	bs, err := b.Stat()
	return err == nil && os.SameFile(as, bs)
}

func (s *sender) closeFile() {
	if s.file != nil {
		// Nothing was written to it.
		_ = s.file.Close()
	}
}

// Write sends what was read already.
func (s *sender) Write(p []byte) (int, error) {
	s.deadline(time.Now().Add(partTimeout))
	n, err := s.ResponseWriter.Write(p)
	s.sent += int64(n)
	return n, err
}

// ReadFrom sends what src has, from the file if src is the section.
func (s *sender) ReadFrom(src io.Reader) (int64, error) {
	limited, ok := src.(*io.LimitedReader)
	if !ok || s.file == nil || limited.R != io.Reader(s.section) {
		return io.Copy(struct{ io.Writer }{s}, src)
	}
	at, err := s.section.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	_, base, _ := s.section.Outer()
	if _, err := s.file.Seek(base+at, io.SeekStart); err != nil {
		return 0, err
	}
	var total int64
	for left := min(limited.N, s.section.Size()-at); left > 0; {
		s.deadline(time.Now().Add(partTimeout))
		part := min(left, sendPart)
		n, err := io.Copy(s.ResponseWriter, &io.LimitedReader{R: s.file, N: part})
		total += n
		left -= n
		s.sent += n
		limited.N -= n
		if err == nil && n < part {
			err = io.ErrUnexpectedEOF // the file has become shorter
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// deadline says until when the client must have taken what is written. Writers without deadlines, such as those of tests, need none.
func (s *sender) deadline(t time.Time) {
	// See above.
	_ = s.control.SetWriteDeadline(t)
}
