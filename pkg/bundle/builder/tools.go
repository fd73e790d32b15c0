package builder

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// loaderName is what the loader of tools is called on hosts, whatever the platform calls it.
const loaderName = "ld.so"

// makeTools adds programs, their libraries and their loader to blobs and returns their entries. A library has the name that programs
// ask for; the links between such names and files are resolved.
func (t *target) makeTools(spec Tools, blobs map[digest.Digest]bundle.Blob) ([]bundle.File, error) {
	c := closure{root: t.debian.dir, triple: t.triple(), found: map[string]bool{}}
	for _, p := range spec.Paths {
		if err := c.add(p); err != nil {
			return nil, err
		}
	}
	linked := map[string]bool{}
	for name := range c.found {
		target, err := c.resolve(name)
		if err != nil {
			return nil, err
		}
		if target != name {
			linked[target] = true
		}
	}
	var files []bundle.File
	for _, name := range sortedKeys(c.found) {
		if linked[name] {
			// It is there under the name that programs ask for.
			continue
		}
		target, err := c.resolve(name)
		if err != nil {
			return nil, err
		}
		full := filepath.Join(t.debian.dir, target)
		content, err := os.ReadFile(full)
		if err != nil {
			return nil, err
		}
		d, blob := bundle.BytesBlob(content)
		blobs[d] = blob
		base := path.Base(name)
		if strings.HasPrefix(base, "ld-linux") {
			base = loaderName
		}
		files = append(files, bundle.File{
			Name: base, Kind: bundle.FileTool, Component: spec.Component, Version: spec.Version, Platform: t.platform,
			Digest: d, Size: blob.Size, Mode: 0o755,
		})
	}
	return files, nil
}
