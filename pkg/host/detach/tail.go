package detach

import (
	"bytes"
	"io"
	"os"
)

// tail reads the lines of a file that grows, and follows it when it is moved away and begun anew.
type tail struct {
	current string
	file    *os.File
	partial []byte
}

func (t *tail) read(line func(string)) {
	for {
		if t.file == nil {
			f, err := os.Open(t.current)
			if err != nil {
				return
			}
			t.file = f
		}
		t.drain(line)
		if !t.moved() {
			return
		}
		// What was written between the last read and the move.
		t.drain(line)
		t.close()
	}
}

func (t *tail) drain(line func(string)) {
	// An error of reading shows again at the next round; the result does not depend on it.
	data, _ := io.ReadAll(t.file)
	t.partial = append(t.partial, data...)
	for {
		i := bytes.IndexByte(t.partial, '\n')
		if i < 0 {
			return
		}
		line(string(t.partial[:i]))
		t.partial = t.partial[i+1:]
	}
}

func (t *tail) moved() bool {
	open, err := t.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(t.current)
	return err == nil && !os.SameFile(open, now)
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close()
		t.file = nil
	}
}
