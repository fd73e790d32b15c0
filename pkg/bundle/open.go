package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bundle is an open bundle: one file, or a delta together with the files that have the rest. Its methods may be called from several
// goroutines.
type Bundle struct {
	// own is the file that was opened, files are own and then the bases.
	own   *archive
	files []*archive

	config *Config
	plan   *plan
	base   *Base
	// referrers are what is attached; their blobs lie in own.
	referrers []Referrer
	// blobs are where all content is that the bundle names, attached where that is which belongs to referrers.
	blobs, attached map[digest.Digest]place
}

// place is where a blob lies.
type place struct {
	in *archive
	entry
}

// Open reads the headers and the small JSON blobs of a bundle and checks everything that can be checked without reading
// all content: the form of the tar, that root manifest, config, image manifests and index agree, and that every blob
// they name is there with the right size and no other. What it returns can be trusted as far as Digest can; content is
// hashed by Verify or by whoever copies it. Errors: TruncatedError, MalformedError, MissingBlobError, SizeMismatchError,
// DigestMismatchError, UnsupportedFormatError, MissingBaseError for a delta, or the operating system's.
func Open(path string) (*Bundle, error) { return OpenSet(path) }

// OpenSet opens a delta together with the bundles that have what it lacks; those may be deltas too, and may hold more than is needed.
// The Bundle it returns is the complete one the delta stands for: it has that one's digest, config and blobs, wherever they lie, so
// a cluster can be installed from it as from one file. What the bases hold need not be trusted: a blob is known by its digest, and
// Verify hashes those of the bases too. When blobs are missing still, it is a MissingBaseError that lists them. Otherwise as Open.
func OpenSet(path string, bases ...string) (*Bundle, error) { return OpenTrusted(path, "", bases...) }

// OpenTrusted is OpenSet of a file that must have a trusted digest, unless that is empty. It is compared as soon as index.json tells the
// file's own: of a file that is not trusted nothing else is read or taken apart, which could be made to take very long. Errors: as
// OpenSet, and UntrustedError.
func OpenTrusted(path string, trusted digest.Digest, bases ...string) (*Bundle, error) {
	if trusted != "" {
		if err := validDigest(trusted); err != nil {
			return nil, fmt.Errorf("expected digest: %w", err)
		}
	}
	b := &Bundle{}
	for _, p := range append([]string{path}, bases...) {
		a, err := openArchive(p)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		b.files = append(b.files, a)
	}
	b.own = b.files[0]
	if err := b.load(trusted); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// read does the work of Open on any random-access content.
func read(path string, r io.ReaderAt, size int64) (*Bundle, error) {
	a, err := scan(path, r, size)
	if err != nil {
		return nil, err
	}
	b := &Bundle{own: a, files: []*archive{a}}
	if err := b.load(""); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bundle) malformed(name string, off int64, reason string) error {
	return b.own.malformed(name, off, reason)
}

// load reads the JSON entries and checks them against each other and against the entries of the tar. An index of another root than the
// trusted one, if there is one, is the end of it.
func (b *Bundle) load(trusted digest.Digest) error {
	layout, err := b.own.small(layoutName)
	if err != nil {
		return err
	}
	if string(layout) != layoutFile {
		return b.malformed(layoutName, -1, "it is not the layout this program knows")
	}
	index, err := b.own.readIndex(trusted)
	if err != nil {
		return err
	}
	root := index.root
	b.base, b.referrers = index.base, index.referrers
	var manifest ocispec.Manifest
	if err := b.smallJSON(root, "index.json", &manifest); err != nil {
		return err
	}
	if manifest.ArtifactType != ArtifactType || manifest.Config.MediaType != MediaTypeConfig {
		return b.malformed(blobName(root.Digest), -1, "the first manifest of index.json is not a bundle's root manifest")
	}
	if err := b.loadConfig(manifest.Config); err != nil {
		return err
	}
	if b.plan, err = planFor(b.config); err != nil {
		return b.malformed(blobName(manifest.Config.Digest), -1, err.Error())
	}
	// The index and the root must be the very bytes that follow from the config; nothing else in them counts.
	if b.plan.configDigest != manifest.Config.Digest {
		return b.malformed(blobName(manifest.Config.Digest), -1, "the config is not in the one form kubewright writes")
	}
	if b.plan.rootDigest != root.Digest {
		return b.malformed(blobName(root.Digest), -1, "the root manifest does not agree with the config")
	}
	want, err := b.plan.index(b.base, b.referrers)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, index.raw) || !inOrder(b.referrers) {
		return b.malformed(indexName, -1, "the index does not agree with the root manifest")
	}
	if err := b.placeBlobs(); err != nil {
		return err
	}
	return b.checkImages()
}

func (b *Bundle) loadConfig(d ocispec.Descriptor) error {
	if err := validDigest(d.Digest); err != nil {
		return b.malformed("root manifest", -1, err.Error())
	}
	desc := Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	raw, err := b.smallBlob(desc, "the root manifest")
	if err != nil {
		return err
	}
	var version struct {
		FormatVersion int `json:"formatVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return b.malformed(blobName(d.Digest), -1, fmt.Sprintf("not valid JSON: %v", err))
	}
	if version.FormatVersion != FormatVersion {
		return &UnsupportedFormatError{Path: b.own.path, Got: version.FormatVersion, Want: FormatVersion}
	}
	b.config = &Config{}
	if err := json.Unmarshal(raw, b.config); err != nil {
		return b.malformed(blobName(d.Digest), -1, fmt.Sprintf("not a bundle config: %v", err))
	}
	b.config.normalize()
	if err := b.config.validate(); err != nil {
		return b.malformed(blobName(d.Digest), -1, err.Error())
	}
	return nil
}

// placeBlobs finds everything that is named, and sees that the bundle's own file has nothing else.
func (b *Bundle) placeBlobs() error {
	known := map[string]bool{
		layoutName: true, indexName: true, blobName(b.plan.rootDigest): true, blobName(b.plan.configDigest): true,
	}
	b.attached = map[digest.Digest]place{}
	for _, r := range b.referrers {
		for _, d := range []Descriptor{r.Manifest, r.Content, emptyConfig()} {
			e, ok := b.own.entries[blobName(d.Digest)]
			if !ok {
				return &MissingBlobError{Path: b.own.path, Digest: d.Digest, NamedBy: "a referrer"}
			}
			if e.size != d.Size {
				return &SizeMismatchError{Path: b.own.path, Entry: blobName(d.Digest), NamedBy: "a referrer", Want: d.Size, Got: e.size}
			}
			known[blobName(d.Digest)] = true
			b.attached[d.Digest] = place{b.own, e}
		}
	}
	b.blobs = make(map[digest.Digest]place, len(b.plan.blobs))
	var missing []digest.Digest
	for _, d := range sortedDigests(b.plan.blobs) {
		n := b.plan.blobs[d]
		known[blobName(d)] = true
		p, ok := b.find(d)
		if !ok && b.base != nil {
			missing = append(missing, d)
			continue
		}
		if !ok {
			return &MissingBlobError{Path: b.own.path, Digest: d, NamedBy: n.namedBy}
		}
		if p.size != n.size {
			return &SizeMismatchError{Path: p.in.path, Entry: blobName(d), NamedBy: n.namedBy, Want: n.size, Got: p.size}
		}
		b.blobs[d] = p
	}
	for _, name := range b.own.order {
		if !known[name] {
			return b.malformed(name, b.own.entries[name].offset, "nothing in the bundle names this blob")
		}
	}
	if len(missing) > 0 {
		return b.missingBase(missing)
	}
	return nil
}

// find looks for a blob in all files, the bundle's own first.
func (b *Bundle) find(d digest.Digest) (place, bool) {
	for _, a := range b.files {
		if e, ok := a.entries[blobName(d)]; ok {
			return place{a, e}, true
		}
	}
	return place{}, false
}

// imageCheck compares the image manifests with what the config says about them. A bundle may give one manifest, index or configuration to
// thousands of images; each is read once, so that the work is bounded by the size of the file.
type imageCheck struct {
	b *Bundle
	// checked are images that agree with their manifests, by manifest; platforms what configurations say, by configuration.
	checked   map[digest.Digest]ImagePlatform
	platforms map[digest.Digest]string
}

// checkImages checks all images, those of one index together.
func (b *Bundle) checkImages() error {
	c := imageCheck{b: b, checked: map[digest.Digest]ImagePlatform{}, platforms: map[digest.Digest]string{}}
	indexes := map[digest.Digest][]*Image{}
	for i := range b.config.Releases {
		r := &b.config.Releases[i]
		for k := range r.Images {
			img := &r.Images[k]
			if img.Index != nil {
				indexes[img.Index.Digest] = append(indexes[img.Index.Digest], img)
			}
			for _, ip := range img.Platforms {
				if err := c.image(img.Name, ip); err != nil {
					return err
				}
			}
		}
	}
	for _, d := range sortedDigests(indexes) {
		if err := c.index(indexes[d]); err != nil {
			return err
		}
	}
	return nil
}

// index sees that an index names the manifests that the bundle has of the images that were taken from it.
func (c *imageCheck) index(images []*Image) error {
	var index ocispec.Index
	if err := c.b.smallJSON(*images[0].Index, "image "+images[0].Name, &index); err != nil {
		return err
	}
	named := make(map[Descriptor]bool, len(index.Manifests))
	for _, d := range index.Manifests {
		named[Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}] = true
	}
	for _, img := range images {
		for _, ip := range img.Platforms {
			if !named[ip.Manifest] {
				return c.b.malformed(blobName(img.Index.Digest), -1, fmt.Sprintf("the index of image %s does not name its manifest for %s", img.Name, ip.Platform))
			}
		}
	}
	return nil
}

func sameDescriptor(a ocispec.Descriptor, d Descriptor) bool {
	return a.MediaType == d.MediaType && a.Digest == d.Digest && a.Size == d.Size
}

// image sees that an image is what its manifest and its configuration say.
func (c *imageCheck) image(name string, ip ImagePlatform) error {
	if same, ok := c.checked[ip.Manifest.Digest]; ok && same.Platform == ip.Platform && same.Manifest == ip.Manifest && same.Config == ip.Config && slices.Equal(same.Layers, ip.Layers) {
		return nil
	}
	var m ocispec.Manifest
	if err := c.b.smallJSON(ip.Manifest, "image "+name, &m); err != nil {
		return err
	}
	agree := sameDescriptor(m.Config, ip.Config) && len(m.Layers) == len(ip.Layers)
	for i := 0; agree && i < len(ip.Layers); i++ {
		agree = sameDescriptor(m.Layers[i], ip.Layers[i])
	}
	if !agree {
		return c.b.malformed(blobName(ip.Manifest.Digest), -1, "the manifest of image "+name+" does not agree with the bundle's config")
	}
	got, ok := c.platforms[ip.Config.Digest]
	if !ok {
		var cfg ocispec.Image
		if err := c.b.smallJSON(ip.Config, "image "+name, &cfg); err != nil {
			return err
		}
		got = PlatformOf(cfg.Platform)
		c.platforms[ip.Config.Digest] = got
	}
	if got != ip.Platform {
		return c.b.malformed(blobName(ip.Config.Digest), -1, fmt.Sprintf("image %s stands for %s, but is made for %.60q", name, ip.Platform, got))
	}
	c.checked[ip.Manifest.Digest] = ip
	return nil
}

// smallBlob reads a blob of limited size and checks it against its descriptor.
func (b *Bundle) smallBlob(d Descriptor, namedBy string) ([]byte, error) {
	if p, ok := b.find(d.Digest); ok {
		return p.in.smallBlob(d, namedBy)
	}
	return nil, &MissingBlobError{Path: b.own.path, Digest: d.Digest, NamedBy: namedBy}
}

func (b *Bundle) smallJSON(d Descriptor, namedBy string, into any) error {
	raw, err := b.smallBlob(d, namedBy)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return b.malformed(blobName(d.Digest), -1, fmt.Sprintf("not valid JSON: %v", err))
	}
	return nil
}
