//go:build e2e

package install

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// partOf makes a bundle of its own out of a part of another one: all its files and every other image, as an earlier bundle of a site may
// have had them. With it as the base, a delta to the whole has to bring the other images, and cannot do without the base for the rest.
func partOf(t *testing.T, ctx context.Context, path string) string {
	t.Helper()
	n := 0
	return without(t, ctx, path, func(bundle.Image) bool {
		n++
		return n%2 == 0
	})
}

// without makes a bundle of its own out of all of another one but some images.
func without(t *testing.T, ctx context.Context, path string, leave func(bundle.Image) bool) string {
	t.Helper()
	whole, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close() //nolint:errcheck // read only
	config := *whole.Config()
	config.Name += "-part"
	config.Releases = nil
	blobs := map[digest.Digest]bundle.Blob{}
	add := func(d digest.Digest, size int64) {
		blobs[d] = bundle.Blob{Size: size, From: path, Copy: func(w io.Writer) error {
			content, err := whole.Blob(d)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, content)
			return err
		}}
	}
	left := 0
	for _, release := range whole.Config().Releases {
		for _, file := range release.Files {
			add(file.Digest, file.Size)
		}
		var images []bundle.Image
		for _, image := range release.Images {
			if leave(image) {
				left++
				continue
			}
			images = append(images, image)
			if image.Index != nil {
				add(image.Index.Digest, image.Index.Size)
			}
			for _, p := range image.Platforms {
				for _, d := range append([]bundle.Descriptor{p.Manifest, p.Config}, p.Layers...) {
					add(d.Digest, d.Size)
				}
			}
		}
		release.Images = images
		config.Releases = append(config.Releases, release)
	}
	if left == 0 {
		t.Fatalf("%s has too few images to leave some out", path)
	}
	base := filepath.Join(t.TempDir(), "base.bundle")
	if _, err := bundle.Write(ctx, base, &config, blobs); err != nil {
		t.Fatalf("make a bundle of a part of %s: %v", path, err)
	}
	return base
}
