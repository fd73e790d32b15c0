package bundle

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	orasoci "oras.land/oras-go/v2/content/oci"
)

// packing is a way to pack a layer.
type packing struct {
	mediaType string
	writer    func(w io.Writer) (io.WriteCloser, error)
}

var (
	dockerGzip = packing{MediaTypeDockerLayer, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }}
	packings   = map[string]packing{
		"gzip, as Docker calls it": dockerGzip,
		"gzip":                     {ocispec.MediaTypeImageLayerGzip, dockerGzip.writer},
		"zstd":                     {ocispec.MediaTypeImageLayerZstd, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }},
		"zstd, in blocks with a table behind them": {ocispec.MediaTypeImageLayerZstd, func(w io.Writer) (io.WriteCloser, error) {
			z, err := zstd.NewWriter(w)
			return tabled{z, w}, err
		}},
	}
)

// tabled puts a skippable frame behind what it packs, as tools do that find files in a layer by it.
type tabled struct {
	*zstd.Encoder
	to io.Writer
}

func (w tabled) Close() error {
	err := w.Encoder.Close()
	_, more := w.to.Write([]byte("\x50\x2a\x4d\x18\x05\x00\x00\x00table"))
	return errors.Join(err, more)
}

// taken is a config with one image as registries have it: layers packed, an index for two platforms, of which one is there.
func taken(t *testing.T, how packing, change func(index *ocispec.Index)) (*Config, map[digest.Digest]Blob) {
	t.Helper()
	blobs := map[digest.Digest]Blob{}
	add := func(b []byte, mediaType string) Descriptor {
		d, blob := BytesBlob(b)
		blobs[d] = blob
		return Descriptor{MediaType: mediaType, Digest: d, Size: blob.Size}
	}
	addJSON := func(v any, mediaType string) Descriptor {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return add(raw, mediaType)
	}
	var packed bytes.Buffer
	z, err := how.writer(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(layerOf(t, map[string]string{"usr/local/bin/etcd": "etcd program"})); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	layer := add(packed.Bytes(), how.mediaType)
	// The variant is what every arm64 machine is; images name it or do not.
	config := add([]byte(`{"architecture":"arm64","variant":"v8","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`), "application/vnd.docker.container.image.v1+json")
	manifest := addJSON(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: MediaTypeDockerManifest, Config: oci(config),
		Layers: []ocispec.Descriptor{oci(layer)}}, MediaTypeDockerManifest)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: MediaTypeDockerIndex, Manifests: []ocispec.Descriptor{
		oci(manifest), {MediaType: MediaTypeDockerManifest, Digest: digest.FromString("not taken"), Size: 9},
	}}
	if change != nil {
		change(&index)
	}
	x := addJSON(index, MediaTypeDockerIndex)
	return &Config{Name: "taken", Created: time.Unix(1700000000, 0), Releases: []Release{{
		KubernetesVersion: "v1.36.3", Platforms: []string{"linux/arm64"},
		Images: []Image{{Name: "registry.k8s.io/etcd:3.6.8-0", Component: "etcd", Version: "3.6.8", Index: &x,
			Platforms: []ImagePlatform{{Platform: "linux/arm64", Manifest: manifest, Config: config, Layers: []Descriptor{layer}}}}},
	}}}, blobs
}

func writeTaken(t *testing.T, how packing, change func(index *ocispec.Index)) (string, *Config) {
	t.Helper()
	cfg, blobs := taken(t, how, change)
	path := filepath.Join(t.TempDir(), "taken.bundle")
	if _, err := Write(t.Context(), path, cfg, blobs); err != nil {
		t.Fatal(err)
	}
	return path, cfg
}

func TestAnImageAsRegistriesHaveItKeepsItsIndexAndCanBeReadByAll(t *testing.T) {
	for name, how := range packings {
		t.Run(name, func(t *testing.T) { readByAll(t, how) })
	}
}

func readByAll(t *testing.T, how packing) {
	path, cfg := writeTaken(t, how, nil)
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	if _, err := b.Verify(t.Context(), VerifyOptions{}); err != nil {
		t.Error(err)
	}
	image := &b.Config().Releases[0].Images[0]
	if size, err := b.BlobSize(image.Index.Digest); err != nil || size != image.Index.Size || *image.Index != *cfg.Releases[0].Images[0].Index {
		t.Errorf("the index: %d bytes, %v", size, err)
	}
	dst := filepath.Join(t.TempDir(), "etcd")
	for range 2 { // the second time it is there already
		if err := b.ExtractFromImage(t.Context(), image, "linux/arm64", "usr/local/bin/etcd", dst); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(dst); err != nil || string(got) != "etcd program" {
		t.Errorf("extracted %q, %v", got, err)
	}
	var missing *NotFoundError
	if err := b.ExtractFromImage(t.Context(), image, "linux/arm64", "bin/sh", dst); !errors.As(err, &missing) {
		t.Errorf("a file that is not there: %v", err)
	}
	// What of the index is not there must not be in the way of tools that copy what is.
	store, err := orasoci.NewFromTar(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := oras.Copy(t.Context(), store, image.Name, memory.New(), "", oras.DefaultCopyOptions); err != nil || got.Digest != image.Platforms[0].Manifest.Digest {
		t.Errorf("copied %s, %v", got.Digest, err)
	}
	merged := filepath.Join(t.TempDir(), "merged")
	if _, err := Merge(t.Context(), merged, []*Bundle{b, b}, MergeOptions{}); err != nil {
		t.Fatal(err)
	}
	if m, err := Open(merged); err != nil || m.Digest() != b.Digest() {
		t.Errorf("a merge with itself gives another bundle: %v", err)
	} else if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestALayerThatIsNotPackedAsItSaysIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		says string
		how  packing
	}{
		"zstd that is gzip":       {"magic number mismatch", packing{ocispec.MediaTypeImageLayerZstd, dockerGzip.writer}},
		"gzip that is zstd":       {"layer sha256:", packing{ocispec.MediaTypeImageLayerGzip, packings["zstd"].writer}},
		"a packing nobody knows":  {"has media type", packing{"application/x-lzma", dockerGzip.writer}},
		"zstd of too much memory": {"window size exceeded", packing{ocispec.MediaTypeImageLayerZstd, wide}},
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := writeTaken(t, c.how, nil)
			b, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close() //nolint:errcheck // read only
			dst := filepath.Join(t.TempDir(), "etcd")
			err = b.ExtractFromImage(t.Context(), &b.Config().Releases[0].Images[0], "linux/arm64", "usr/local/bin/etcd", dst)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
}

// wide writes the beginning of a frame that wants half a gigabyte to be kept.
func wide(w io.Writer) (io.WriteCloser, error) {
	const window = (29 - 10) << 3 // an exponent above 1 KiB (RFC 8878, section 3.1.1.1.2)
	_, err := w.Write([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, window})
	return struct {
		io.Writer
		io.Closer
	}{w, io.NopCloser(nil)}, err
}

func TestAnIndexThatIsNotOfTheImageIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ocispec.Index)
		says   string
	}{
		"one without the manifest":            {func(x *ocispec.Index) { x.Manifests = x.Manifests[1:] }, "does not name its manifest for linux/arm64"},
		"one with the manifest of other size": {func(x *ocispec.Index) { x.Manifests[0].Size++ }, "does not name its manifest for linux/arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := writeTaken(t, dockerGzip, c.change)
			var malformed *MalformedError
			if _, err := Open(path); !errors.As(err, &malformed) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	cfg, blobs := taken(t, dockerGzip, nil)
	cfg.Releases[0].Images[0].Index.MediaType = ocispec.MediaTypeImageManifest
	if _, err := Write(context.Background(), filepath.Join(t.TempDir(), "x"), cfg, blobs); err == nil || !strings.Contains(err.Error(), "its index has the media type") {
		t.Errorf("an index of another type: %v", err)
	}
}
