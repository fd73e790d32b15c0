package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// catalog is what is served at one time: it never changes, so that requests need no lock.
type catalog struct {
	sources []Source
	// repositories by full name, registry included, and their tags.
	repositories map[string]map[string]document
	// names of all repositories, sorted.
	names []string
	// byPath lists the full names that end in a path, for clients that leave the registry out.
	byPath map[string][]string
	// documents are all manifests and indexes by digest.
	documents map[digest.Digest]document
	// referrers are what is attached, by what it is attached to.
	referrers map[digest.Digest][]ocispec.Descriptor
}

// document is a manifest or an index.
type document struct {
	mediaType string
	digest    digest.Digest
	content   []byte // of an index made here; nil for what lies in a source
}

// newCatalog reads what the sources have. Where two sources give one tag different meanings for a platform, the first one counts.
func newCatalog(sources []Source) (*catalog, error) {
	c := &catalog{
		sources: slices.Clone(sources), repositories: map[string]map[string]document{},
		byPath: map[string][]string{}, documents: map[digest.Digest]document{}, referrers: map[digest.Digest][]ocispec.Descriptor{},
	}
	var images []Image
	for _, s := range sources {
		images = append(images, s.Images()...)
		for _, img := range s.Images() {
			if img.Index != nil {
				c.documents[img.Index.Digest] = document{mediaType: img.Index.MediaType, digest: img.Index.Digest}
			}
			for _, m := range img.Manifests {
				c.documents[m.Digest] = document{mediaType: m.MediaType, digest: m.Digest}
			}
		}
	}
	for _, img := range Merge(images) {
		if err := c.tag(img); err != nil {
			return nil, err
		}
	}
	for _, s := range sources {
		for _, a := range s.Artifacts() {
			c.artifact(a)
		}
	}
	for name := range c.repositories {
		c.names = append(c.names, name)
		if _, path, ok := strings.Cut(name, "/"); ok {
			c.byPath[path] = append(c.byPath[path], name)
		}
	}
	sort.Strings(c.names)
	return c, nil
}

// Merge puts images of one name together, sorted by name: what a tag means. Where two give a platform different meanings, the first one
// counts.
func Merge(images []Image) []Image {
	merged := map[string]Image{}
	for _, img := range images {
		merged[img.Name] = merge(merged[img.Name], img)
	}
	out := make([]Image, 0, len(merged))
	for _, img := range merged {
		out = append(out, img)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// merge adds the platforms of an image that another of the same name has not. An index of its own it keeps only as long as that stands
// for all platforms.
func merge(have, more Image) Image {
	if len(have.Manifests) == 0 {
		return more
	}
	manifests := slices.Clone(have.Manifests)
	for _, m := range more.Manifests {
		if slices.ContainsFunc(manifests, func(o Manifest) bool { return o.Platform == m.Platform }) {
			continue
		}
		manifests = append(manifests, m)
		if have.Index != nil && (more.Index == nil || *more.Index != *have.Index) {
			have.Index = nil
		}
	}
	have.Manifests = manifests
	return have
}

// tag records an image. One with an index of its own is that; otherwise one for a single platform is its manifest, and one for several
// gets an index, whose bytes follow from its content, so that every server of the same images gives the same digest.
func (c *catalog) tag(img Image) error {
	repository, tag, err := img.Split()
	if err != nil {
		return err
	}
	if len(img.Manifests) == 0 {
		return fmt.Errorf("image %q has no platform", img.Name)
	}
	doc := c.documents[img.Manifests[0].Digest]
	switch {
	case img.Index != nil:
		doc = c.documents[img.Index.Digest]
	case len(img.Manifests) > 1:
		made, content, err := IndexOf(img.Manifests)
		if err != nil {
			return fmt.Errorf("image %q: %w", img.Name, err)
		}
		doc = document{mediaType: made.MediaType, digest: made.Digest, content: content}
		c.documents[doc.digest] = doc
	}
	if c.repositories[repository] == nil {
		c.repositories[repository] = map[string]document{}
	}
	c.repositories[repository][tag] = doc
	return nil
}

// artifact records an artifact and what is attached to it. Where two have one name, the first one counts; both are to be had by digest.
func (c *catalog) artifact(a Artifact) {
	doc := document{mediaType: a.MediaType, digest: a.Digest}
	c.documents[a.Digest] = doc
	if c.repositories[a.Repository] == nil {
		c.repositories[a.Repository] = map[string]document{}
	}
	if _, taken := c.repositories[a.Repository][a.Tag]; !taken {
		c.repositories[a.Repository][a.Tag] = doc
	}
	for _, r := range a.Referrers {
		if _, known := c.documents[r.Digest]; known {
			continue // the same bundle is served from two files
		}
		c.documents[r.Digest] = document{mediaType: r.MediaType, digest: r.Digest}
		c.referrers[a.Digest] = append(c.referrers[a.Digest],
			ocispec.Descriptor{MediaType: r.MediaType, Digest: r.Digest, Size: r.Size, ArtifactType: r.ArtifactType})
	}
}

// referrersOf is the index of what is attached to something, of one type unless that is empty.
func (c *catalog) referrersOf(subject digest.Digest, artifactType string) ocispec.Index {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for _, d := range c.referrers[subject] {
		if artifactType == "" || d.ArtifactType == artifactType {
			index.Manifests = append(index.Manifests, d)
		}
	}
	return index
}

// Split takes an image's name apart: its repository with the registry, and its tag.
func (i Image) Split() (repository, tag string, err error) {
	slash, colon := strings.LastIndex(i.Name, "/"), strings.LastIndex(i.Name, ":")
	if slash < 0 || colon < slash {
		return "", "", fmt.Errorf("image %q has no registry or no tag in its name", i.Name)
	}
	return i.Name[:colon], i.Name[colon+1:], nil
}

// IndexOf makes the one index of manifests for several platforms.
func IndexOf(manifests []Manifest) (Document, []byte, error) {
	sorted := slices.Clone(manifests)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Platform < sorted[j].Platform })
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, m := range sorted {
		parts := strings.SplitN(m.Platform, "/", 3)
		if len(parts) < 2 {
			return Document{}, nil, fmt.Errorf("platform %q has not the form os/architecture", m.Platform)
		}
		p := &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
		if len(parts) == 3 {
			p.Variant = parts[2]
		}
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, Platform: p})
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return Document{}, nil, fmt.Errorf("encode index: %w", err)
	}
	return Document{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, nil
}

// repository finds a repository by the name in the path of a request and its ns parameter, which mirrors receive: with ns the name
// is the path within that registry, without it the full name or, if only one registry has it, the path.
func (c *catalog) repository(name, ns string) (full string, ok bool) {
	if ns != "" {
		full = ns + "/" + name
		_, ok = c.repositories[full]
		return full, ok
	}
	if _, ok := c.repositories[name]; ok {
		return name, true
	}
	if names := c.byPath[name]; len(names) == 1 {
		return names[0], true
	}
	return "", false
}

// tags of a repository, sorted.
func (c *catalog) tags(full string) []string {
	tags := make([]string, 0, len(c.repositories[full]))
	for t := range c.repositories[full] {
		tags = append(tags, t)
	}
	sort.Strings(tags)
	return tags
}

// blob finds a blob in the first source that has it, or returns an error that is ErrNotFound.
func (c *catalog) blob(d digest.Digest) (*io.SectionReader, error) {
	for _, s := range c.sources {
		section, err := s.Blob(d)
		if err == nil || !errors.Is(err, ErrNotFound) {
			return section, err
		}
	}
	return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
}

// open returns the bytes of a manifest or index.
func (c *catalog) open(doc document) (*io.SectionReader, error) {
	if doc.content != nil {
		return io.NewSectionReader(bytes.NewReader(doc.content), 0, int64(len(doc.content))), nil
	}
	return c.blob(doc.digest)
}
