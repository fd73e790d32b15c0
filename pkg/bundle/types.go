package bundle

import (
	"sort"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/util/version"
)

// FormatVersion is the version of Config and of the tar's form that this package writes and reads.
const FormatVersion = 1

// Media types of the blobs that are ours, and older ones that images of others may have; otherwise images use the OCI ones.
const (
	// ArtifactType marks the root manifest.
	ArtifactType = "application/vnd.kubewright.bundle.v1"
	// MediaTypeConfig is the typed configuration.
	MediaTypeConfig = "application/vnd.kubewright.bundle.config.v1+json"
	// MediaTypeFile is a file for hosts or clusters.
	MediaTypeFile = "application/vnd.kubewright.bundle.file.v1"
	// MediaTypeDockerIndex, MediaTypeDockerManifest and MediaTypeDockerLayer are what OCI's index, manifest and gzip layer were before
	// OCI had its own; registries still hold images of that kind.
	MediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// FileKind says what a File is for.
type FileKind string

// The kinds of files a bundle holds.
const (
	// FileBinary is a program for hosts, e.g. kubelet.
	FileBinary FileKind = "Binary"
	// FileCNIPlugin is a program for a host's CNI plugin directory.
	FileCNIPlugin FileKind = "CNIPlugin"
	// FileManifest is Kubernetes objects as multi-document YAML.
	FileManifest FileKind = "Manifest"
	// FileTool is a program, library or loader that stands by itself in a directory of its own on hosts, independent of what the
	// host's distribution has.
	FileTool FileKind = "Tool"
	// FileHelper is the host helper.
	FileHelper FileKind = "Helper"
)

// Config is what a bundle says about itself. It is the config blob of the root manifest.
type Config struct {
	// FormatVersion is FormatVersion of the writer.
	FormatVersion int `json:"formatVersion"`
	// Name is the name of the definition the bundle was built from.
	Name string `json:"name"`
	// Created is SOURCE_DATE_EPOCH of the build, in UTC; it is not the time of day of the build.
	Created time.Time `json:"created"`
	// Releases are the Kubernetes versions inside, the oldest first.
	Releases []Release `json:"releases"`
}

// Release is everything one Kubernetes version needs.
type Release struct {
	// KubernetesVersion has the form v1.36.3.
	KubernetesVersion string `json:"kubernetesVersion"`
	// Platforms are the platforms the release was made for, e.g. linux/amd64. A platform may lack what could not be built for it.
	Platforms []string `json:"platforms"`
	// Files are ordered by name and platform.
	Files []File `json:"files"`
	// Images are ordered by name.
	Images []Image `json:"images"`
	// Components are the sources the content was made from: the bill of materials.
	Components []Component `json:"components,omitempty"`
}

// File is one file for hosts or clusters.
type File struct {
	// Name is the file's name on a host or, for a manifest, its name in the bundle.
	Name string `json:"name"`
	// Kind says what the file is for.
	Kind FileKind `json:"kind"`
	// Component is the component the file belongs to, e.g. kubernetes or containerd.
	Component string `json:"component"`
	// Version is the component's version.
	Version string `json:"version"`
	// Platform is the platform the file is for; empty means any.
	Platform string `json:"platform,omitempty"`
	// Digest is the sha256 digest of the content.
	Digest digest.Digest `json:"digest"`
	// Size is the content's length in bytes.
	Size int64 `json:"size"`
	// Mode holds the permission bits to give the file.
	Mode uint32 `json:"mode"`
}

// Image is one container image under its original name.
type Image struct {
	// Name is the full original reference, e.g. registry.k8s.io/kube-apiserver:v1.36.3.
	Name string `json:"name"`
	// Component is what the image is for, e.g. kube-apiserver, etcd, pause, flannel.
	Component string `json:"component"`
	// Version is the component's version.
	Version string `json:"version"`
	// Index is the index for all platforms that the image was taken from, byte for byte, so that its digest and the signatures of
	// others stay good. It may name platforms that the bundle does not have. Nil for an image that was not taken from an index.
	Index *Descriptor `json:"index,omitempty"`
	// Platforms are ordered by platform.
	Platforms []ImagePlatform `json:"platforms"`
}

// ImagePlatform is an image for one platform.
type ImagePlatform struct {
	// Platform is e.g. linux/amd64.
	Platform string `json:"platform"`
	// Manifest is the OCI image manifest.
	Manifest Descriptor `json:"manifest"`
	// Config is the OCI image configuration.
	Config Descriptor `json:"config"`
	// Layers are ordered from the base upwards.
	Layers []Descriptor `json:"layers"`
}

// Descriptor names a blob.
type Descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
}

// Component is one source of a release's content.
type Component struct {
	// Name is e.g. kubernetes, containerd, or the name of a Debian package.
	Name string `json:"name"`
	// Version is the source's version.
	Version string `json:"version"`
	// Type is Go for a Go module, Debian for a binary package, Release for a file that its project publishes, Image for an image
	// that was taken from a registry, Own for this project's own code.
	Type string `json:"type"`
	// Source is the Go module path, the original URL of the file, or the name of the image; of a package the architecture, where that is not
	// the one of the release's first platform.
	Source string `json:"source,omitempty"`
	// Checksum is the module's go.sum hash, or sha256:<hex> of the package, the file, or the image's index or manifest.
	Checksum string `json:"checksum,omitempty"`
}

// normalize puts every list into its one order, so that equal content gives equal bytes.
func (c *Config) normalize() {
	sort.Slice(c.Releases, func(i, j int) bool {
		return olderVersion(c.Releases[i].KubernetesVersion, c.Releases[j].KubernetesVersion)
	})
	for i := range c.Releases {
		r := &c.Releases[i]
		sort.Strings(r.Platforms)
		sort.Slice(r.Files, func(i, j int) bool {
			a, b := r.Files[i], r.Files[j]
			if a.Name != b.Name {
				return a.Name < b.Name
			}
			return a.Platform < b.Platform
		})
		sort.Slice(r.Images, func(i, j int) bool { return r.Images[i].Name < r.Images[j].Name })
		for k := range r.Images {
			p := r.Images[k].Platforms
			sort.Slice(p, func(i, j int) bool { return p[i].Platform < p[j].Platform })
		}
		sort.SliceStable(r.Components, func(i, j int) bool {
			a, b := r.Components[i], r.Components[j]
			if a.Type != b.Type {
				return a.Type < b.Type
			}
			if a.Name != b.Name {
				return a.Name < b.Name
			}
			return a.Version < b.Version
		})
	}
}

// olderVersion says whether Kubernetes version a comes before b. What is no version, which validate refuses, goes by its text.
func olderVersion(a, b string) bool {
	va, errA := version.ParseSemantic(a)
	vb, errB := version.ParseSemantic(b)
	if errA != nil || errB != nil || va.EqualTo(vb) {
		return a < b
	}
	return va.LessThan(vb)
}
