package builder

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// compose turns programs, files and layers into the bundle's config and blobs.
func (b *build) compose() (*bundle.Config, map[digest.Digest]bundle.Blob, error) {
	blobs := map[digest.Digest]bundle.Blob{}
	r := bundle.Release{
		KubernetesVersion: b.def.KubernetesVersion,
		Platforms:         []string{b.platform},
		Components:        b.sources,
	}
	for _, c := range b.def.Components {
		for _, spec := range c.Programs {
			if spec.File == "" {
				continue
			}
			p := b.programs[spec.Name]
			blobs[p.digest] = bundle.FileBlob(p.path, p.size)
			r.Files = append(r.Files, bundle.File{
				Name: spec.Name, Kind: spec.File, Component: c.Name, Version: c.Version, Platform: b.platform,
				Digest: p.digest, Size: p.size, Mode: 0o755,
			})
		}
	}
	for _, f := range b.def.Files {
		raw, err := os.ReadFile(filepath.Join(b.def.dir, f.Path))
		if err != nil {
			return nil, nil, err
		}
		d, blob := bundle.BytesBlob(raw)
		blobs[d] = blob
		r.Files = append(r.Files, bundle.File{
			Name: f.Name, Kind: f.Kind, Component: f.Component, Version: f.Version, Digest: d, Size: blob.Size, Mode: 0o644,
		})
	}
	for _, t := range b.def.Tools {
		files, err := b.makeTools(t, blobs)
		if err != nil {
			return nil, nil, fmt.Errorf("tools %s: %w", t.Component, err)
		}
		r.Files = append(r.Files, files...)
	}
	bases := map[string]bundle.Descriptor{}
	for _, l := range b.def.Layers {
		d, blob, err := b.makeLayer(&l.Layer)
		if err != nil {
			return nil, nil, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		bases[l.Name] = d
		blobs[d.Digest] = blob
	}
	for i := range b.def.Images {
		img, err := b.makeImage(&b.def.Images[i], bases, blobs)
		if err != nil {
			return nil, nil, fmt.Errorf("image %s: %w", b.def.Images[i].Name, err)
		}
		r.Images = append(r.Images, img)
	}
	return &bundle.Config{Name: b.def.Name, Created: b.created, Releases: []bundle.Release{r}}, blobs, nil
}

// makeImage adds an image's blobs to blobs and returns its entry for the bundle's config.
func (b *build) makeImage(spec *Image, bases map[string]bundle.Descriptor, blobs map[digest.Digest]bundle.Blob) (bundle.Image, error) {
	var layers []bundle.Descriptor
	if spec.Base != "" {
		layers = append(layers, bases[spec.Base])
	}
	own, blob, err := b.makeLayer(&spec.Layer)
	if err != nil {
		return bundle.Image{}, err
	}
	blobs[own.Digest] = blob
	layers = append(layers, own)

	goos, goarch, _ := strings.Cut(b.platform, "/")
	cfg := ocispec.Image{
		Created:  &b.created,
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
		return bundle.Image{}, err
	}
	manifest.Config = ocispec.Descriptor{MediaType: config.MediaType, Digest: config.Digest, Size: config.Size}
	top, err := addJSON(manifest, ocispec.MediaTypeImageManifest, blobs)
	if err != nil {
		return bundle.Image{}, err
	}
	return bundle.Image{
		Name: spec.Name, Component: spec.Component, Version: spec.Version,
		Platforms: []bundle.ImagePlatform{{Platform: b.platform, Manifest: top, Config: config, Layers: layers}},
	}, nil
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
