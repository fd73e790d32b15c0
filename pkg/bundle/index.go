package bundle

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// index is what index.json of an archive says, before anything else has confirmed it.
type index struct {
	raw       []byte
	root      Descriptor
	base      *Base
	referrers []Referrer
}

// readIndex reads index.json: the root's descriptor, what is attached to it, and the base of a delta. Where only one root is trusted,
// another is an UntrustedError before anything that the index names is read.
func (a *archive) readIndex(trusted digest.Digest) (*index, error) {
	raw, err := a.small(indexName)
	if err != nil {
		return nil, err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(raw, &idx); err != nil {
		return nil, a.malformed(indexName, -1, fmt.Sprintf("not valid JSON: %v", err))
	}
	if len(idx.Manifests) == 0 {
		return nil, a.malformed(indexName, -1, "it names no root manifest")
	}
	d := idx.Manifests[0]
	if err := validDigest(d.Digest); err != nil {
		return nil, a.malformed(indexName, -1, err.Error())
	}
	if trusted != "" && d.Digest != trusted {
		return nil, &UntrustedError{Path: a.path, Want: trusted, Got: d.Digest}
	}
	x := &index{raw: raw, root: Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}}
	for _, entry := range idx.Manifests[1:] {
		if entry.ArtifactType == "" {
			continue
		}
		if len(x.referrers) == maxReferrers {
			return nil, a.malformed(indexName, -1, "too much is attached to the bundle")
		}
		r, err := a.readReferrer(x.root, entry)
		if err != nil {
			return nil, err
		}
		x.referrers = append(x.referrers, r)
	}
	if base, ok := idx.Annotations[annotationBase]; ok {
		x.base = &Base{Digest: digest.Digest(base), Name: idx.Annotations[annotationBaseName]}
		if err := x.base.validate(); err != nil {
			return nil, a.malformed(indexName, -1, err.Error())
		}
	}
	return x, nil
}

// index is the one index.json of the bundle with its referrers, which must be in order, or of a delta against base.
func (p *plan) index(base *Base, referrers []Referrer) ([]byte, error) {
	root := oci(p.rootDescriptor())
	root.ArtifactType = ArtifactType
	out := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: append([]ocispec.Descriptor{root}, p.images...),
	}
	for _, r := range referrers {
		d := oci(r.Manifest)
		d.ArtifactType = r.Type
		out.Manifests = append(out.Manifests, d)
	}
	if base != nil {
		out.Annotations = map[string]string{annotationBase: string(base.Digest), annotationBaseName: base.Name}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode bundle index: %w", err)
	}
	return raw, nil
}

func (p *plan) rootDescriptor() Descriptor {
	return Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: p.rootDigest, Size: int64(len(p.root))}
}
