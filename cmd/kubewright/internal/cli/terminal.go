package cli

import (
	"io"
	"os"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// terminal is where text for people goes. What comes from hosts is cleaned where it comes in; objects, files and bundles hold text of others as
// well, and whoever prints it need not think of that.
type terminal struct{ io.Writer }

// Write implements io.Writer.
func (t *terminal) Write(p []byte) (int, error) {
	if _, err := io.WriteString(t.Writer, inbound.Text(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// file is what is behind a terminal, for programs that draw on it; nil when it is no file.
func file(w io.Writer) *os.File {
	if t, ok := w.(*terminal); ok {
		w = t.Writer
	}
	f, _ := w.(*os.File)
	return f
}
