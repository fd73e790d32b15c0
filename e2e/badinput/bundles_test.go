//go:build e2e

package badinput

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// openBundle opens the real bundle.
func (w *world) openBundle(t *testing.T) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(w.bundle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// copyBundle copies the first bytes of the bundle; 0 means all.
func (w *world) copyBundle(t *testing.T, bytes int64) string {
	t.Helper()
	from, err := os.Open(w.bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	path := filepath.Join(t.TempDir(), "copy.bundle")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var source io.Reader = from
	if bytes > 0 {
		source = io.LimitReader(from, bytes)
	}
	_, err = io.Copy(to, source)
	if closing := to.Close(); err == nil {
		err = closing
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// flip turns one bit round in the middle of the bundle's kubelet, which nothing reads before hosts are prepared.
func (w *world) flip(t *testing.T, path string) (entry, namedBy string) {
	t.Helper()
	b := w.openBundle(t)
	release, err := b.Release(version)
	if err != nil {
		t.Fatal(err)
	}
	kubelet, err := release.File("kubelet", release.Platforms[0])
	if err != nil {
		t.Fatal(err)
	}
	blob, err := b.Blob(kubelet.Digest)
	if err != nil {
		t.Fatal(err)
	}
	_, start, size := blob.Outer()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	one := make([]byte, 1)
	if _, err := file.ReadAt(one, start+size/2); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 1
	if _, err := file.WriteAt(one, start+size/2); err != nil {
		t.Fatal(err)
	}
	return "blobs/sha256/" + kubelet.Digest.Encoded(), "file kubelet of " + version + " for " + kubelet.Platform
}

// excerpt takes parts of the real bundle's release for the first of its platforms, to write bundles that lack the rest.
type excerpt struct {
	from     *bundle.Bundle
	release  *bundle.Release
	platform string
	blobs    map[digest.Digest]bundle.Blob
}

func (w *world) excerpt(t *testing.T) *excerpt {
	t.Helper()
	real := w.openBundle(t)
	release, err := real.Release(version)
	if err != nil {
		t.Fatal(err)
	}
	return &excerpt{from: real, release: release, platform: release.Platforms[0], blobs: map[digest.Digest]bundle.Blob{}}
}

func (e *excerpt) take(t *testing.T, d digest.Digest) {
	t.Helper()
	content, err := e.from.Blob(d)
	if err != nil {
		t.Fatal(err)
	}
	e.blobs[d] = bundle.Blob{Size: content.Size(), Copy: func(to io.Writer) error {
		_, err := io.Copy(to, io.NewSectionReader(content, 0, content.Size()))
		return err
	}}
}

func (e *excerpt) file(t *testing.T, name string) bundle.File {
	t.Helper()
	f, err := e.release.File(name, e.platform)
	if err != nil {
		t.Fatal(err)
	}
	e.take(t, f.Digest)
	return *f
}

// images are those of the programs that run on this machine, made to say that they are for a platform.
func (e *excerpt) images(t *testing.T, platform string) []bundle.Image {
	t.Helper()
	var out []bundle.Image
	for _, component := range []string{"etcd", "kube-apiserver"} {
		image, err := e.release.Image(component)
		if err != nil {
			t.Fatal(err)
		}
		own := *image
		own.Index, own.Platforms = nil, []bundle.ImagePlatform{image.Platforms[0]}
		ip := &own.Platforms[0]
		for _, d := range append([]bundle.Descriptor{ip.Manifest, ip.Config}, ip.Layers...) {
			e.take(t, d.Digest)
		}
		if ip.Platform != platform {
			relabel(t, ip, platform, e.blobs)
		}
		out = append(out, own)
	}
	return out
}

func (e *excerpt) write(t *testing.T, name string, releases ...bundle.Release) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".bundle")
	config := &bundle.Config{Name: name, Created: time.Unix(0, 0), Releases: releases}
	if _, err := bundle.Write(t.Context(), path, config, e.blobs); err != nil {
		t.Fatal(err)
	}
	return path
}

// foreignBundle writes a bundle whose release of the tested version is for a platform that is nobody's here. With local, another
// release holds the programs that run on this machine, as a bundle for several platforms would.
func (w *world) foreignBundle(t *testing.T, local bool) string {
	t.Helper()
	e := w.excerpt(t)
	helper, err := e.release.File("kubewright-host", e.platform)
	if err != nil {
		t.Fatal(err)
	}
	// Only its platform and its name matter: nothing may run it, nor place it on a host.
	content, blob := bundle.BytesBlob([]byte("\x7fELF for another machine"))
	foreignHelper := *helper
	foreignHelper.Platform, foreignHelper.Digest, foreignHelper.Size = "linux/riscv64", content, blob.Size
	e.blobs[content] = blob
	releases := []bundle.Release{{
		KubernetesVersion: version, Platforms: []string{"linux/riscv64"}, Files: []bundle.File{foreignHelper}, Images: e.images(t, "linux/riscv64"),
	}}
	if local {
		releases = append(releases, bundle.Release{KubernetesVersion: "v1.36.99", Platforms: []string{e.platform}, Images: e.images(t, e.platform)})
	}
	return e.write(t, "foreign", releases...)
}

// poorBundle writes a bundle with all that planning takes, and nothing of what hosts need beside the API server's and etcd's images.
func (w *world) poorBundle(t *testing.T) string {
	t.Helper()
	e := w.excerpt(t)
	return e.write(t, "poor", bundle.Release{
		KubernetesVersion: version, Platforms: []string{e.platform}, Images: e.images(t, e.platform),
		Files: []bundle.File{e.file(t, "kubewright-host"), e.file(t, "flannel.yaml"), e.file(t, "metrics-server.yaml")},
	})
}

// relabel makes an image say that it is for another platform; a bundle with one that says something else is refused.
func relabel(t *testing.T, ip *bundle.ImagePlatform, platform string, blobs map[digest.Digest]bundle.Blob) {
	t.Helper()
	change := func(d *bundle.Descriptor, from, to string) {
		var content bytes.Buffer
		if err := blobs[d.Digest].Copy(&content); err != nil {
			t.Fatal(err)
		}
		changed := bytes.Replace(content.Bytes(), []byte(from), []byte(to), 1)
		if bytes.Equal(changed, content.Bytes()) {
			t.Fatalf("%s has no %s", d.Digest, from)
		}
		sum, blob := bundle.BytesBlob(changed)
		blobs[sum] = blob
		d.Digest, d.Size = sum, blob.Size
	}
	config := ip.Config
	_, from, _ := strings.Cut(ip.Platform, "/")
	_, to, _ := strings.Cut(platform, "/")
	change(&ip.Config, `"architecture":"`+from+`"`, `"architecture":"`+to+`"`)
	name := func(d bundle.Descriptor) string { return fmt.Sprintf(`%s","size":%d`, d.Digest, d.Size) }
	change(&ip.Manifest, name(config), name(ip.Config))
	ip.Platform = platform
}
