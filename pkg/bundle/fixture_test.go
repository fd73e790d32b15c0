package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const testPlatform = "linux/amd64"

// fixture makes a small config with one release, two files and two images that share a layer, and the blobs for it.
func fixture(t testing.TB) (*Config, map[digest.Digest]Blob) {
	t.Helper()
	blobs := map[digest.Digest]Blob{}
	add := func(b []byte, mediaType string) Descriptor {
		d, blob := BytesBlob(b)
		blobs[d] = blob
		return Descriptor{MediaType: mediaType, Digest: d, Size: blob.Size}
	}
	kubelet := add(bytes.Repeat([]byte("kubelet"), 1000), MediaTypeFile)
	yaml := add([]byte("kind: Namespace\n"), MediaTypeFile)
	base := add(layerOf(t, map[string]string{"etc/passwd": "root"}), ocispec.MediaTypeImageLayer)
	image := func(name, component string, files map[string]string) Image {
		own := add(layerOf(t, files), ocispec.MediaTypeImageLayer)
		config := add([]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["`+string(base.Digest)+`","`+string(own.Digest)+`"]},"config":{}}`), ocispec.MediaTypeImageConfig)
		layers := []Descriptor{base, own}
		m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: ocispec.Descriptor{MediaType: config.MediaType, Digest: config.Digest, Size: config.Size}}
		for _, l := range layers {
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
		}
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return Image{Name: name, Component: component, Version: "v1.0.0", Platforms: []ImagePlatform{{
			Platform: testPlatform, Manifest: add(raw, ocispec.MediaTypeImageManifest), Config: config, Layers: layers,
		}}}
	}
	cfg := &Config{Name: "fixture", Created: time.Unix(1700000000, 0), Releases: []Release{{
		KubernetesVersion: "v1.36.3",
		Platforms:         []string{testPlatform},
		Files: []File{
			{Name: "kubelet", Kind: FileBinary, Component: "kubernetes", Version: "v1.36.3", Platform: testPlatform, Digest: kubelet.Digest, Size: kubelet.Size, Mode: 0o755},
			{Name: "flannel.yaml", Kind: FileManifest, Component: "flannel", Version: "v1", Digest: yaml.Digest, Size: yaml.Size, Mode: 0o644},
		},
		Images: []Image{
			image("registry.k8s.io/etcd:3.6.8-0", "etcd", map[string]string{"usr/local/bin/etcd": "etcd program", "usr/local/bin/etcdctl": "ctl"}),
			image("registry.k8s.io/coredns/coredns:v1.14.2", "coredns", map[string]string{"coredns": "dns"}),
		},
	}}}
	return cfg, blobs
}

func layerOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range []string{"coredns", "etc/passwd", "usr/local/bin/etcd", "usr/local/bin/etcdctl"} {
		content, ok := files[name]
		if !ok {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// writeFixture writes the fixture and returns its path and digest.
func writeFixture(t testing.TB) (string, digest.Digest) {
	t.Helper()
	cfg, blobs := fixture(t)
	path := filepath.Join(t.TempDir(), "fixture.bundle")
	d, err := Write(context.Background(), path, cfg, blobs)
	if err != nil {
		t.Fatal(err)
	}
	return path, d
}

func openFixture(t testing.TB) *Bundle {
	t.Helper()
	path, _ := writeFixture(t)
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// rawEntry is a tar entry to be written as it is, right or wrong.
type rawEntry struct {
	name    string
	content []byte
	header  func(*[blockSize]byte) // changes the header after it was made
	size    int64                  // what the header says, if not 0
}

// entriesOf takes a bundle apart.
func entriesOf(t testing.TB, raw []byte) []rawEntry {
	t.Helper()
	var out []rawEntry
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rawEntry{name: h.Name, content: content})
	}
}

// tarOf puts entries together again.
func tarOf(t testing.TB, entries []rawEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, e := range entries {
		var h [blockSize]byte
		size := int64(len(e.content))
		if e.size != 0 {
			size = e.size
		}
		if err := encodeHeader(&h, e.name, size); err != nil {
			t.Fatal(err)
		}
		if e.header != nil {
			e.header(&h)
		}
		out.Write(h[:])
		out.Write(e.content)
		out.Write(make([]byte, padding(int64(len(e.content)))))
	}
	out.Write(make([]byte, 2*blockSize))
	return out.Bytes()
}

// checksum makes a changed header's checksum right again.
func checksum(h *[blockSize]byte) {
	copy(h[148:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
