package offlinemanifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// storeDir is where fetched bundles lie, each under its digest: OfflineManifests of one digest share a file. A file lies in "incoming"
// until every byte of it was verified.
type storeDir string

func (d storeDir) verified(of digest.Digest) string {
	return filepath.Join(string(d), "sha256-"+of.Encoded()+".bundle")
}

func (d storeDir) incoming(of digest.Digest) string {
	return filepath.Join(string(d), "incoming", "sha256-"+of.Encoded()+".bundle")
}

// isIncoming says whether a file has not been verified in whole yet.
func (d storeDir) isIncoming(path string) bool {
	return d != "" && filepath.Dir(path) == filepath.Join(string(d), "incoming")
}

// holds says whether a path is a file of the store.
func (d storeDir) holds(path string) bool {
	return d != "" && (filepath.Dir(path) == string(d) || d.isIncoming(path))
}

// find returns the identity of a bundle in the store; false when it has to be fetched.
func (d storeDir) find(of digest.Digest) (identity, bool, error) {
	for _, path := range []string{d.verified(of), d.incoming(of)} {
		id, err := identify(path, of)
		if err == nil {
			return id, true, nil
		}
		if r, ok := errors.AsType[*refusal](err); !ok || r.reason != ReasonNotFound {
			return identity{}, false, err
		}
	}
	return identity{}, false, nil
}

// accept puts a file that was verified in whole into its place, and returns what it is known by there.
func (d storeDir) accept(id identity) (identity, error) {
	if !d.isIncoming(id.Path) {
		return id, nil
	}
	place := d.verified(id.Digest)
	if err := os.Rename(id.Path, place); err != nil {
		return identity{}, fmt.Errorf("put a verified bundle into the store: %w", err)
	}
	// Its time of change is that of the renaming now.
	moved, err := identify(place, id.Digest)
	if err != nil {
		return identity{}, fmt.Errorf("put a verified bundle into the store: %w", err)
	}
	moved.Trust = id.Trust
	return moved, nil
}

// files lists all that is in the store for a digest, by name relative to it, and how many bytes that is.
func (d storeDir) files(of digest.Digest) (names []string, bytes int64, err error) {
	incoming := d.incoming(of)
	for _, path := range []string{d.verified(of), incoming, incoming + fetch.PartSuffix, incoming + fetch.MarkSuffix} {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("look into the store: %w", err)
		}
		names = append(names, strings.TrimPrefix(path, string(d)+string(filepath.Separator)))
		bytes += info.Size()
	}
	return names, bytes, nil
}

// remove takes all that is in the store for a digest away.
func (d storeDir) remove(of digest.Digest) error {
	names, _, err := d.files(of)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(string(d), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove from the store: %w", err)
		}
	}
	return nil
}

// isLocal says whether a source is read in place.
func isLocal(spec v1alpha1.OfflineManifestSpec) bool {
	return strings.HasPrefix(spec.Source, "file://")
}
