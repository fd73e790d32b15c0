package push

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/registry"
)

// described is a blob of some text.
func described(text string) bundle.Descriptor {
	return bundle.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(text), Size: int64(len(text))}
}

func imageOf(name, text string) bundle.Image {
	return bundle.Image{Name: name, Platforms: []bundle.ImagePlatform{{Platform: "linux/amd64", Manifest: described(text + " manifest"),
		Config: described(text + " config"), Layers: []bundle.Descriptor{described("base"), described(text + " layer")}}}}
}

// planOf plans images in releases, the oldest first.
func planOf(l layout, releases ...bundle.Image) (*plan, error) {
	b := bundled{config: &bundle.Config{Name: "k8s"}}
	for _, img := range releases {
		b.config.Releases = append(b.config.Releases, bundle.Release{Images: []bundle.Image{img}})
	}
	for _, img := range slices.Backward(releases) {
		m := img.Platforms[0]
		b.images = append(b.images, registry.Image{Name: img.Name, Manifests: []registry.Manifest{{Platform: m.Platform,
			Document: registry.Document{MediaType: m.Manifest.MediaType, Digest: m.Manifest.Digest, Size: m.Manifest.Size}}}})
	}
	b.images = registry.Merge(b.images)
	return planFor(b, l)
}

func TestATagMeansTheNewestReleasesImageAndTheOtherIsThereByDigest(t *testing.T) {
	p, err := planOf(layout{prefix: "site", imagesOnly: true}, imageOf("r.io/a:1", "old"), imageOf("r.io/a:1", "new"))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.repositories) != 1 || len(p.repositories[0].manifests) != 2 || len(p.repositories[0].tags) != 1 {
		t.Fatalf("repositories are %+v", p.repositories[0])
	}
	if got := p.repositories[0].tags[0].choices; len(got) != 1 || got[0].Digest != digest.FromString("new manifest") {
		t.Errorf("the tag means %+v", got)
	}
	if len(p.blobs) != 5 {
		t.Errorf("blobs are %+v", p.blobs)
	}
}

func TestABlobOfSeveralRepositoriesIsOneBlob(t *testing.T) {
	p, err := planOf(layout{}, imageOf("r.io/a:1", "a"), imageOf("r.io/b:1", "b"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range p.blobs {
		if b.Digest == digest.FromString("base") && !slices.Equal(b.in, []string{"kubewright-bundle", "r.io/a", "r.io/b"}) {
			t.Errorf("the base is needed in %q", b.in)
		}
	}
}

func TestNamesThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		layout layout
		images []string
		says   string
	}{
		"two registries' images in one place": {layout{stripRegistry: true}, []string{"a.io/pause:1", "b.io/pause:1"}, "would both be in pause"},
		"a prefix in upper case":              {layout{prefix: "Site"}, []string{"a.io/pause:1"}, "no name that a repository can have"},
		"two registries' images apart":        {layout{}, []string{"a.io/pause:1", "b.io/pause:1"}, ""},
		"a registry with a port":              {layout{}, []string{"a.io:5000/pause:1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var images []bundle.Image
			for _, n := range c.images {
				images = append(images, imageOf(n, n))
			}
			_, err := planOf(c.layout, images...)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v", err)
			}
		})
	}
}
