package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"

	"github.com/opencontainers/go-digest"
)

// Close closes the files. Readers handed out by Blob fail afterwards.
func (b *Bundle) Close() error {
	var errs []error
	for _, a := range b.files {
		if a.closer != nil {
			errs = append(errs, a.closer.Close())
		}
	}
	return errors.Join(errs...)
}

// Path is the file name given to Open; of a set, that of the delta.
func (b *Bundle) Path() string { return b.own.path }

// Size is the length in bytes of the file at Path.
func (b *Bundle) Size() int64 { return b.own.size }

// Files are the names of all files content may come from: Path, then the bases in the order they were given.
func (b *Bundle) Files() []string {
	out := make([]string, len(b.files))
	for i, a := range b.files {
		out[i] = a.path
	}
	return out
}

// Stat describes the open files, in the order of Files. They are the ones content is read from, whatever has their names by now.
func (b *Bundle) Stat() ([]fs.FileInfo, error) {
	out := make([]fs.FileInfo, len(b.files))
	for i, a := range b.files {
		f, ok := a.closer.(*os.File)
		if !ok {
			return nil, fmt.Errorf("bundle %s is not read from a file", a.path)
		}
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("look at bundle %s: %w", a.path, err)
		}
		out[i] = info
	}
	return out, nil
}

// Base is the bundle a delta was made against; nil when the file at Path is complete by itself.
func (b *Bundle) Base() *Base { return b.base }

// Digest is the digest of the root manifest: the one digest that has to be trusted.
func (b *Bundle) Digest() digest.Digest { return b.plan.rootDigest }

// Config is what the bundle says about itself. Callers must not change it.
func (b *Bundle) Config() *Config { return b.config }

// Release returns the release of a Kubernetes version such as v1.36.3, or a VersionNotFoundError.
func (b *Bundle) Release(version string) (*Release, error) {
	have := make([]string, 0, len(b.config.Releases))
	for i := range b.config.Releases {
		r := &b.config.Releases[i]
		if r.KubernetesVersion == version {
			return r, nil
		}
		have = append(have, r.KubernetesVersion)
	}
	return nil, &VersionNotFoundError{Version: version, Available: have}
}

// Blob returns a reader of a blob's bytes at their place in the file. The content is not hashed: whoever uses it must. It is for those
// that pass it on to one who hashes it (.golangci.yml names them); all others take ReadBlob.
// A blob that is not there is a MissingBlobError.
func (b *Bundle) Blob(d digest.Digest) (*io.SectionReader, error) {
	p, err := b.place(d)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(p.in.file, p.offset, p.size), nil
}

// ReadBlob returns the content of a blob of at most so many bytes, hashed. Errors: MissingBlobError,
// DigestMismatchError, and one for a blob that is larger.
func (b *Bundle) ReadBlob(d digest.Digest, most int64) ([]byte, error) {
	p, err := b.place(d)
	if err != nil {
		return nil, err
	}
	if p.size > most {
		return nil, fmt.Errorf("bundle %s, entry %s: it has %d bytes, at most %d are read", b.own.path, blobName(d), p.size, most)
	}
	content := make([]byte, p.size)
	if err := p.in.readAt(content, p.offset, blobName(d)); err != nil {
		return nil, err
	}
	if got := digest.FromBytes(content); got != d {
		return nil, &DigestMismatchError{Path: b.own.path, Entry: blobName(d), NamedBy: b.plan.blobs[d].namedBy, Want: d, Got: got}
	}
	return content, nil
}

// BlobSize is the length of a blob in bytes, or a MissingBlobError.
func (b *Bundle) BlobSize(d digest.Digest) (int64, error) {
	p, err := b.place(d)
	return p.size, err
}

func (b *Bundle) place(d digest.Digest) (place, error) {
	if err := validDigest(d); err != nil {
		return place{}, err
	}
	if d == b.plan.rootDigest || d == b.plan.configDigest {
		return place{b.own, b.own.entries[blobName(d)]}, nil
	}
	p, ok := b.blobs[d]
	if !ok {
		p, ok = b.attached[d]
	}
	if !ok {
		return place{}, &MissingBlobError{Path: b.own.path, Digest: d}
	}
	return p, nil
}

// File returns a file by name for a platform such as linux/amd64; a file for any platform fits every one. Errors:
// NotFoundError, PlatformNotFoundError.
func (r *Release) File(name, platform string) (*File, error) {
	var names, platforms []string
	for i := range r.Files {
		f := &r.Files[i]
		if len(names) == 0 || names[len(names)-1] != f.Name {
			names = append(names, f.Name)
		}
		if f.Name != name {
			continue
		}
		if f.Platform == "" || f.Platform == platform {
			return f, nil
		}
		platforms = append(platforms, f.Platform)
	}
	if len(platforms) > 0 {
		return nil, &PlatformNotFoundError{What: "file " + name, Platform: platform, Available: platforms}
	}
	return nil, &NotFoundError{What: "file " + name + " for Kubernetes " + r.KubernetesVersion, Available: names}
}

// FilesOf returns the files of a kind for a platform, ordered by name, or a PlatformNotFoundError when the release does
// not have the platform at all.
func (r *Release) FilesOf(kind FileKind, platform string) ([]*File, error) {
	if err := r.HasPlatform(platform); err != nil {
		return nil, err
	}
	var out []*File
	for i := range r.Files {
		if f := &r.Files[i]; f.Kind == kind && (f.Platform == "" || f.Platform == platform) {
			out = append(out, f)
		}
	}
	return out, nil
}

// ImagesFor returns the images for a platform, ordered by name, or a PlatformNotFoundError.
func (r *Release) ImagesFor(platform string) ([]*Image, error) {
	if err := r.HasPlatform(platform); err != nil {
		return nil, err
	}
	var out []*Image
	for i := range r.Images {
		if _, err := r.Images[i].For(platform); err == nil {
			out = append(out, &r.Images[i])
		}
	}
	return out, nil
}

// Image returns the image of a component such as kube-apiserver, or a NotFoundError.
func (r *Release) Image(component string) (*Image, error) {
	var have []string
	for i := range r.Images {
		if r.Images[i].Component == component {
			return &r.Images[i], nil
		}
		have = append(have, r.Images[i].Component)
	}
	sort.Strings(have)
	return nil, &NotFoundError{What: "an image of " + component + " for Kubernetes " + r.KubernetesVersion, Available: have}
}

// HasPlatform returns a PlatformNotFoundError when the release is not made for a platform.
func (r *Release) HasPlatform(platform string) error {
	for _, p := range r.Platforms {
		if p == platform {
			return nil
		}
	}
	return &PlatformNotFoundError{What: "Kubernetes " + r.KubernetesVersion, Platform: platform, Available: r.Platforms}
}

// Lacks names the files and images that other platforms of the release have and this one has not, such as "file runc"; sorted. A host of
// the platform cannot do what needs them.
func (r *Release) Lacks(platform string) []string {
	has := map[string]bool{}
	note := func(what, p string) { has[what] = has[what] || p == "" || p == platform }
	for i := range r.Files {
		note("file "+r.Files[i].Name, r.Files[i].Platform)
	}
	for i := range r.Images {
		for k := range r.Images[i].Platforms {
			note("image "+r.Images[i].Name, r.Images[i].Platforms[k].Platform)
		}
	}
	var out []string
	for what, ok := range has {
		if !ok {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return out
}

// For returns the image for a platform, or a PlatformNotFoundError.
func (i *Image) For(platform string) (*ImagePlatform, error) {
	var have []string
	for k := range i.Platforms {
		if i.Platforms[k].Platform == platform {
			return &i.Platforms[k], nil
		}
		have = append(have, i.Platforms[k].Platform)
	}
	return nil, &PlatformNotFoundError{What: "image " + i.Name, Platform: platform, Available: have}
}

// Size is the number of bytes the image's blobs have for this platform.
func (p *ImagePlatform) Size() int64 {
	n := p.Manifest.Size + p.Config.Size
	for _, l := range p.Layers {
		n += l.Size
	}
	return n
}
