package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// ImageRequest is an image to take from its registry.
type ImageRequest struct {
	// Name is the full reference with registry and tag.
	Name string
	// Digest of the index or manifest; when empty, what the tag means counts.
	Digest digest.Digest
	// Platforms to take, such as linux/amd64.
	Platforms []string
}

// Image is an image in the store.
type Image struct {
	// Digest of the index or, without one, the manifest.
	Digest digest.Digest
	// Index is the index it was taken from; nil when the registry has one manifest under the name.
	Index *bundle.Descriptor
	// Platforms are what was taken, in the order they were asked for.
	Platforms []bundle.ImagePlatform
	// Blobs are index, manifests, configs and layers.
	Blobs map[digest.Digest]bundle.Blob
}

// Image takes an image and calls tell now and then. The index stays whole, of the platforms only those asked for are taken. Errors:
// MissingPlatformError, and those of package fetch, wrapped with what they are about.
func (s *Store) Image(ctx context.Context, r ImageRequest, tell func(Progress)) (*Image, error) {
	p := &pull{store: s, request: r, tell: tell, progress: map[digest.Digest]Progress{}, image: &Image{Blobs: map[digest.Digest]bundle.Blob{}}}
	err := p.run(ctx)
	if missing, ok := errors.AsType[*MissingPlatformError](err); ok {
		return nil, missing // which names the image itself
	}
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", r.Name, err)
	}
	return p.image, nil
}

// pull is one image under way.
type pull struct {
	store   *Store
	request ImageRequest
	image   *Image
	tell    func(Progress)

	mu sync.Mutex
	// progress of all configs and layers.
	progress map[digest.Digest]Progress
}

func (p *pull) run(ctx context.Context) error {
	raw, err := p.top(ctx)
	if err != nil {
		return err
	}
	t, err := readTop(raw)
	if err != nil {
		return err
	}
	manifests := make([]bundle.Descriptor, len(p.request.Platforms))
	for i, platform := range p.request.Platforms {
		if manifests[i], err = t.choose(p.request.Name, platform); err != nil {
			return err
		}
	}
	kept, err := p.store.keep(raw)
	if err != nil {
		return err
	}
	p.add(kept)
	p.image.Digest = t.descriptor.Digest
	if t.manifests != nil {
		p.image.Index = &t.descriptor
	}
	p.image.Platforms = make([]bundle.ImagePlatform, len(manifests))
	group, inner := errgroup.WithContext(ctx)
	for i, platform := range p.request.Platforms {
		group.Go(func() error {
			if err := p.manifest(inner, platform, manifests[i], &p.image.Platforms[i]); err != nil {
				return fmt.Errorf("for %s: %w", platform, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return p.content(ctx)
}

// top is the index or manifest that the name stands for. Only a tag has to be asked for again.
func (p *pull) top(ctx context.Context) ([]byte, error) {
	if p.request.Digest == "" {
		c := p.object(fetch.ObjectManifest, "")
		return p.store.text(ctx, c, maxManifest)
	}
	return p.small(ctx, bundle.Descriptor{Digest: p.request.Digest}, maxManifest, fetch.ObjectManifest)
}

// object is something of the image's repository; without a digest, what the tag means.
func (p *pull) object(object fetch.Object, d digest.Digest) content {
	repository, tag := p.request.Name, ""
	if colon := strings.LastIndex(p.request.Name, ":"); colon > strings.LastIndex(p.request.Name, "/") {
		repository, tag = p.request.Name[:colon], p.request.Name[colon:]
	}
	repository = p.store.o.Mirrors.Apply(repository)
	// Docker Hub's registry has another name than its images.
	if path, ok := strings.CutPrefix(repository, "docker.io/"); ok {
		repository = "registry-1.docker.io/" + path
	}
	c := content{at: "oci://" + repository + tag, object: object, digest: d}
	if d != "" {
		c.at = "oci://" + repository + "@" + d.String()
	}
	return c
}

// small brings a small object and reads it.
func (p *pull) small(ctx context.Context, d bundle.Descriptor, limit int64, object fetch.Object) ([]byte, error) {
	c := p.object(object, d.Digest)
	c.size = d.Size
	got, err := p.store.bring(ctx, c, func(Progress) {})
	if err != nil {
		return nil, err
	}
	if got.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, which are too many for what it is", d.Digest, got.Size)
	}
	p.add(got)
	return os.ReadFile(got.Path)
}

// manifest takes the manifest for a platform and the config that it names, and says in into what else there is to take.
func (p *pull) manifest(ctx context.Context, platform string, d bundle.Descriptor, into *bundle.ImagePlatform) error {
	raw, err := p.small(ctx, d, maxManifest, fetch.ObjectManifest)
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	config, layers, err := readManifest(raw, d)
	if err != nil {
		return err
	}
	if raw, err = p.small(ctx, config, maxConfig, fetch.ObjectBlob); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	is, err := platformOfConfig(raw)
	switch {
	case err != nil:
		return err
	case is != platform && p.image.Index == nil:
		return &MissingPlatformError{Image: p.request.Name, Platform: platform, Available: []string{is}}
	case is != platform:
		return fmt.Errorf("its configuration says that it is for %.60q", is)
	}
	*into = bundle.ImagePlatform{Platform: platform, Manifest: d, Config: config, Layers: layers}
	return nil
}

// content takes the layers of all platforms, each once.
func (p *pull) content(ctx context.Context) error {
	var layers []bundle.Descriptor
	for _, ip := range p.image.Platforms {
		for _, l := range ip.Layers {
			if !slices.ContainsFunc(layers, func(o bundle.Descriptor) bool { return o.Digest == l.Digest }) {
				layers = append(layers, l)
				p.progress[l.Digest] = Progress{Total: l.Size}
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range layers {
		group.Go(func() error {
			c := p.object(fetch.ObjectBlob, l.Digest)
			c.size = l.Size
			got, err := p.store.bring(ctx, c, func(now Progress) { p.note(l, now) })
			if err != nil {
				return fmt.Errorf("layer %s: %w", l.Digest, err)
			}
			p.add(got)
			return nil
		})
	}
	return group.Wait()
}

// add notes content as a blob of the image.
func (p *pull) add(c Content) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.image.Blobs[c.Digest] = c.Blob()
}

// note adds up how far all layers are.
func (p *pull) note(l bundle.Descriptor, now Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now.Total = l.Size
	p.progress[l.Digest] = now
	var sum Progress
	for _, one := range p.progress {
		sum = Progress{Done: sum.Done + one.Done, Total: sum.Total + one.Total, Resumed: sum.Resumed + one.Resumed, Cached: sum.Cached + one.Cached}
	}
	p.tell(sum)
}

// Blob is the content as something to write into a bundle.
func (c Content) Blob() bundle.Blob {
	return bundle.Blob{Size: c.Size, From: c.Path, Copy: func(w io.Writer) error {
		f, err := os.Open(c.Path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		_, err = io.Copy(w, f)
		return err
	}}
}
