package offlinemanifest

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// refusal is why a bundle cannot be used, with the reason for its conditions.
type refusal struct{ reason, message string }

func (r *refusal) Error() string { return r.message }

// locate finds the file of a source below one of the roots. Links are resolved first, so that none leads out of a root. The error is
// a *refusal, unless the file system failed.
func locate(spec v1alpha1.OfflineManifestSpec, roots []string) (identity, error) {
	d, err := digestOf(spec)
	if err != nil {
		return identity{}, err
	}
	path, err := pathOf(spec.Source)
	if err != nil {
		return identity{}, err
	}
	if !below(path, roots) {
		return identity{}, &refusal{ReasonSourceNotAllowed, fmt.Sprintf("%s is not below a directory that bundles may be taken from (%s)", path, list(roots))}
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, &refusal{ReasonNotFound, fmt.Sprintf("there is no file %s: put the bundle there, or correct spec.source", path)}
	}
	if err != nil {
		return identity{}, fmt.Errorf("find %s: %w", path, err)
	}
	if !below(real, resolved(roots)) {
		return identity{}, &refusal{ReasonSourceNotAllowed, fmt.Sprintf("%s is a link to %s, which is not below a directory that bundles may be taken from (%s)", path, real, list(roots))}
	}
	return identify(real, d)
}

// identify describes the file at a path.
func identify(path string, d digest.Digest) (identity, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, &refusal{ReasonNotFound, fmt.Sprintf("there is no file %s: put the bundle there, or correct spec.source", path)}
	}
	if err != nil {
		return identity{}, fmt.Errorf("look at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return identity{}, &refusal{ReasonNotFound, fmt.Sprintf("%s is not a regular file: correct spec.source", path)}
	}
	id := identity{Path: path, Digest: d, Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		id.Device, id.Inode = uint64(stat.Dev), stat.Ino //nolint:unconvert // the field's type differs between systems
		id.Changed = time.Unix(stat.Ctim.Unix()).UnixNano()
	}
	return id, nil
}

// digestOf reads the trusted digest. The error is a *refusal.
func digestOf(spec v1alpha1.OfflineManifestSpec) (digest.Digest, error) {
	d, err := digest.Parse(spec.Digest)
	if err != nil || d.Algorithm() != digest.SHA256 {
		return "", &refusal{ReasonInvalidDigest, fmt.Sprintf("spec.digest %.100q is not of the form sha256:<64 hex digits>", spec.Digest)}
	}
	return d, nil
}

// pathOf takes the path out of a file:// URL and accepts nothing else in it.
func pathOf(source string) (string, error) {
	refuse := func(why string) (string, error) {
		return "", &refusal{ReasonSourceNotAllowed, fmt.Sprintf("spec.source %q: %s; give file:// and an absolute path", source, why)}
	}
	u, err := url.Parse(source)
	switch {
	case err != nil:
		return refuse("it is not a URL")
	case u.Scheme != "file":
		return refuse("only file:// is supported")
	case u.Host != "" && u.Host != "localhost", u.User != nil:
		return refuse("it names another machine")
	case u.RawQuery != "", u.Fragment != "", u.ForceQuery:
		return refuse("it has a query or a fragment")
	case !filepath.IsAbs(u.Path), strings.ContainsRune(u.Path, 0):
		return refuse("its path is not absolute")
	}
	return filepath.Clean(u.Path), nil
}

// below says whether a clean path is inside one of the roots.
func below(path string, roots []string) bool {
	for _, root := range roots {
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) && rel != "." {
			return true
		}
	}
	return false
}

// resolved follows links of the roots themselves; one that does not exist allows nothing.
func resolved(roots []string) []string {
	out := make([]string, 0, len(roots))
	for _, root := range roots {
		if real, err := filepath.EvalSymlinks(root); err == nil {
			out = append(out, real)
		}
	}
	return out
}

func list(roots []string) string {
	if len(roots) == 0 {
		return "none is allowed"
	}
	return strings.Join(roots, ", ")
}
