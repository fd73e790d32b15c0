package builder

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/upstream"
)

// compose turns what was made for all platforms into the bundle's config and blobs.
func (b *build) compose(targets []*target) (*bundle.Config, map[digest.Digest]bundle.Blob, error) {
	blobs := map[digest.Digest]bundle.Blob{}
	r := bundle.Release{KubernetesVersion: b.def.KubernetesVersion}
	images := make([]bundle.Image, len(b.def.Images))
	for i, spec := range b.def.Images {
		images[i] = bundle.Image{Name: spec.Name, Component: spec.Component, Version: spec.Version}
		if spec.Pull != nil {
			image := b.pulled[spec.Name]
			images[i].Index, images[i].Platforms = image.Index, image.Platforms
			r.Components = append(r.Components, imageOf(&spec, image))
			maps.Copy(blobs, image.Blobs)
		}
	}
	for _, t := range targets {
		r.Platforms = append(r.Platforms, t.platform)
		for _, c := range t.sources {
			if !slices.ContainsFunc(r.Components, func(o bundle.Component) bool { return sameSource(o, c) }) {
				r.Components = append(r.Components, c)
			}
		}
		files, err := t.files(blobs)
		if err != nil {
			return nil, nil, err
		}
		r.Files = append(r.Files, files...)
		if err := t.images(images, blobs); err != nil {
			return nil, nil, err
		}
		orderedLacks(t.lacks)
	}
	for _, img := range images {
		if len(img.Platforms) > 0 {
			r.Images = append(r.Images, img)
		}
	}
	for _, f := range b.def.Files {
		raw, err := os.ReadFile(filepath.Join(b.def.dir, f.Path))
		if err != nil {
			return nil, nil, err
		}
		d, blob := bundle.BytesBlob(f.content(raw))
		blobs[d] = blob
		r.Files = append(r.Files, bundle.File{
			Name: f.Name, Kind: f.Kind, Component: f.Component, Version: f.Version, Digest: d, Size: blob.Size, Mode: 0o644,
		})
	}
	return &bundle.Config{Name: b.def.Name, Created: b.created, Releases: []bundle.Release{r}}, blobs, nil
}

// sameSource says whether two lines of the bill of materials speak of one thing: a Debian package that is for all architectures comes with
// each platform.
func sameSource(a, b bundle.Component) bool {
	return a == b || a.Type == "Debian" && b.Type == a.Type && b.Checksum == a.Checksum
}

// files are the platform's programs and tools for hosts.
func (t *target) files(blobs map[digest.Digest]bundle.Blob) ([]bundle.File, error) {
	var files []bundle.File
	for _, c := range t.def.Components {
		for _, spec := range c.Programs {
			p, ok := t.programs[spec.Name]
			if spec.File == "" || !ok {
				continue
			}
			blobs[p.digest] = bundle.FileBlob(p.path, p.size)
			files = append(files, bundle.File{
				Name: spec.Name, Kind: spec.File, Component: c.Name, Version: c.Version, Platform: t.platform,
				Digest: p.digest, Size: p.size, Mode: 0o755,
			})
		}
	}
	for _, f := range t.taken {
		blobs[f.digest] = upstream.Content{Path: f.path, Digest: f.digest, Size: f.size}.Blob()
		files = append(files, bundle.File{
			Name: f.spec.Name, Kind: f.spec.Kind, Component: f.from.Component, Version: f.from.Version, Platform: t.platform,
			Digest: f.digest, Size: f.size, Mode: 0o755,
		})
	}
	for _, spec := range t.def.Tools {
		if t.debian == nil {
			t.lack("tools "+spec.Component, t.noDebian())
			continue
		}
		tools, err := t.makeTools(spec, blobs)
		if err != nil {
			return nil, fmt.Errorf("tools %s: %w", spec.Component, err)
		}
		files = append(files, tools...)
	}
	return files, nil
}

// images adds the platform to every image it can have; images are in the order of the definition.
func (t *target) images(images []bundle.Image, blobs map[digest.Digest]bundle.Blob) error {
	bases := map[string]bundle.Descriptor{}
	for _, l := range t.def.Layers {
		if t.missing(&l.Layer) != "" || len(l.Debian) > 0 && t.debian == nil {
			continue
		}
		d, blob, err := t.makeLayer(&l.Layer)
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.Name, err)
		}
		bases[l.Name] = d
		blobs[d.Digest] = blob
	}
	for i := range t.def.Images {
		spec := &t.def.Images[i]
		if spec.Pull != nil {
			continue // it is there for all platforms
		}
		if why := t.withoutImage(spec, bases); why != "" {
			t.lack("image "+spec.Name, why)
			continue
		}
		ip, err := t.makeImage(spec, bases, blobs)
		if err != nil {
			return fmt.Errorf("image %s: %w", spec.Name, err)
		}
		images[i].Platforms = append(images[i].Platforms, ip)
	}
	return nil
}

// withoutImage says why an image cannot be made for the platform; empty means that it can.
func (t *target) withoutImage(spec *Image, bases map[string]bundle.Descriptor) string {
	if program := t.missing(&spec.Layer); program != "" {
		return "its program " + program + " is not there"
	}
	if len(spec.Layer.Debian) > 0 && t.debian == nil {
		return t.noDebian()
	}
	if _, ok := bases[spec.Base]; spec.Base != "" && !ok {
		return "its base layer " + spec.Base + " is not there: " + t.noDebian()
	}
	return ""
}

// imageCreated is when all images say they were created. The time of a release would make one image two where two releases share it.
func imageCreated() *time.Time {
	t := time.Unix(0, 0).UTC()
	return &t
}

// makeImage adds an image's blobs to blobs and returns its entry for the bundle's config.
func (t *target) makeImage(spec *Image, bases map[string]bundle.Descriptor, blobs map[digest.Digest]bundle.Blob) (bundle.ImagePlatform, error) {
	var layers []bundle.Descriptor
	if spec.Base != "" {
		layers = append(layers, bases[spec.Base])
	}
	own, blob, err := t.makeLayer(&spec.Layer)
	if err != nil {
		return bundle.ImagePlatform{}, err
	}
	blobs[own.Digest] = blob
	layers = append(layers, own)

	goos, goarch, _ := strings.Cut(t.platform, "/")
	cfg := ocispec.Image{
		Created:  imageCreated(),
		Platform: ocispec.Platform{OS: goos, Architecture: goarch},
		Config: ocispec.ImageConfig{
			User: spec.User, Env: spec.Env, Entrypoint: spec.Entrypoint, Cmd: spec.Cmd, WorkingDir: spec.WorkingDir,
		},
		RootFS: ocispec.RootFS{Type: "layers"},
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
	}
	for _, l := range layers {
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, l.Digest)
		manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	}
	config, err := addJSON(cfg, ocispec.MediaTypeImageConfig, blobs)
	if err != nil {
		return bundle.ImagePlatform{}, err
	}
	manifest.Config = ocispec.Descriptor{MediaType: config.MediaType, Digest: config.Digest, Size: config.Size}
	top, err := addJSON(manifest, ocispec.MediaTypeImageManifest, blobs)
	if err != nil {
		return bundle.ImagePlatform{}, err
	}
	return bundle.ImagePlatform{Platform: t.platform, Manifest: top, Config: config, Layers: layers}, nil
}

func addJSON(v any, mediaType string, blobs map[digest.Digest]bundle.Blob) (bundle.Descriptor, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return bundle.Descriptor{}, err
	}
	d, blob := bundle.BytesBlob(raw)
	blobs[d] = blob
	return bundle.Descriptor{MediaType: mediaType, Digest: d, Size: blob.Size}, nil
}
