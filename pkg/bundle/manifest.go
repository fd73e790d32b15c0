package bundle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layoutFile is the content of the tar's oci-layout entry.
const layoutFile = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`

// plan is everything that follows from a Config: the JSON blobs and which blobs must exist with which sizes.
type plan struct {
	config, root []byte
	configDigest digest.Digest
	rootDigest   digest.Digest
	// images are the entries of index.json after the root.
	images []ocispec.Descriptor
	// blobs are the content blobs (not config, not root) with their sizes and, for error messages, who names them.
	blobs map[digest.Digest]need
}

type need struct {
	size    int64
	namedBy string
}

// planFor derives the one root manifest that belongs to cfg, which must be normalized and valid.
func planFor(cfg *Config) (*plan, error) {
	p := &plan{blobs: map[digest.Digest]need{}}
	var err error
	if p.config, err = json.Marshal(cfg); err != nil {
		return nil, fmt.Errorf("encode bundle config: %w", err)
	}
	p.configDigest = digest.FromBytes(p.config)

	top := map[digest.Digest]ocispec.Descriptor{}
	images := indexed{entries: map[indexKey]ocispec.Descriptor{}, holders: map[indexKey]digest.Digest{}}
	for _, r := range cfg.Releases {
		for _, f := range r.Files {
			who := "file " + f.Name + " of " + r.KubernetesVersion
			if f.Platform != "" {
				who += " for " + f.Platform
			}
			if err := p.want(f.Digest, f.Size, who); err != nil {
				return nil, err
			}
			addTop(top, ocispec.Descriptor{MediaType: MediaTypeFile, Digest: f.Digest, Size: f.Size})
		}
		for _, img := range r.Images {
			if x := img.Index; x != nil {
				if err := p.want(x.Digest, x.Size, "image "+img.Name); err != nil {
					return nil, err
				}
				addTop(top, oci(*x))
			}
			for _, ip := range img.Platforms {
				who := "image " + img.Name + " for " + ip.Platform
				for _, d := range append([]Descriptor{ip.Manifest, ip.Config}, ip.Layers...) {
					if err := p.want(d.Digest, d.Size, who); err != nil {
						return nil, err
					}
				}
				addTop(top, ocispec.Descriptor{MediaType: ip.Manifest.MediaType, Digest: ip.Manifest.Digest, Size: ip.Manifest.Size})
				images.add(img.Name, ip)
			}
		}
	}
	if _, ok := p.blobs[p.configDigest]; ok {
		return nil, fmt.Errorf("bundle config is also listed as content")
	}

	layers := make([]ocispec.Descriptor, 0, len(top))
	for _, d := range top {
		layers = append(layers, d)
	}
	sort.Slice(layers, func(i, j int) bool { return layers[i].Digest < layers[j].Digest })
	root := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       ocispec.Descriptor{MediaType: MediaTypeConfig, Digest: p.configDigest, Size: int64(len(p.config))},
		Layers:       layers,
	}
	if p.root, err = json.Marshal(root); err != nil {
		return nil, fmt.Errorf("encode bundle root manifest: %w", err)
	}
	p.rootDigest = digest.FromBytes(p.root)

	p.images = images.list()
	return p, nil
}

func (p *plan) want(d digest.Digest, size int64, who string) error {
	if err := validDigest(d); err != nil {
		return fmt.Errorf("%s: %w", who, err)
	}
	if size < 0 || size > maxBlobSize {
		return fmt.Errorf("%s: blob %s has an impossible size of %d bytes", who, d, size)
	}
	if old, ok := p.blobs[d]; ok {
		if old.size != size {
			return fmt.Errorf("%s gives blob %s %d bytes, %s gives it %d", who, d, size, old.namedBy, old.size)
		}
		return nil
	}
	p.blobs[d] = need{size: size, namedBy: who}
	return nil
}

// addTop keeps one descriptor per digest. The same bytes may be a file and a manifest only in theory; the smaller media
// type wins then, so that the order of the config does not matter.
func addTop(top map[digest.Digest]ocispec.Descriptor, d ocispec.Descriptor) {
	if old, ok := top[d.Digest]; !ok || d.MediaType < old.MediaType {
		top[d.Digest] = d
	}
}

// indexed collects the images of index.json. One name means one image for a platform: where releases give it to different ones, the
// newest release's has it, and the others are listed without a name, for those who ask by digest.
type indexed struct {
	entries map[indexKey]ocispec.Descriptor
	// holders say which image has a name for a platform by now. Their keys have no digest.
	holders map[indexKey]digest.Digest
}

// indexKey tells the entries of index.json apart; nameless ones have an empty name.
type indexKey struct {
	name, platform string
	digest         digest.Digest
}

// add adds an image of a release, which must not be older than those before.
func (x indexed) add(name string, ip ImagePlatform) {
	d := ocispec.Descriptor{MediaType: ip.Manifest.MediaType, Digest: ip.Manifest.Digest, Size: ip.Manifest.Size, Platform: ociPlatform(ip.Platform)}
	holder := indexKey{name: name, platform: ip.Platform}
	if before, ok := x.holders[holder]; ok && before != d.Digest {
		key := indexKey{name: name, platform: ip.Platform, digest: before}
		old := x.entries[key]
		delete(x.entries, key)
		old.Annotations = nil
		x.entries[indexKey{platform: ip.Platform, digest: before}] = old
	}
	x.holders[holder] = d.Digest
	d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	x.entries[indexKey{name: name, platform: ip.Platform, digest: d.Digest}] = d
}

// list is ordered by name, platform and digest. What has a name needs no nameless entry beside it.
func (x indexed) list() []ocispec.Descriptor {
	keys := make([]indexKey, 0, len(x.entries))
	named := map[indexKey]bool{}
	for key := range x.entries {
		if key.name != "" {
			named[indexKey{platform: key.platform, digest: key.digest}] = true
		}
	}
	for key := range x.entries {
		if !named[key] {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b indexKey) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.platform, b.platform), cmp.Compare(a.digest, b.digest))
	})
	out := make([]ocispec.Descriptor, 0, len(keys))
	for _, key := range keys {
		out = append(out, x.entries[key])
	}
	return out
}

func ociPlatform(s string) *ocispec.Platform {
	p := ocispec.Platform{}
	parts := strings.SplitN(s, "/", 3)
	p.OS = parts[0]
	if len(parts) > 1 {
		p.Architecture = parts[1]
	}
	if len(parts) > 2 {
		p.Variant = parts[2]
	}
	return &p
}

// PlatformOf is a platform in the form os/architecture[/variant] that bundles use. The variant that an architecture has anyway is left
// out, as some images name it and others do not.
func PlatformOf(p ocispec.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" && (p.Architecture != "arm64" || p.Variant != "v8") {
		s += "/" + p.Variant
	}
	return s
}

// validDigest accepts sha256 only: it is what blob names in the tar are made of.
func validDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("%.100q is not a sha256 digest", string(d))
	}
	return nil
}

func sortedDigests[V any](m map[digest.Digest]V) []digest.Digest {
	out := make([]digest.Digest, 0, len(m))
	for d := range m {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}
