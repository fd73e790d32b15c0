package bundle

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Types of what is attached to bundles.
const (
	// TypeSignature is a signature in the form of Sigstore.
	TypeSignature = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// TypeSBOM is a bill of materials in the form of SPDX.
	TypeSBOM = "application/spdx+json"
	// TypeProvenance is an in-toto statement of how the bundle came about (SLSA provenance).
	TypeProvenance = "application/vnd.in-toto+json"
)

// maxReferrers bounds how much can be attached to one bundle.
const maxReferrers = 64

// Attachment is something said about a bundle, to be attached to it.
type Attachment struct {
	// Type is its media type.
	Type string
	// Content has at most 8 MiB.
	Content []byte
}

// Referrer is something attached to a bundle: an OCI manifest whose subject is the root manifest, with one layer. The bundle's digest does
// not cover it, so it is to be believed only as far as a signature says so, or is a signature itself.
type Referrer struct {
	// Type is the media type of the content and the manifest's artifact type.
	Type string `json:"type"`
	// Manifest is the referring manifest, Content the blob it brings.
	Manifest Descriptor `json:"manifest"`
	Content  Descriptor `json:"content"`
}

// Referrers are what is attached to the bundle, ordered by type and digest.
func (b *Bundle) Referrers() []Referrer { return slices.Clone(b.referrers) }

// Attached returns the content of a referrer, whose digest it has checked.
func (b *Bundle) Attached(r Referrer) ([]byte, error) {
	return b.own.smallBlob(r.Content, "a referrer")
}

// Attach writes the bundle or delta b to path with something attached to it. Its digest remains the same; what is attached already
// stays. All content is hashed on the way.
func Attach(ctx context.Context, path string, b *Bundle, add ...Attachment) error {
	have, err := b.attachments()
	if err != nil {
		return err
	}
	without := map[digest.Digest]need{}
	for d := range b.plan.blobs {
		if b.blobs[d].in != b.own {
			without[d] = need{}
		}
	}
	return b.plan.write(ctx, path, content{base: b.base, blobs: b.contents(), without: without, attachments: append(have, add...)})
}

// Detached is what is attached to a bundle and what it refers to, read before anything else of the bundle.
type Detached struct {
	// Root is the digest all referrers refer to. It is the bundle's digest only if the bundle opens with it.
	Root digest.Digest
	// Referrers and their contents, in the same order.
	Referrers []Referrer
	Contents  [][]byte
}

// ReadReferrers reads what of one type is attached to a bundle or delta, and nothing else but headers and index.json, where it stands.
// Everything it returns has the form it must have, and none of it can be trusted. Errors: as Open.
func ReadReferrers(path, kind string) (*Detached, error) {
	a, err := openArchive(path)
	if err != nil {
		return nil, err
	}
	defer a.closer.Close() //nolint:errcheck // read only
	index, err := a.readIndex("")
	if err != nil {
		return nil, err
	}
	d := &Detached{Root: index.root.Digest}
	for _, r := range index.referrers {
		if r.Type != kind {
			continue
		}
		raw, err := a.smallBlob(r.Content, "a referrer")
		if err != nil {
			return nil, err
		}
		d.Referrers = append(d.Referrers, r)
		d.Contents = append(d.Contents, raw)
	}
	return d, nil
}

// attachments are what is attached, to be written again.
func (b *Bundle) attachments() ([]Attachment, error) {
	var out []Attachment
	for _, r := range b.referrers {
		raw, err := b.Attached(r)
		if err != nil {
			return nil, err
		}
		out = append(out, Attachment{Type: r.Type, Content: raw})
	}
	return out, nil
}

// emptyConfig is the config of manifests that have none.
func emptyConfig() Descriptor {
	d := ocispec.DescriptorEmptyJSON
	return Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// referrerOf makes the one manifest that attaches content of a type to the root.
func referrerOf(root, content Descriptor) (Referrer, []byte, error) {
	if err := referrerFault(content); err != nil {
		return Referrer{}, nil, err
	}
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: content.MediaType,
		Config:       oci(emptyConfig()),
		Layers:       []ocispec.Descriptor{oci(content)},
		Subject:      &ocispec.Descriptor{MediaType: root.MediaType, Digest: root.Digest, Size: root.Size, ArtifactType: ArtifactType},
	})
	if err != nil {
		return Referrer{}, nil, fmt.Errorf("encode referrer: %w", err)
	}
	manifest := Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	return Referrer{Type: content.MediaType, Manifest: manifest, Content: content}, raw, nil
}

func referrerFault(content Descriptor) error {
	if !regexp.MustCompile(`^[a-z0-9]+/[a-z0-9][a-z0-9.+-]{0,126}$`).MatchString(content.MediaType) {
		return fmt.Errorf("attachment: %.120q is not a media type", content.MediaType)
	}
	if err := validDigest(content.Digest); err != nil {
		return fmt.Errorf("attachment of type %s: %w", content.MediaType, err)
	}
	if content.Size < 0 || content.Size > maxJSONSize {
		return fmt.Errorf("attachment of type %s: %d bytes are too many", content.MediaType, content.Size)
	}
	return nil
}

func oci(d Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// attach makes the blobs and the list of referrers for attachments; equal ones count once.
func attach(root Descriptor, attachments []Attachment) ([]Referrer, map[digest.Digest]Blob, error) {
	var list []Referrer
	blobs := map[digest.Digest]Blob{}
	for _, a := range attachments {
		d, blob := BytesBlob(a.Content)
		r, raw, err := referrerOf(root, Descriptor{MediaType: a.Type, Digest: d, Size: blob.Size})
		if err != nil {
			return nil, nil, err
		}
		blobs[d] = blob
		blobs[r.Manifest.Digest] = Blob{Size: r.Manifest.Size, Copy: func(w io.Writer) error {
			_, err := w.Write(raw)
			return err
		}}
		list = append(list, r)
	}
	if len(list) > 0 {
		_, blobs[emptyConfig().Digest] = BytesBlob(ocispec.DescriptorEmptyJSON.Data)
	}
	slices.SortFunc(list, compareReferrers)
	list = slices.Compact(list)
	if len(list) > maxReferrers {
		return nil, nil, fmt.Errorf("%d attachments are too many for one bundle", len(list))
	}
	return list, blobs, nil
}

func compareReferrers(a, b Referrer) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Manifest.Digest, b.Manifest.Digest))
}

// inOrder says whether referrers are in order and each is there once.
func inOrder(list []Referrer) bool {
	for i := 1; i < len(list); i++ {
		if compareReferrers(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	return true
}

// readReferrer reads the manifest behind an entry of index.json and sees that it is the one that attaches its content to the root.
func (a *archive) readReferrer(root Descriptor, entry ocispec.Descriptor) (Referrer, error) {
	if err := validDigest(entry.Digest); err != nil {
		return Referrer{}, a.malformed(indexName, -1, err.Error())
	}
	raw, err := a.smallBlob(Descriptor{MediaType: entry.MediaType, Digest: entry.Digest, Size: entry.Size}, indexName)
	if err != nil {
		return Referrer{}, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return Referrer{}, a.malformed(blobName(entry.Digest), -1, fmt.Sprintf("not valid JSON: %v", err))
	}
	if len(m.Layers) != 1 {
		return Referrer{}, a.malformed(blobName(entry.Digest), -1, "a referrer must have one layer")
	}
	l := m.Layers[0]
	r, _, err := referrerOf(root, Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	if err != nil {
		return Referrer{}, a.malformed(blobName(entry.Digest), -1, err.Error())
	}
	if r.Manifest.Digest != entry.Digest {
		return Referrer{}, a.malformed(blobName(entry.Digest), -1, "the referrer is not in the one form, or refers to another bundle")
	}
	return r, nil
}
