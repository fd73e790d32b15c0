package offlinemanifest

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

func TestHelpersOfSeveralBundlesAreListedOnceEach(t *testing.T) {
	s := NewStore("")
	t.Cleanup(s.Close)
	older, newer := []byte("the older helper"), []byte("the newer helper")
	for name, helpers := range map[string][][]byte{"present": {newer, older}, "former": {older}, "other": {[]byte("another cluster's")}} {
		config := &bundle.Config{Name: "test", Created: time.Unix(1700000000, 0)}
		blobs := map[digest.Digest]bundle.Blob{}
		add := func(f bundle.File, content []byte) {
			d, blob := bundle.BytesBlob(content)
			blobs[d] = blob
			f.Version, f.Platform, f.Digest, f.Size, f.Mode = "1", "linux/amd64", d, blob.Size, 0o755
			r := &config.Releases[len(config.Releases)-1]
			r.Files = append(r.Files, f)
		}
		for i, helper := range helpers {
			config.Releases = append(config.Releases, bundle.Release{KubernetesVersion: "v1.36." + string(rune('1'+i)), Platforms: []string{"linux/amd64"}})
			add(bundle.File{Name: "kubewright-host", Kind: bundle.FileHelper, Component: "kubewright"}, helper)
			add(bundle.File{Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes"}, []byte("the program kubelet"))
		}
		path := filepath.Join(t.TempDir(), "k.bundle")
		_, err := bundle.Write(t.Context(), path, config, blobs)
		check(t, err)
		b, err := bundle.Open(path)
		check(t, err)
		s.put(name, identity{Path: path}, b, record{})
	}
	var got []digest.Digest
	for _, f := range s.Helpers("present", "closed", "former") {
		got = append(got, f.Digest)
	}
	if want := []digest.Digest{digest.FromBytes(newer), digest.FromBytes(older)}; !slices.Equal(got, want) {
		t.Errorf("the helpers are %v, want %v", got, want)
	}
}
