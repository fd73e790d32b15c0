package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestOfABundleThatIsNotTrustedNothingIsReadButItsIndex(t *testing.T) {
	path, root := writeFixture(t)
	bad := filepath.Join(t.TempDir(), "bad.bundle")
	// Its config is damaged, which opening it would find out.
	if err := os.WriteFile(bad, replaced(t, readFile(t, path), "", `"name":"fixture"`, `"name":"fiXture"`), 0o644); err != nil {
		t.Fatal(err)
	}
	other := digest.FromString("other")
	for name, c := range map[string]struct {
		path    string
		trusted digest.Digest
		want    func(error) bool
	}{
		"the trusted one":               {path, root, func(err error) bool { return err == nil }},
		"any":                           {path, "", func(err error) bool { return err == nil }},
		"another than the trusted one":  {path, other, as[*UntrustedError]},
		"another, which is damaged":     {bad, other, as[*UntrustedError]},
		"the trusted one, damaged":      {bad, root, as[*DigestMismatchError]},
		"a trusted digest that is none": {path, "sha256:zz", func(err error) bool { return err != nil && !as[*UntrustedError](err) }},
		"a file that is not there":      {path + ".not", root, func(err error) bool { return errors.Is(err, os.ErrNotExist) }},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := OpenTrusted(c.path, c.trusted)
			if !c.want(err) {
				t.Errorf("got %v", err)
			}
			if err == nil {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// counting counts what is read.
type counting struct {
	*bytes.Reader
	read int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.read += int64(n)
	return n, err
}

// A bundle of a few MiB must not make its reader hash GiB by naming the same large blobs over and over.
func TestWhatManyImagesNameIsReadOnce(t *testing.T) {
	const many, large = 200, 1 << 20
	padded := func(v any) []byte {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return append(raw, bytes.Repeat([]byte(" "), large)...)
	}
	for name, how := range map[string]struct{ manifests, indexed bool }{
		"one manifest":                        {},
		"one configuration of many manifests": {manifests: true},
		"one index of many manifests":         {manifests: true, indexed: true},
		"one index and one manifest":          {indexed: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, blobs := fixture(t)
			add := func(b []byte, mediaType string) Descriptor {
				d, blob := BytesBlob(b)
				blobs[d] = blob
				return Descriptor{MediaType: mediaType, Digest: d, Size: blob.Size}
			}
			r := &cfg.Releases[0]
			layers := r.Images[0].Platforms[0].Layers
			config := add(padded(ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}), ocispec.MediaTypeImageConfig)
			index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
			r.Images = nil
			for i := range many {
				m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: oci(config)}
				for _, l := range layers {
					m.Layers = append(m.Layers, oci(l))
				}
				raw := padded(m)
				if how.manifests {
					m.Annotations = map[string]string{"n": fmt.Sprint(i)}
					var err error
					if raw, err = json.Marshal(m); err != nil {
						t.Fatal(err)
					}
				}
				manifest := add(raw, ocispec.MediaTypeImageManifest)
				index.Manifests = append(index.Manifests, oci(manifest))
				r.Images = append(r.Images, Image{Name: fmt.Sprintf("registry.k8s.io/i%d:v1", i), Component: "i", Version: "v1",
					Platforms: []ImagePlatform{{Platform: testPlatform, Manifest: manifest, Config: config, Layers: layers}}})
			}
			if how.indexed {
				x := add(padded(index), ocispec.MediaTypeImageIndex)
				for i := range r.Images {
					r.Images[i].Index = &x
				}
			}
			p, err := planOf(cfg)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := p.entries(content{blobs: blobs})
			if err != nil {
				t.Fatal(err)
			}
			var raw bytes.Buffer
			if err := writeTar(t.Context(), &raw, entries); err != nil {
				t.Fatal(err)
			}
			in := &counting{Reader: bytes.NewReader(raw.Bytes())}
			if _, err := read("many.bundle", in, in.Size()); err != nil {
				t.Fatal(err)
			}
			if in.read > 2*in.Size() {
				t.Errorf("of %d KiB it read %d KiB", in.Size()>>10, in.read>>10)
			}
		})
	}
}
