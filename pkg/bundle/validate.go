package bundle

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxNameLength is the most characters namePattern allows.
const maxNameLength = 100

// Patterns for what a config may name. They keep names harmless wherever they end up: paths on hosts, tables, logs.
const (
	versionPattern  = `^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`
	platformPattern = `^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`
	namePattern     = `^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$`
	imagePattern    = `^[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`
)

// validate checks what the types cannot express. It is called by the writer and, on untrusted input, by the reader.
func (c *Config) validate() error {
	v := validator{
		version:  regexp.MustCompile(versionPattern),
		platform: regexp.MustCompile(platformPattern),
		name:     regexp.MustCompile(namePattern),
		image:    regexp.MustCompile(imagePattern),
	}
	if !v.name.MatchString(c.Name) {
		return fmt.Errorf("config: name %.120q is not a plain name", c.Name)
	}
	if len(c.Releases) == 0 {
		return fmt.Errorf("config: no releases")
	}
	seen := map[string]bool{}
	for i := range c.Releases {
		r := &c.Releases[i]
		if seen[r.KubernetesVersion] {
			return fmt.Errorf("config: release %s is listed twice", r.KubernetesVersion)
		}
		seen[r.KubernetesVersion] = true
		if err := v.release(r); err != nil {
			return fmt.Errorf("config: release %.60q: %w", r.KubernetesVersion, err)
		}
	}
	return nil
}

type validator struct{ version, platform, name, image *regexp.Regexp }

func (v validator) release(r *Release) error {
	if !v.version.MatchString(r.KubernetesVersion) {
		return fmt.Errorf("kubernetesVersion has not the form v1.2.3")
	}
	if len(r.Platforms) == 0 {
		return fmt.Errorf("no platforms")
	}
	platforms := map[string]bool{}
	for _, p := range r.Platforms {
		if !v.platform.MatchString(p) || platforms[p] {
			return fmt.Errorf("platform %.60q is wrong or listed twice", p)
		}
		platforms[p] = true
	}
	files := map[string]bool{}
	for _, f := range r.Files {
		if !v.name.MatchString(f.Name) || path.Base(f.Name) != f.Name {
			return fmt.Errorf("file name %.120q is not a plain name", f.Name)
		}
		if f.Platform != "" && !platforms[f.Platform] {
			return fmt.Errorf("file %s: platform %.60q is not among the release's", f.Name, f.Platform)
		}
		switch f.Kind {
		case FileBinary, FileCNIPlugin, FileManifest, FileTool, FileHelper:
		default:
			return fmt.Errorf("file %s: kind %.60q is unknown", f.Name, f.Kind)
		}
		if f.Mode&^0o777 != 0 {
			return fmt.Errorf("file %s: mode %o has more than permission bits", f.Name, f.Mode)
		}
		key := f.Name + " " + f.Platform
		if files[key] || (f.Platform != "" && files[f.Name+" "]) {
			return fmt.Errorf("file %s is listed twice for one platform", f.Name)
		}
		files[key] = true
	}
	images := map[string]bool{}
	for _, img := range r.Images {
		if !v.image.MatchString(img.Name) || strings.Contains(img.Name, "..") {
			return fmt.Errorf("image name %.120q is not a full reference with a tag", img.Name)
		}
		if images[img.Name] {
			return fmt.Errorf("image %s is listed twice", img.Name)
		}
		images[img.Name] = true
		if x := img.Index; x != nil && x.MediaType != ocispec.MediaTypeImageIndex && x.MediaType != MediaTypeDockerIndex {
			return fmt.Errorf("image %s: its index has the media type %.60q", img.Name, x.MediaType)
		}
		if err := imagePlatforms(img, platforms); err != nil {
			return err
		}
	}
	return nil
}

func imagePlatforms(img Image, platforms map[string]bool) error {
	seen := map[string]bool{}
	if len(img.Platforms) == 0 {
		return fmt.Errorf("image %s: no platforms", img.Name)
	}
	for _, ip := range img.Platforms {
		if !platforms[ip.Platform] || seen[ip.Platform] {
			return fmt.Errorf("image %s: platform %.60q is not among the release's or listed twice", img.Name, ip.Platform)
		}
		seen[ip.Platform] = true
		if len(ip.Layers) == 0 {
			return fmt.Errorf("image %s for %s: no layers", img.Name, ip.Platform)
		}
	}
	return nil
}
