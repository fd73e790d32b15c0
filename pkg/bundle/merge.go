package bundle

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// MergeOptions are the options of Merge.
type MergeOptions struct {
	// Name of the new bundle; empty means the inputs' names, joined by "+".
	Name string
	// Attach, if set, makes what to attach to the new bundle, which is cfg and has root as its digest.
	Attach func(cfg *Config, root digest.Digest) ([]Attachment, error)
}

// Merge writes one bundle with all releases and platforms of the inputs to path; what they share is in it once. The order of the
// inputs does not matter: equal inputs give equal bytes. A release that several inputs have is put together when they agree, for
// instance when each has it for another platform. All content is hashed on the way. Errors: ConflictError, and those of Write.
func Merge(ctx context.Context, path string, inputs []*Bundle, o MergeOptions) (digest.Digest, error) {
	if len(inputs) == 0 {
		return "", fmt.Errorf("merge bundles: there is none")
	}
	cfg, err := mergeConfigs(inputs, o.Name)
	if err != nil {
		return "", err
	}
	blobs := map[digest.Digest]Blob{}
	for _, b := range inputs {
		maps.Copy(blobs, b.contents())
	}
	var attachments []Attachment
	if o.Attach != nil {
		root, err := DigestOf(cfg)
		if err != nil {
			return "", fmt.Errorf("merge bundles: %w", err)
		}
		if attachments, err = o.Attach(cfg, root); err != nil {
			return "", fmt.Errorf("merge bundles: %w", err)
		}
	}
	return Write(ctx, path, cfg, blobs, attachments...)
}

// contents are the bundle's blobs as something to write.
func (b *Bundle) contents() map[digest.Digest]Blob {
	out := make(map[digest.Digest]Blob, len(b.blobs))
	for d, p := range b.blobs {
		out[d] = Blob{Size: p.size, From: p.in.path, Copy: func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(p.in.file, p.offset, p.size))
			return err
		}}
	}
	return out
}

// mergeConfigs is what the bundle of all inputs says about itself.
func mergeConfigs(inputs []*Bundle, name string) (*Config, error) {
	out := &Config{Name: name}
	var names []string
	releases := map[string]*mergedRelease{}
	for _, b := range inputs {
		// A merged bundle's name is taken apart, so that merging in steps gives the same name as merging at once.
		names = append(names, strings.Split(b.config.Name, "+")...)
		if b.config.Created.After(out.Created) {
			out.Created = b.config.Created
		}
		for i := range b.config.Releases {
			r := &b.config.Releases[i]
			m := releases[r.KubernetesVersion]
			if m == nil {
				m = &mergedRelease{version: r.KubernetesVersion, items: map[mergeKey]mergeItem{}}
				releases[r.KubernetesVersion] = m
			}
			if err := m.add(b.own.path, r); err != nil {
				return nil, err
			}
		}
	}
	if out.Name == "" {
		slices.Sort(names)
		out.Name = strings.Join(slices.Compact(names), "+")
	}
	if len(out.Name) > maxNameLength {
		return nil, fmt.Errorf("merge bundles: the names of all inputs together are too long for a name; choose one")
	}
	for _, m := range releases {
		out.Releases = append(out.Releases, m.release())
	}
	return out, nil
}

// mergedRelease collects one Kubernetes version out of several bundles.
type mergedRelease struct {
	version    string
	platforms  []string
	components []Component
	items      map[mergeKey]mergeItem
}

// mergeKey is what one release can have once: a file or an image for a platform.
type mergeKey struct{ what, name, platform string }

// mergeItem is what one bundle has in a place: a file, an image apart from its platforms, or one platform of it.
type mergeItem struct {
	from   string
	digest digest.Digest
	// said is everything the config says about it.
	said     string
	file     File
	image    *Image
	platform ImagePlatform
}

func (m *mergedRelease) add(from string, r *Release) error {
	m.platforms = append(m.platforms, r.Platforms...)
	m.components = append(m.components, r.Components...)
	for _, f := range r.Files {
		if err := m.put(mergeKey{"file", f.Name, f.Platform}, mergeItem{from: from, digest: f.Digest, file: f}, f); err != nil {
			return err
		}
	}
	for _, img := range r.Images {
		head := Image{Name: img.Name, Component: img.Component, Version: img.Version, Index: img.Index}
		if err := m.put(mergeKey{"image", img.Name, ""}, mergeItem{from: from, image: &head}, head); err != nil {
			return err
		}
		for _, ip := range img.Platforms {
			if err := m.put(mergeKey{"image", img.Name, ip.Platform}, mergeItem{from: from, digest: ip.Manifest.Digest, platform: ip}, ip); err != nil {
				return err
			}
		}
	}
	return nil
}

// put adds one item unless it is there already; another one in its place is a ConflictError.
func (m *mergedRelease) put(key mergeKey, item mergeItem, says any) error {
	raw, err := json.Marshal(says)
	if err != nil {
		return fmt.Errorf("merge %s %s: %w", key.what, key.name, err)
	}
	item.said = string(raw)
	old, ok := m.items[key]
	if ok && old.said != item.said {
		return &ConflictError{Version: m.version, What: key.what + " " + key.name, Platform: key.platform,
			Paths: [2]string{old.from, item.from}, Digests: [2]digest.Digest{old.digest, item.digest}}
	}
	m.items[key] = item
	return nil
}

// release puts the items together; their order is Write's business.
func (m *mergedRelease) release() Release {
	r := Release{KubernetesVersion: m.version}
	slices.Sort(m.platforms)
	m.platforms = slices.Compact(m.platforms)
	r.Platforms = m.platforms
	seen := map[Component]bool{}
	for _, c := range m.components {
		if !seen[c] {
			seen[c] = true
			r.Components = append(r.Components, c)
		}
	}
	for key, item := range m.items {
		switch {
		case key.what == "file":
			r.Files = append(r.Files, item.file)
		case item.image != nil:
			r.Images = append(r.Images, m.imageOf(*item.image))
		}
	}
	// What is equal for the config's order, such as several modules of one component, shall not stand in the order of the inputs.
	slices.SortFunc(r.Components, func(a, b Component) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Checksum, b.Checksum))
	})
	return r
}

// imageOf gives an image its platforms.
func (m *mergedRelease) imageOf(img Image) Image {
	for _, p := range m.platforms {
		if item, ok := m.items[mergeKey{"image", img.Name, p}]; ok {
			img.Platforms = append(img.Platforms, item.platform)
		}
	}
	return img
}
