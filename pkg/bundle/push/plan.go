package push

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/registry"
)

// layout says where things go.
type layout struct {
	// prefix of all repositories; it may be empty.
	prefix string
	// stripRegistry leaves the registry out of the images' names.
	stripRegistry bool
	// imagesOnly leaves the bundle itself out.
	imagesOnly bool
}

// bundled is what of a bundle decides what is pushed.
type bundled struct {
	config    *bundle.Config
	images    []registry.Image
	root      bundle.Descriptor
	manifest  ocispec.Manifest
	referrers []bundle.Referrer
}

// plan is what a registry should have of a bundle.
type plan struct {
	// blobs with the repositories that need them, ordered by digest.
	blobs []blob
	// repositories by name.
	repositories []*repository
}

// blob is content that several repositories may need; what is sent to one is there for the others.
type blob struct {
	ocispec.Descriptor
	in []string
}

// repository is what one repository should have besides blobs. Manifests come first, then tags, then referrers.
type repository struct {
	name      string
	manifests []ocispec.Descriptor
	tags      []tag
	// referrers refer to subject.
	subject   ocispec.Descriptor
	referrers []ocispec.Descriptor
}

// tag is a name for one of some documents: the first that the registry takes.
type tag struct {
	name    string
	choices []document
}

// document is a manifest or an index; content is nil for what is in the bundle.
type document struct {
	ocispec.Descriptor
	content []byte
}

// repositoryName is what registries take (distribution specification, section on pulling manifests).
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// place is the repository of an image's repository.
func (l layout) place(of string) (string, error) {
	if l.stripRegistry {
		_, of, _ = strings.Cut(of, "/")
	}
	name := strings.TrimPrefix(l.prefix+"/"+strings.ReplaceAll(of, ":", "_"), "/") // the port of a registry
	if !repositoryName.MatchString(name) {
		return "", fmt.Errorf("%q is no name that a repository can have: choose another prefix", name)
	}
	return name, nil
}

// builder puts a plan together.
type builder struct {
	blobs        map[digest.Digest]*blob
	repositories map[string]*repository
	// from is whose images a repository has.
	from map[string]string
}

// planFor decides what goes where.
func planFor(b bundled, l layout) (*plan, error) {
	p := &builder{blobs: map[digest.Digest]*blob{}, repositories: map[string]*repository{}, from: map[string]string{}}
	for _, r := range b.config.Releases {
		for _, img := range r.Images {
			if err := p.image(img, l); err != nil {
				return nil, err
			}
		}
	}
	for _, img := range b.images {
		if err := p.tag(img, l); err != nil {
			return nil, err
		}
	}
	if !l.imagesOnly {
		if err := p.bundle(b, l); err != nil {
			return nil, err
		}
	}
	out := &plan{}
	for _, d := range slices.Sorted(maps.Keys(p.blobs)) {
		one := p.blobs[d]
		slices.Sort(one.in)
		one.in = slices.Compact(one.in)
		out.blobs = append(out.blobs, *one)
	}
	for _, name := range slices.Sorted(maps.Keys(p.repositories)) {
		out.repositories = append(out.repositories, p.repositories[name])
	}
	return out, nil
}

func oci(d bundle.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// need says that a repository needs a blob.
func (p *builder) need(repository string, d ocispec.Descriptor) {
	one := p.blobs[d.Digest]
	if one == nil {
		one = &blob{Descriptor: ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}}
		p.blobs[d.Digest] = one
	}
	one.in = append(one.in, repository)
}

func (p *builder) repository(name string) *repository {
	if p.repositories[name] == nil {
		p.repositories[name] = &repository{name: name}
	}
	return p.repositories[name]
}

// manifest puts an image for a platform into a repository.
func (p *builder) manifest(name string, ip bundle.ImagePlatform) {
	p.need(name, oci(ip.Config))
	for _, layer := range ip.Layers {
		p.need(name, oci(layer))
	}
	r := p.repository(name)
	if !slices.ContainsFunc(r.manifests, func(d ocispec.Descriptor) bool { return d.Digest == ip.Manifest.Digest }) {
		r.manifests = append(r.manifests, oci(ip.Manifest))
	}
}

// image puts all platforms of an image where it belongs; by digest they are to be had there whatever its tag means.
func (p *builder) image(img bundle.Image, l layout) error {
	of, _, err := registry.Image{Name: img.Name}.Split()
	if err != nil {
		return err
	}
	name, err := l.place(of)
	if err != nil {
		return fmt.Errorf("image %s: %w", img.Name, err)
	}
	if other, ok := p.from[name]; ok && other != of {
		return fmt.Errorf("images of %s and of %s would both be in %s: leave the registry in their names", other, of, name)
	}
	p.from[name] = of
	for _, ip := range img.Platforms {
		p.manifest(name, ip)
	}
	return nil
}

// tag names an image: by the index it was taken from or, where a registry wants all that this names, by what there is.
func (p *builder) tag(img registry.Image, l layout) error {
	of, name, err := img.Split()
	if err != nil {
		return err
	}
	place, err := l.place(of)
	if err != nil {
		return fmt.Errorf("image %s: %w", img.Name, err)
	}
	t := tag{name: name}
	if x := img.Index; x != nil {
		t.choices = append(t.choices, document{Descriptor: ocispec.Descriptor{MediaType: x.MediaType, Digest: x.Digest, Size: x.Size}})
	}
	there := document{Descriptor: ocispec.Descriptor{MediaType: img.Manifests[0].MediaType, Digest: img.Manifests[0].Digest, Size: img.Manifests[0].Size}}
	if len(img.Manifests) > 1 {
		made, content, err := registry.IndexOf(img.Manifests)
		if err != nil {
			return fmt.Errorf("image %s: %w", img.Name, err)
		}
		there = document{Descriptor: ocispec.Descriptor{MediaType: made.MediaType, Digest: made.Digest, Size: made.Size}, content: content}
	}
	t.choices = append(t.choices, there)
	r := p.repository(place)
	r.tags = append(r.tags, t)
	return nil
}

// bundle puts the bundle itself into a repository of its own, with all images, so that it can be copied on from there.
func (p *builder) bundle(b bundled, l layout) error {
	name := strings.TrimPrefix(l.prefix+"/"+registry.BundleRepository, "/")
	if !repositoryName.MatchString(name) {
		return fmt.Errorf("%q is no name that a repository can have: choose another prefix", name)
	}
	for _, r := range b.config.Releases {
		for _, img := range r.Images {
			for _, ip := range img.Platforms {
				p.manifest(name, ip)
			}
		}
	}
	// The root lists manifests among its layers, so registries look for them among the blobs too.
	for _, d := range append([]ocispec.Descriptor{b.manifest.Config}, b.manifest.Layers...) {
		p.need(name, d)
	}
	r := p.repository(name)
	r.subject = oci(b.root)
	r.tags = []tag{{name: registry.BundleTag(b.config.Name), choices: []document{{Descriptor: r.subject}}}}
	for _, ref := range b.referrers {
		p.need(name, oci(ref.Content))
		p.need(name, ocispec.DescriptorEmptyJSON)
		d := oci(ref.Manifest)
		d.ArtifactType = ref.Type
		r.referrers = append(r.referrers, d)
	}
	return nil
}
