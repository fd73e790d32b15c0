package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// MissingPlatformError says that a registry has an image, but not for a platform.
type MissingPlatformError struct {
	// Image is its name, Platform what it is missing for, Available what it is there for.
	Image, Platform string
	Available       []string
}

func (e *MissingPlatformError) Error() string {
	return fmt.Sprintf("image %s is not there for %s, only for %s: take the platform out of the definition, or another version of the image",
		e.Image, e.Platform, strings.Join(e.Available, ", "))
}

// top is what a name in a registry stands for: an index, or one manifest.
type top struct {
	descriptor bundle.Descriptor
	// manifests of an index; nil for a manifest.
	manifests []ocispec.Descriptor
}

// readTop reads what a registry answered for a name. Nothing in it is believed that the bytes themselves do not bear out.
func readTop(raw []byte) (top, error) {
	var doc struct {
		SchemaVersion int                  `json:"schemaVersion"`
		MediaType     string               `json:"mediaType"`
		Manifests     []ocispec.Descriptor `json:"manifests"`
		Layers        []ocispec.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return top{}, fmt.Errorf("the registry answers with what is neither index nor manifest: %w", err)
	}
	if doc.SchemaVersion != 2 {
		return top{}, fmt.Errorf("the registry answers with a manifest of schema %d; only schema 2 is known by digests", doc.SchemaVersion)
	}
	out := top{descriptor: bundle.Descriptor{MediaType: doc.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}}
	allowed := []string{ocispec.MediaTypeImageManifest, bundle.MediaTypeDockerManifest}
	if doc.Manifests != nil {
		allowed = []string{ocispec.MediaTypeImageIndex, bundle.MediaTypeDockerIndex}
		out.manifests = doc.Manifests
	}
	if out.descriptor.MediaType == "" {
		out.descriptor.MediaType = allowed[0] // which OCI lets a document leave out
	}
	if !slices.Contains(allowed, out.descriptor.MediaType) || doc.Manifests != nil && doc.Layers != nil {
		return top{}, fmt.Errorf("the registry answers with a document that says of itself that it is %.100q, and is not", doc.MediaType)
	}
	return out, nil
}

// choose returns the manifest for a platform, or a MissingPlatformError. Where there is no index it is the one there is; what that is
// for, its configuration says.
func (t top) choose(image, platform string) (bundle.Descriptor, error) {
	if t.manifests == nil {
		return t.descriptor, nil
	}
	var have []string
	for _, d := range t.manifests {
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue // what build tools attach to images
		}
		p := bundle.PlatformOf(*d.Platform)
		if p != platform {
			have = append(have, p)
			continue
		}
		if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != bundle.MediaTypeDockerManifest {
			return bundle.Descriptor{}, fmt.Errorf("image %s: the index names a %.100q for %s, and not a manifest", image, d.MediaType, platform)
		}
		return checked(d, maxManifest)
	}
	slices.Sort(have)
	return bundle.Descriptor{}, &MissingPlatformError{Image: image, Platform: platform, Available: slices.Compact(have)}
}

// readManifest reads the manifest that d describes and returns the config and layers it names.
func readManifest(raw []byte, d bundle.Descriptor) (config bundle.Descriptor, layers []bundle.Descriptor, err error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return config, nil, fmt.Errorf("what it names as manifest is none: %w", err)
	}
	if m.MediaType != "" && m.MediaType != d.MediaType {
		return config, nil, fmt.Errorf("its manifest says of itself that it is %.100q, and is named as %q", m.MediaType, d.MediaType)
	}
	if len(m.Layers) == 0 {
		return config, nil, errors.New("its manifest names no layers")
	}
	if config, err = checked(m.Config, maxConfig); err != nil {
		return config, nil, err
	}
	for _, l := range m.Layers {
		layer, err := checked(l, maxFile)
		if err != nil {
			return config, nil, err
		}
		if len(l.URLs) > 0 {
			return config, nil, fmt.Errorf("its layer %s lies outside the registry, at addresses of its own; such images cannot be taken", l.Digest)
		}
		layers = append(layers, layer)
	}
	return config, layers, nil
}

// checked is a descriptor whose digest and size can be.
func checked(d ocispec.Descriptor, limit int64) (bundle.Descriptor, error) {
	if d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 {
		return bundle.Descriptor{}, fmt.Errorf("%.100q is not a sha256 digest", string(d.Digest))
	}
	if d.Size <= 0 || d.Size > limit {
		return bundle.Descriptor{}, fmt.Errorf("%s has an impossible size of %d bytes", d.Digest, d.Size)
	}
	return bundle.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
}

// platformOfConfig is the platform an image configuration says it is for.
func platformOfConfig(raw []byte) (string, error) {
	var c ocispec.Image
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", fmt.Errorf("its configuration is none: %w", err)
	}
	return bundle.PlatformOf(c.Platform), nil
}
