package offlinemanifest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/bundle"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeBundle writes a sound bundle of a version, with some files in it, and returns its digest.
func writeBundle(t *testing.T, path, version string, files ...[]byte) digest.Digest {
	t.Helper()
	config := &bundle.Config{Name: "test", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{{KubernetesVersion: version, Platforms: []string{"linux/amd64"}}}}
	blobs := map[digest.Digest]bundle.Blob{}
	for i, content := range files {
		d, blob := bundle.BytesBlob(content)
		blobs[d] = blob
		config.Releases[0].Files = append(config.Releases[0].Files, bundle.File{
			Name: "kubelet" + string(rune('a'+i)), Kind: bundle.FileBinary, Component: "kubernetes", Version: version,
			Platform: "linux/amd64", Digest: d, Size: blob.Size, Mode: 0o755,
		})
	}
	root, err := bundle.Write(t.Context(), path, config, blobs)
	check(t, err)
	return root
}

// incoming puts a bundle into a store as a fetch leaves it, and returns what it is known by.
func incoming(t *testing.T, dir storeDir, version string, files ...[]byte) identity {
	t.Helper()
	check(t, os.MkdirAll(filepath.Join(string(dir), "incoming"), 0o700))
	path := filepath.Join(t.TempDir(), "k.bundle")
	root := writeBundle(t, path, version, files...)
	check(t, os.Rename(path, dir.incoming(root)))
	id, err := identify(dir.incoming(root), root)
	check(t, err)
	return id
}

// verifierIn returns a verifier over a store in a directory, with the store of what it has opened. It ends with the test.
func verifierIn(t *testing.T, dir storeDir, now func() time.Time) (*verifier, *Store) {
	t.Helper()
	store := NewStore(filepath.Join(string(dir), "verified"))
	v := newVerifier(store, dir, wake.New(), now, func(failures int32) time.Duration { return time.Duration(failures) * time.Minute })
	t.Cleanup(func() {
		v.end()
		v.wg.Wait()
		store.Close()
	})
	return v, store
}
