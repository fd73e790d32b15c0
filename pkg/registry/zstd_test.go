package registry

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// How layers are packed is the business of who unpacks them: bundle and registry pass them on as they are.
func TestLayersPackedWithZstdAreServedAsTheyAre(t *testing.T) {
	text := bytes.Repeat([]byte("what a layer holds "), 1000)
	packed := must[*zstd.Encoder](t)(zstd.NewWriter(nil)).EncodeAll(text, nil)
	layer := static.NewLayer(packed, types.OCILayerZStd)
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image = must[v1.Image](t)(mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: types.OCILayerZStd}))
	cfg := must[*v1.ConfigFile](t)(image.ConfigFile()).DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	image = must[v1.Image](t)(mutate.ConfigFile(image, cfg))
	manifest := must[*v1.Manifest](t)(image.Manifest())

	blobs := map[digest.Digest]bundle.Blob{}
	add := func(raw []byte, mediaType types.MediaType) bundle.Descriptor {
		d, b := bundle.BytesBlob(raw)
		blobs[d] = b
		return bundle.Descriptor{MediaType: string(mediaType), Digest: d, Size: b.Size}
	}
	path := filepath.Join(t.TempDir(), "zstd.bundle")
	if _, err := bundle.Write(t.Context(), path, &bundle.Config{Name: "zstd", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{{
		KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"},
		Images: []bundle.Image{{Name: "r.test/a:1", Component: "a", Version: "1", Platforms: []bundle.ImagePlatform{{
			Platform: "linux/amd64", Manifest: add(must[[]byte](t)(image.RawManifest()), manifest.MediaType),
			Config: add(must[[]byte](t)(image.RawConfigFile()), manifest.Config.MediaType), Layers: []bundle.Descriptor{add(packed, types.OCILayerZStd)},
		}}}},
	}}}, blobs); err != nil {
		t.Fatal(err)
	}
	b := must[*bundle.Bundle](t)(bundle.Open(path))
	defer b.Close() //nolint:errcheck // read only
	addr := serve(t, must[*Handler](t)(New(Options{}, FromBundle(b))))
	pulled := must[v1.Image](t)(remote.Image(must[name.Reference](t)(name.ParseReference(addr+"/r.test/a:1", name.Insecure))))
	layers := must[[]v1.Layer](t)(pulled.Layers())
	if kind := must[types.MediaType](t)(layers[0].MediaType()); kind != types.OCILayerZStd {
		t.Errorf("the layer is a %s", kind)
	}
	if got := must[[]byte](t)(io.ReadAll(must[io.ReadCloser](t)(layers[0].Compressed()))); !bytes.Equal(got, packed) {
		t.Errorf("got %d other bytes", len(got))
	}
	if got := must[[]byte](t)(io.ReadAll(must[io.ReadCloser](t)(layers[0].Uncompressed()))); !bytes.Equal(got, text) {
		t.Errorf("unpacked it is %d other bytes", len(got))
	}
}
