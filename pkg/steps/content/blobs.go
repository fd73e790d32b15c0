// Package content says which blobs of the bundle a host must hold before anything on it is changed.
package content

import (
	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Blobs lists the content of files and images for one host. Several of them may share a blob; it is listed once.
func Blobs(files []bundle.File, images []layout.Image) []hostapi.Resource {
	var order []string
	byDigest := map[string]*hostapi.Blob{}
	add := func(digest string, size int64, alt string) {
		blob, ok := byDigest[digest]
		if !ok {
			blob = &hostapi.Blob{Digest: digest, Size: size}
			byDigest[digest] = blob
			order = append(order, digest)
		}
		if alt != "" {
			blob.AltFiles = append(blob.AltFiles, alt)
		}
	}
	for _, f := range files {
		add(f.Digest.String(), f.Size, layout.InstallPath(f))
	}
	for _, image := range images {
		for _, d := range append([]bundle.Descriptor{image.Manifest, image.Config}, image.Layers...) {
			add(d.Digest.String(), d.Size, "")
		}
	}
	resources := make([]hostapi.Resource, 0, len(order))
	for _, digest := range order {
		resources = append(resources, hostapi.Resource{ID: "blob/" + digest[len("sha256:"):][:12], Blob: byDigest[digest]})
	}
	return resources
}
