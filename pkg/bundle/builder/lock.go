package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/pkg/bundle/upstream"
)

// Lock pins what a definition knows by a file of checksums or by a tag only, so that a build takes what was looked at when the lock was
// made, and nothing else.
type Lock struct {
	// Downloads are pinned by URL, which says the platform.
	Downloads []LockedDownload `json:"downloads,omitempty"`
	// Images are pinned by name, with the digest of the index or manifest that the tag stood for.
	Images []LockedImage `json:"images,omitempty"`
}

// LockedDownload is a file that a project publishes.
type LockedDownload struct {
	URL    string        `json:"url"`
	Digest digest.Digest `json:"digest"`
}

// LockedImage is an image in a registry.
type LockedImage struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
}

// LockFile is where the lock of a definition is when nothing else is said: beside it.
func LockFile(definition string) string {
	return strings.TrimSuffix(definition, filepath.Ext(definition)) + ".lock.yaml"
}

// loadLock reads a lock; one that is not there is empty.
func loadLock(file string) (*Lock, error) {
	lock := &Lock{}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return lock, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the lock: %w", err)
	}
	if err := yaml.UnmarshalStrict(raw, lock); err != nil {
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	for i, d := range lock.Downloads {
		if !isSHA256(d.Digest) {
			return nil, &FieldError{File: file, Field: fmt.Sprintf("downloads[%d].digest", i), Reason: fmt.Sprintf("%q is no sha256 digest", d.Digest)}
		}
	}
	for i, image := range lock.Images {
		if !isSHA256(image.Digest) {
			return nil, &FieldError{File: file, Field: fmt.Sprintf("images[%d].digest", i), Reason: fmt.Sprintf("%q is no sha256 digest", image.Digest)}
		}
	}
	return lock, nil
}

// download is the digest that a URL is pinned by, or "".
func (l *Lock) download(url string) digest.Digest {
	if i := slices.IndexFunc(l.Downloads, func(d LockedDownload) bool { return d.URL == url }); i >= 0 {
		return l.Downloads[i].Digest
	}
	return ""
}

// image is the digest that an image is pinned by, or "".
func (l *Lock) image(name string) digest.Digest {
	if i := slices.IndexFunc(l.Images, func(image LockedImage) bool { return image.Name == name }); i >= 0 {
		return l.Images[i].Digest
	}
	return ""
}

// pinnedDownload is the digest that a download must have on a platform, as definition or lock say; "" when neither does.
func (b *build) pinnedDownload(d *Download, platform string) digest.Digest {
	if pinned := d.Digests[platform]; pinned != "" {
		return pinned
	}
	return b.lock.download(d.expand(d.URL, platform))
}

// pinnedImage is the same for an image.
func (b *build) pinnedImage(image *Image) digest.Digest {
	if image.Pull.Digest != "" {
		return image.Pull.Digest
	}
	return b.lock.image(image.Name)
}

// unpinned is the first download or image that can be another one tomorrow; nil when there is none.
func (b *build) unpinned() error {
	refuse := func(field, what string) error {
		return &FieldError{File: b.o.Definition, Field: field, Reason: fmt.Sprintf("%s, so another one could be taken tomorrow: pin what is published now with "+
			"`kubewright bundle lock -f %s`, look at what it wrote, and build again (or take whatever is there, with --locked=false)", what, b.o.Definition)}
	}
	for i := range b.def.Downloads {
		for _, platform := range b.def.Platforms {
			if d := &b.def.Downloads[i]; b.pinnedDownload(d, platform) == "" {
				return refuse(fmt.Sprintf("downloads[%d].digests", i), d.item(platform)+" is known by a file of checksums only")
			}
		}
	}
	for i := range b.def.Images {
		if image := &b.def.Images[i]; image.Pull != nil && b.pinnedImage(image) == "" {
			return refuse(fmt.Sprintf("images[%d].pull.digest", i), image.Name+" is known by its tag only")
		}
	}
	return nil
}

// MakeLock takes all that a definition knows by files of checksums and by tags only, as it is published now, and writes down what it was. A
// build afterwards finds it in the cache. What the definition itself pins is not written. It returns the file.
func MakeLock(ctx context.Context, o Options) (_ string, err error) {
	def, err := LoadDefinition(o.Definition)
	if err != nil {
		return "", err
	}
	if !def.releases() {
		return "", &FieldError{File: o.Definition, Field: "downloads", Reason: "there are none, and no images to pull, so nothing has to be pinned; Debian packages are by `bundle build --update-debian`"}
	}
	b := &build{o: o, def: def, lock: &Lock{}}
	done, err := b.open()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, done()) }()
	targets := b.targets()
	if err := b.takeAll(ctx, targets); err != nil {
		return "", err
	}
	lock := &Lock{}
	for _, t := range targets {
		for i := range def.Downloads {
			if d := &def.Downloads[i]; d.Digests[t.platform] == "" {
				lock.Downloads = append(lock.Downloads, LockedDownload{URL: d.expand(d.URL, t.platform), Digest: t.checksums[d]})
			}
		}
	}
	// Platforms may share a file.
	slices.SortFunc(lock.Downloads, func(a, b LockedDownload) int { return strings.Compare(a.URL, b.URL) })
	lock.Downloads = slices.Compact(lock.Downloads)
	for i := range def.Images {
		if image := &def.Images[i]; image.Pull != nil && image.Pull.Digest == "" {
			lock.Images = append(lock.Images, LockedImage{Name: image.Name, Digest: b.pulled[image.Name].Digest})
		}
	}
	return b.o.LockFile, writeLock(b.o.LockFile, lock)
}

func writeLock(file string, lock *Lock) error {
	var out strings.Builder
	out.WriteString("# What downloads and tags stood for. Written by `kubewright bundle lock`; builds take nothing else.\n")
	if len(lock.Downloads) > 0 {
		out.WriteString("downloads:\n")
	}
	for _, d := range lock.Downloads {
		fmt.Fprintf(&out, "- {url: %q, digest: %q}\n", d.URL, d.Digest)
	}
	if len(lock.Images) > 0 {
		out.WriteString("images:\n")
	}
	for _, image := range lock.Images {
		fmt.Fprintf(&out, "- {name: %q, digest: %q}\n", image.Name, image.Digest)
	}
	return os.WriteFile(file, []byte(out.String()), 0o644)
}

// request is how an image is asked for.
func (b *build) request(image *Image) upstream.ImageRequest {
	return upstream.ImageRequest{Name: image.Name, Digest: b.pinnedImage(image), Platforms: b.def.Platforms}
}
