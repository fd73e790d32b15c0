package layout

import (
	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// Place puts a file of the bundle where it belongs, out of the host's staged blobs.
func Place(f bundle.File) hostapi.Resource {
	path := InstallPath(f)
	return hostapi.Resource{ID: "file" + path, File: &hostapi.File{Path: path, Mode: f.Mode, Blob: f.Digest.String(), Size: f.Size}}
}

// Text is a world-readable file with the given content.
func Text(path string, content []byte) hostapi.Resource {
	return hostapi.Resource{ID: "file" + path, File: &hostapi.File{Path: path, Mode: 0o644, Content: content}}
}

// Secret is a file only root can read, whose content never shows up anywhere else.
func Secret(path string, content []byte) hostapi.Resource {
	return hostapi.Resource{ID: "file" + path, File: &hostapi.File{Path: path, Mode: 0o600, Content: content, Secret: true}}
}
