package builder

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// node is one entry of an image layer.
type node struct {
	mode int64
	link string
	file string // content from a file
	text []byte // or from memory
	size int64
	dir  bool
}

// layerTree is the content of an image layer by path.
type layerTree map[string]node

// makeLayer puts a layer together and returns its descriptor and content.
func (t *target) makeLayer(l *Layer) (bundle.Descriptor, bundle.Blob, error) {
	tree := layerTree{}
	for p, name := range l.Programs {
		prog := t.programs[name]
		tree[p] = node{mode: 0o755, file: prog.path, size: prog.size}
	}
	if len(l.Debian) > 0 {
		if err := tree.addDebian(closure{root: t.debian.dir, triple: t.triple(), found: map[string]bool{}}, l.Debian); err != nil {
			return bundle.Descriptor{}, bundle.Blob{}, err
		}
	}
	for p, target := range l.Links {
		tree[p] = node{mode: 0o777, link: target}
	}
	for p, text := range l.Texts {
		tree[p] = node{mode: 0o644, text: []byte(text), size: int64(len(text))}
	}
	for _, p := range l.Directories {
		mode := int64(0o755)
		if path.Base(p) == "tmp" {
			mode = 0o1777
		}
		tree[p] = node{mode: mode, dir: true}
	}
	tree.addParents()

	digester := digest.SHA256.Digester()
	counted := &countingWriter{w: digester.Hash()}
	if err := tree.write(counted); err != nil {
		return bundle.Descriptor{}, bundle.Blob{}, err
	}
	d := bundle.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest(), Size: counted.n}
	return d, bundle.Blob{Size: counted.n, Copy: tree.write}, nil
}

func (t layerTree) addDebian(c closure, patterns []string) error {
	for _, p := range patterns {
		if err := c.addPattern(p); err != nil {
			return err
		}
	}
	for name := range c.found {
		full := filepath.Join(c.root, name)
		st, err := os.Lstat(full)
		if err != nil {
			return err
		}
		if st.Mode()&os.ModeSymlink != 0 {
			target, err := os.Readlink(full)
			if err != nil {
				return err
			}
			t[name] = node{mode: 0o777, link: target}
			continue
		}
		mode := int64(0o644)
		if st.Mode()&0o111 != 0 {
			mode = 0o755
		}
		t[name] = node{mode: mode, file: full, size: st.Size()}
	}
	return nil
}

func (t layerTree) addParents() {
	for p := range t {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			if _, ok := t[d]; !ok {
				t[d] = node{mode: 0o755, dir: true}
			}
		}
	}
}

// write writes the layer's tar: ordered by path, owner 0/0, time 0.
func (t layerTree) write(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, p := range sortedKeys(t) {
		n := t[p]
		h := &tar.Header{Name: p, Mode: n.mode, Size: n.size, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		switch {
		case n.dir:
			h.Typeflag, h.Name = tar.TypeDir, p+"/"
		case n.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, n.link
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("layer entry %s: %w", p, err)
		}
		if err := n.copy(tw); err != nil {
			return fmt.Errorf("layer entry %s: %w", p, err)
		}
	}
	return tw.Close()
}

func (n node) copy(w io.Writer) error {
	if n.file == "" {
		_, err := io.Copy(w, bytes.NewReader(n.text))
		return err
	}
	f, err := os.Open(n.file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	_, err = io.Copy(w, f)
	return err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
