package builder

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/fetch"
	"github.com/kubewright/kubewright/pkg/fetch/checksum"
)

// Download is a file that a project publishes, or an archive of which some files are taken. In URLs and paths, {version} stands for
// Version, {number} for Version without its leading v, {os} and {arch} for the platform's.
type Download struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	// URL is where the project publishes it, with https. Mirrors may say that it is to be had elsewhere.
	URL string `json:"url"`
	// Checksum is the URL of a file with its sha256, in one of the forms that package checksum reads.
	Checksum string `json:"checksum,omitempty"`
	// ChecksumKeys is a file with the OpenPGP keys of which one must have clear-signed that file; its signature is not checked when empty.
	ChecksumKeys string `json:"checksumKeys,omitempty"`
	// Digests are its digests by platform, instead of Checksum. They pin it: nothing has to be asked for to know what is meant.
	Digests map[string]digest.Digest `json:"digests,omitempty"`
	// Files are what to take.
	Files []DownloadFile `json:"files"`
}

// DownloadFile is one file of a Download.
type DownloadFile struct {
	Name string          `json:"name"`
	Kind bundle.FileKind `json:"kind"`
	// Path is the file's path in a tar archive that is packed with gzip; empty when the download is the file.
	Path string `json:"path,omitempty"`
}

// Pull takes an image from its registry, byte for byte, instead of putting it together.
type Pull struct {
	// Digest of its index or manifest pins it; without one, what the tag means counts.
	Digest digest.Digest `json:"digest,omitempty"`
}

// expand puts a platform and the version into a URL or path.
func (d *Download) expand(text, platform string) string {
	goos, arch, _ := strings.Cut(platform, "/")
	return strings.NewReplacer("{version}", d.Version, "{number}", strings.TrimPrefix(d.Version, "v"), "{os}", goos, "{arch}", arch).Replace(text)
}

// fault returns the first wrong field and why, or "". names are those of all files so far.
func (d *Download) fault(dir string, platforms []string, names map[string]bool) (field, reason string) {
	if d.Component == "" || d.Version == "" {
		return "component", "component and version are needed"
	}
	if (d.Checksum == "") == (len(d.Digests) == 0) {
		return "checksum", "either checksum or digests is needed: a file is taken only if it is known what it must be"
	}
	if d.ChecksumKeys != "" {
		if d.Checksum == "" {
			return "checksumKeys", "keys are only of use with checksum: digests need no signature"
		}
		if _, err := d.readKeys(dir); err != nil {
			return "checksumKeys", err.Error()
		}
	}
	for _, platform := range platforms {
		if reason := urlFault(d.expand(d.URL, platform)); reason != "" {
			return "url", reason
		}
		if d.Checksum != "" {
			if reason := urlFault(d.expand(d.Checksum, platform)); reason != "" {
				return "checksum", reason
			}
			continue
		}
		if sum := d.Digests[platform]; !isSHA256(sum) {
			return "digests", fmt.Sprintf("for %s there is %q, which is no sha256 digest", platform, sum)
		}
	}
	if len(d.Files) == 0 {
		return "files", "at least one is needed"
	}
	for i, f := range d.Files {
		at := fmt.Sprintf("files[%d].", i)
		if f.Name == "" || strings.ContainsAny(f.Name, "/ ") || names[f.Name] {
			return at + "name", fmt.Sprintf("%q is empty, no file name, or used twice", f.Name)
		}
		names[f.Name] = true
		if !slices.Contains([]bundle.FileKind{bundle.FileBinary, bundle.FileCNIPlugin, bundle.FileTool, bundle.FileHelper}, f.Kind) {
			return at + "kind", fmt.Sprintf("%q is none of Binary, CNIPlugin, Tool and Helper", f.Kind)
		}
		if f.Path == "" && len(d.Files) > 1 {
			return at + "path", "it is missing: only a download that is one file itself has none"
		}
		if f.Path != "" && !plainPath(d.expand(f.Path, platforms[0])) {
			return at + "path", fmt.Sprintf("%q is not a plain relative path", f.Path)
		}
	}
	return "", ""
}

// readKeys reads the keys that its checksums are signed with, out of a file beside the definition.
func (d *Download) readKeys(dir string) (*checksum.Keys, error) {
	file := filepath.Join(dir, d.ChecksumKeys)
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := checksum.ParseKeys(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// urlFault says what is wrong with a URL to fetch from.
func urlFault(text string) string {
	if strings.ContainsAny(text, "{}") {
		return fmt.Sprintf("%q has braces around what is none of version, number, os and arch", text)
	}
	u, err := fetch.ParseSource(text)
	if err != nil {
		return err.Error()
	}
	if u.Scheme != "https" {
		return fmt.Sprintf("%q is no https:// URL", text)
	}
	return ""
}

func isSHA256(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.SHA256 }

// pullFault returns what is wrong with an image to pull, or "".
func (img *Image) pullFault() (field, reason string) {
	if _, err := name.NewTag(img.Name, name.StrictValidation); err != nil {
		return "name", fmt.Sprintf("%q is not a full reference with registry and tag: %v", img.Name, err)
	}
	own := img.Base != "" || !img.Layer.empty() || len(img.Entrypoint)+len(img.Cmd)+len(img.Env) > 0 || img.User != "" || img.WorkingDir != ""
	if own {
		return "pull", "an image that is pulled is taken as it is: it has no base, layer, entrypoint, cmd, env, user and workingDir here"
	}
	if img.Pull.Digest != "" && !isSHA256(img.Pull.Digest) {
		return "pull.digest", fmt.Sprintf("%q is no sha256 digest", img.Pull.Digest)
	}
	return "", ""
}

func (l *Layer) empty() bool {
	return len(l.Programs)+len(l.Debian)+len(l.Links)+len(l.Texts)+len(l.Directories) == 0
}

// item is how a download is called in progress and errors.
func (d *Download) item(platform string) string { return path.Base(d.expand(d.URL, platform)) }
