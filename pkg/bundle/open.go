package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits on what a file may make Open hold in memory.
const (
	maxEntries  = 1 << 16
	maxJSONSize = 8 << 20
)

// Bundle is an open bundle file. Its methods may be called from several goroutines.
type Bundle struct {
	path    string
	file    io.ReaderAt
	closer  io.Closer
	size    int64
	config  *Config
	plan    *plan
	entries map[string]entry
	order   []string
}

// entry is where a tar entry's content lies.
type entry struct{ offset, size int64 }

// Open reads the headers and the small JSON blobs of a bundle and checks everything that can be checked without reading
// all content: the form of the tar, that root manifest, config, image manifests and index agree, and that every blob
// they name is there with the right size and no other. What it returns can be trusted as far as Digest can; content is
// hashed by Verify or by whoever copies it. Errors: TruncatedError, MalformedError, MissingBlobError, SizeMismatchError,
// DigestMismatchError, UnsupportedFormatError, or the operating system's.
func Open(path string) (*Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("open bundle %s: it is not a regular file", path)
	}
	var b *Bundle
	if err == nil {
		b, err = read(path, f, st.Size())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b.closer = f
	return b, nil
}

// read does the work of Open on any random-access content.
func read(path string, r io.ReaderAt, size int64) (*Bundle, error) {
	b := &Bundle{path: path, file: r, size: size, entries: map[string]entry{}}
	if err := b.scan(); err != nil {
		return nil, err
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	return b, nil
}

// scan walks the tar headers and fills entries and order.
func (b *Bundle) scan() error {
	var (
		pos  int64
		last string
		buf  [2 * blockSize]byte // padding of the entry before and the next header
		pad  int64
		zero [2 * blockSize]byte
	)
	for {
		chunk := buf[:pad+blockSize]
		if err := b.readAt(chunk, pos, last); err != nil {
			return err
		}
		if !bytes.Equal(chunk[:pad], zero[:pad]) {
			return b.malformed(last, pos, "padding is not zero")
		}
		pos += pad + blockSize
		header := (*[blockSize]byte)(chunk[pad:])
		if *header == [blockSize]byte(zero[:blockSize]) {
			break
		}
		name, size, err := decodeHeader(header)
		if err == nil {
			err = checkName(name)
		}
		switch {
		case err != nil:
			return b.malformed(fmt.Sprintf("%.120q", name), pos-blockSize, err.Error())
		case name == last:
			return b.malformed(name, pos-blockSize, "the entry occurs twice")
		case name < last:
			return b.malformed(name, pos-blockSize, "entries are out of order, this one is listed twice or late")
		case len(b.order) == maxEntries:
			return b.malformed(name, pos-blockSize, "there are too many entries")
		case size > b.size-pos:
			return &TruncatedError{Path: b.path, Entry: name, Size: b.size, Need: pos + size}
		}
		b.entries[name] = entry{offset: pos, size: size}
		b.order = append(b.order, name)
		pos, pad, last = pos+size, padding(size), name
	}
	end := buf[:blockSize]
	if err := b.readAt(end, pos, ""); err != nil {
		return err
	}
	if !bytes.Equal(end, zero[:blockSize]) {
		return b.malformed("", pos, "the end-of-archive mark is incomplete")
	}
	if pos+blockSize != b.size {
		return b.malformed("", pos+blockSize, "there is something after the end of the archive")
	}
	return nil
}

func (b *Bundle) readAt(p []byte, off int64, name string) error {
	if off+int64(len(p)) > b.size {
		return &TruncatedError{Path: b.path, Entry: name, Size: b.size, Need: off + int64(len(p))}
	}
	if n, err := b.file.ReadAt(p, off); err != nil && (n != len(p) || !errors.Is(err, io.EOF)) {
		return fmt.Errorf("read bundle %s at byte %d: %w", b.path, off, err)
	}
	return nil
}

func (b *Bundle) malformed(name string, off int64, reason string) error {
	return &MalformedError{Path: b.path, Entry: name, Offset: off, Reason: reason}
}

// load reads the JSON entries and checks them against each other and against the entries of the tar.
func (b *Bundle) load() error {
	layout, err := b.small(layoutName)
	if err != nil {
		return err
	}
	if string(layout) != layoutFile {
		return b.malformed(layoutName, -1, "it is not the layout this program knows")
	}
	index, err := b.small(indexName)
	if err != nil {
		return err
	}
	root, err := b.rootOf(index)
	if err != nil {
		return err
	}
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
	if !bytes.Equal(b.plan.index, index) {
		return b.malformed(indexName, -1, "the index does not agree with the root manifest")
	}
	if err := b.checkBlobs(); err != nil {
		return err
	}
	return b.checkImages()
}

// rootOf takes the root's descriptor out of the untrusted index.
func (b *Bundle) rootOf(index []byte) (Descriptor, error) {
	var idx ocispec.Index
	if err := json.Unmarshal(index, &idx); err != nil {
		return Descriptor{}, b.malformed(indexName, -1, fmt.Sprintf("not valid JSON: %v", err))
	}
	if len(idx.Manifests) == 0 {
		return Descriptor{}, b.malformed(indexName, -1, "it names no root manifest")
	}
	d := idx.Manifests[0]
	if err := validDigest(d.Digest); err != nil {
		return Descriptor{}, b.malformed(indexName, -1, err.Error())
	}
	return Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
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
		return &UnsupportedFormatError{Path: b.path, Got: version.FormatVersion, Want: FormatVersion}
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

// checkBlobs compares what is named with what is there, in both directions.
func (b *Bundle) checkBlobs() error {
	known := map[string]bool{
		layoutName: true, indexName: true, blobName(b.plan.rootDigest): true, blobName(b.plan.configDigest): true,
	}
	digests := make([]digest.Digest, 0, len(b.plan.blobs))
	for d := range b.plan.blobs {
		digests = append(digests, d)
	}
	slices.Sort(digests)
	for _, d := range digests {
		n := b.plan.blobs[d]
		e, ok := b.entries[blobName(d)]
		if !ok {
			return &MissingBlobError{Path: b.path, Digest: d, NamedBy: n.namedBy}
		}
		if e.size != n.size {
			return &SizeMismatchError{Path: b.path, Entry: blobName(d), NamedBy: n.namedBy, Want: n.size, Got: e.size}
		}
		known[blobName(d)] = true
	}
	for _, name := range b.order {
		if !known[name] {
			return b.malformed(name, b.entries[name].offset, "nothing in the bundle names this blob")
		}
	}
	return nil
}

// checkImages compares the image manifests with what the config says about them.
func (b *Bundle) checkImages() error {
	for _, r := range b.config.Releases {
		for _, img := range r.Images {
			for _, ip := range img.Platforms {
				if err := b.checkImage(img.Name, ip); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (b *Bundle) checkImage(name string, ip ImagePlatform) error {
	var m ocispec.Manifest
	if err := b.smallJSON(ip.Manifest, "image "+name, &m); err != nil {
		return err
	}
	same := func(a ocispec.Descriptor, d Descriptor) bool {
		return a.MediaType == d.MediaType && a.Digest == d.Digest && a.Size == d.Size
	}
	agree := same(m.Config, ip.Config) && len(m.Layers) == len(ip.Layers)
	for i := 0; agree && i < len(ip.Layers); i++ {
		agree = same(m.Layers[i], ip.Layers[i])
	}
	if !agree {
		return b.malformed(blobName(ip.Manifest.Digest), -1, "the manifest of image "+name+" does not agree with the bundle's config")
	}
	return nil
}

// small reads a whole entry of limited size.
func (b *Bundle) small(name string) ([]byte, error) {
	e, ok := b.entries[name]
	if !ok {
		return nil, b.malformed(name, -1, "the entry is missing")
	}
	if e.size > maxJSONSize {
		return nil, b.malformed(name, e.offset, fmt.Sprintf("%d bytes are too many for it", e.size))
	}
	buf := make([]byte, e.size)
	if err := b.readAt(buf, e.offset, name); err != nil {
		return nil, err
	}
	return buf, nil
}

// smallBlob reads a blob of limited size and checks it against its descriptor.
func (b *Bundle) smallBlob(d Descriptor, namedBy string) ([]byte, error) {
	name := blobName(d.Digest)
	e, ok := b.entries[name]
	if !ok {
		return nil, &MissingBlobError{Path: b.path, Digest: d.Digest, NamedBy: namedBy}
	}
	if e.size != d.Size {
		return nil, &SizeMismatchError{Path: b.path, Entry: name, NamedBy: namedBy, Want: d.Size, Got: e.size}
	}
	raw, err := b.small(name)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(raw); got != d.Digest {
		return nil, &DigestMismatchError{Path: b.path, Entry: name, Want: d.Digest, Got: got}
	}
	return raw, nil
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
