package bundlecmd

import (
	"fmt"
	"io"
	"sync"

	"golang.org/x/term"
)

// meter shows a percentage on a terminal, and nothing elsewhere.
type meter struct {
	mu    sync.Mutex
	w     io.Writer
	doing string
	tty   bool
	last  int64
}

func newMeter(w io.Writer, doing string) *meter {
	m := &meter{w: w, doing: doing, last: -1}
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		m.tty = term.IsTerminal(int(f.Fd()))
	}
	return m
}

func (m *meter) show(done, total int64) {
	if !m.tty || total == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if percent := done * 100 / total; percent > m.last {
		m.last = percent
		fmt.Fprintf(m.w, "\r%s %3d%%", m.doing, percent) //nolint:errcheck // progress is not worth failing for
	}
}

func (m *meter) end() {
	if m.tty && m.last >= 0 {
		fmt.Fprint(m.w, "\r\x1b[K") //nolint:errcheck // progress is not worth failing for
	}
}
