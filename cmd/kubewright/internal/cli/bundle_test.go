package cli_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// smallBundle writes a bundle with nothing but the images of etcd and kube-apiserver, which is all that standalone mode takes out
// of one.
func smallBundle(ctx context.Context, path, version string) error {
	assets, err := testenv.Assets(ctx)
	if err != nil {
		return err
	}
	platform := "linux/" + runtime.GOARCH
	blobs := map[digest.Digest]bundle.Blob{}
	add := func(mediaType string, content []byte) bundle.Descriptor {
		d, blob := bundle.BytesBlob(content)
		blobs[d] = blob
		return bundle.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
	}
	release := bundle.Release{KubernetesVersion: version, Platforms: []string{platform}}
	for _, program := range []string{"etcd", "kube-apiserver"} {
		layer, err := layerOf(filepath.Join(assets, program), "usr/local/bin/"+program)
		if err != nil {
			return err
		}
		ip := bundle.ImagePlatform{
			Platform: platform,
			Config:   add(ocispec.MediaTypeImageConfig, []byte(`{"name":"`+program+`","os":"linux","architecture":"`+runtime.GOARCH+`"}`)),
			Layers:   []bundle.Descriptor{add(ocispec.MediaTypeImageLayer, layer)},
		}
		manifest, err := json.Marshal(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: ociOf(ip.Config), Layers: []ocispec.Descriptor{ociOf(ip.Layers[0])},
		})
		if err != nil {
			return err
		}
		ip.Manifest = add(ocispec.MediaTypeImageManifest, manifest)
		release.Images = append(release.Images, bundle.Image{
			Name: "registry.example/" + program + ":1", Component: program, Version: "1", Platforms: []bundle.ImagePlatform{ip},
		})
	}
	_, err = bundle.Write(ctx, path, &bundle.Config{Name: filepath.Base(path), Created: time.Unix(0, 0), Releases: []bundle.Release{release}}, blobs)
	return err
}

func ociOf(d bundle.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

func layerOf(program, name string) ([]byte, error) {
	f, err := os.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, f); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}

// bundleFor gives a test the small bundle, made once for all of them.
func bundleFor(t *testing.T) string {
	t.Helper()
	path, err := sharedBundle()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// deltaFor gives a test a base, and a delta to it that is the small bundle.
func deltaFor(t *testing.T) (base, delta string) {
	t.Helper()
	dir := t.TempDir()
	base, delta = filepath.Join(dir, "base.bundle"), filepath.Join(dir, "new.delta")
	if err := smallBundle(t.Context(), base, "v1.35.4"); err != nil {
		t.Fatal(err)
	}
	from, err := bundle.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close() //nolint:errcheck // read only
	to, err := bundle.Open(bundleFor(t))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close() //nolint:errcheck // read only
	if err := bundle.Diff(t.Context(), delta, from, to); err != nil {
		t.Fatal(err)
	}
	return base, delta
}
