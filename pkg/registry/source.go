package registry

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// ErrNotFound is what a Source returns, wrapped or not, for a blob it does not have.
var ErrNotFound = errors.New("not found")

// Source is something that has blobs and images. Its methods are called from several goroutines.
type Source interface {
	// Blob returns the content of a digest at its place, or an error that is ErrNotFound. When the section lies in an *os.File,
	// it is sent by the kernel without passing through this process.
	Blob(d digest.Digest) (*io.SectionReader, error)
	// Images lists all images of the source.
	Images() []Image
	// Artifacts lists what the source has besides images.
	Artifacts() []Artifact
}

// BundleRepository is the repository that a bundle itself is in.
const BundleRepository = "kubewright-bundle"

// notInTags is what bundles may have in their names, and tags not.
var notInTags = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// BundleTag is the tag of a bundle of a name.
func BundleTag(name string) string { return notInTags.ReplaceAllString(name, "_") }

// Artifact is a manifest that names other things than layers of an image, such as a bundle.
type Artifact struct {
	// Repository and Tag it has.
	Repository, Tag string
	Document
	// Referrers are what is attached to it.
	Referrers []Referrer
}

// Referrer is a manifest that refers to another one: a signature, a bill of materials.
type Referrer struct {
	// ArtifactType says what it is.
	ArtifactType string
	Document
}

// Image is a tag and what it means.
type Image struct {
	// Name is the full reference with registry and tag, for example registry.k8s.io/kube-apiserver:v1.36.3.
	Name string
	// Index is the index that all manifests were taken from, if the source has it. Then the tag means this index, so that digests of
	// others stay good, though it may name platforms that nobody has here.
	Index *Document
	// Manifests holds one image manifest per platform.
	Manifests []Manifest
}

// Document is a manifest or an index.
type Document struct {
	// MediaType of the document.
	MediaType string
	// Digest and Size of its bytes.
	Digest digest.Digest
	Size   int64
}

// Manifest is the image manifest for one platform.
type Manifest struct {
	// Platform has the form os/architecture or os/architecture/variant.
	Platform string
	Document
}

// FromBundle makes an open bundle a Source. The bundle must stay open while it is served.
func FromBundle(b *bundle.Bundle) Source { return bundleSource{b} }

type bundleSource struct{ bundle *bundle.Bundle }

func (s bundleSource) Blob(d digest.Digest) (*io.SectionReader, error) {
	section, err := s.bundle.Blob(d)
	if _, missing := errors.AsType[*bundle.MissingBlobError](err); missing {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return section, err
}

// Artifacts are the bundle itself, with what is attached to it.
func (s bundleSource) Artifacts() []Artifact {
	size, err := s.bundle.BlobSize(s.bundle.Digest())
	if err != nil {
		return nil // every bundle has its root
	}
	a := Artifact{Repository: BundleRepository, Tag: BundleTag(s.bundle.Config().Name),
		Document: Document{MediaType: ocispec.MediaTypeImageManifest, Digest: s.bundle.Digest(), Size: size}}
	for _, r := range s.bundle.Referrers() {
		a.Referrers = append(a.Referrers, Referrer{ArtifactType: r.Type,
			Document: Document{MediaType: r.Manifest.MediaType, Digest: r.Manifest.Digest, Size: r.Manifest.Size}})
	}
	return []Artifact{a}
}

func (s bundleSource) Images() []Image {
	var out []Image
	// The first one counts where a tag has two meanings, and that shall be the newest release's, as in the bundle's index.
	for _, release := range slices.Backward(s.bundle.Config().Releases) {
		for _, img := range release.Images {
			image := Image{Name: img.Name}
			if x := img.Index; x != nil {
				image.Index = &Document{MediaType: x.MediaType, Digest: x.Digest, Size: x.Size}
			}
			for _, p := range img.Platforms {
				image.Manifests = append(image.Manifests, Manifest{Platform: p.Platform,
					Document: Document{MediaType: p.Manifest.MediaType, Digest: p.Manifest.Digest, Size: p.Manifest.Size}})
			}
			out = append(out, image)
		}
	}
	return out
}
