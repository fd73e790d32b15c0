package provision

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
)

func TestAManifestThatWasAlteredAfterTheBundleWasVerifiedIsNotApplied(t *testing.T) {
	content := []byte("kind: Namespace\napiVersion: v1\nmetadata: {name: kube-flannel}\n")
	path := filepath.Join(t.TempDir(), "small.bundle")
	sum, blob := bundle.BytesBlob(content)
	release := bundle.Release{KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"}, Files: []bundle.File{
		{Name: "flannel.yaml", Kind: bundle.FileManifest, Component: "flannel", Version: "1", Digest: sum, Size: blob.Size, Mode: 0o644},
	}}
	config := &bundle.Config{Name: "small", Created: time.Unix(0, 0), Releases: []bundle.Release{release}}
	if _, err := bundle.Write(t.Context(), path, config, map[digest.Digest]bundle.Blob{sum: blob}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	x := &execution{desired: &desired.Cluster{Release: &release}, request: Request{Bundle: b}}
	if objects, err := x.manifest("flannel.yaml"); err != nil || len(objects) != 1 {
		t.Fatalf("got %v, %v", objects, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte("kube-evil123"), int64(bytes.Index(raw, []byte("kube-flannel"))))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	objects, err := x.manifest("flannel.yaml")
	if _, mismatch := errors.AsType[*bundle.DigestMismatchError](err); !mismatch {
		t.Errorf("got %v, %v", objects, err)
	}
}
