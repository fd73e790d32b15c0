package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	orasoci "oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"
)

func TestWritingTwiceGivesTheSameBytesWhateverTheOrder(t *testing.T) {
	first, d1 := writeFixture(t)
	cfg, blobs := fixture(t)
	slices.Reverse(cfg.Releases[0].Files)
	slices.Reverse(cfg.Releases[0].Images)
	second := filepath.Join(t.TempDir(), "second.bundle")
	d2, err := Write(context.Background(), second, cfg, blobs)
	if err != nil {
		t.Fatal(err)
	}
	if d1 != d2 {
		t.Errorf("digests differ: %s and %s", d1, d2)
	}
	if !bytes.Equal(readFile(t, first), readFile(t, second)) {
		t.Error("bytes differ")
	}
}

func TestABundleSaysWhatIsInside(t *testing.T) {
	path, d := writeFixture(t)
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if b.Digest() != d {
		t.Errorf("digest is %s, Write said %s", b.Digest(), d)
	}
	r, err := b.Release("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.File("kubelet", testPlatform)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Blob(f.Digest)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	if digest.FromBytes(content) != f.Digest || int64(len(content)) != f.Size {
		t.Error("the blob's content is not the file")
	}
	if n, err := b.BlobSize(f.Digest); err != nil || n != f.Size {
		t.Errorf("BlobSize = %d, %v", n, err)
	}
	images, err := r.ImagesFor(testPlatform)
	if err != nil || len(images) != 2 {
		t.Fatalf("ImagesFor = %v, %v", images, err)
	}
	manifests, err := r.FilesOf(FileManifest, testPlatform)
	if err != nil || len(manifests) != 1 || manifests[0].Name != "flannel.yaml" {
		t.Errorf("FilesOf = %v, %v", manifests, err)
	}
}

func TestWhatIsNotInsideIsATypedErrorThatListsWhatIs(t *testing.T) {
	b := openFixture(t)
	r, err := b.Release("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	var version *VersionNotFoundError
	if _, err := b.Release("v1.99.0"); !errors.As(err, &version) || !slices.Equal(version.Available, []string{"v1.36.3"}) {
		t.Errorf("Release: %v", err)
	}
	var platform *PlatformNotFoundError
	if _, err := r.File("kubelet", "linux/arm64"); !errors.As(err, &platform) || !slices.Equal(platform.Available, []string{testPlatform}) {
		t.Errorf("File: %v", err)
	}
	if _, err := r.ImagesFor("linux/arm64"); !errors.As(err, &platform) {
		t.Errorf("ImagesFor: %v", err)
	}
	if _, err := r.FilesOf(FileBinary, "linux/arm64"); !errors.As(err, &platform) {
		t.Errorf("FilesOf: %v", err)
	}
	var missing *NotFoundError
	if _, err := r.File("kubelot", testPlatform); !errors.As(err, &missing) || !slices.Contains(missing.Available, "kubelet") {
		t.Errorf("File: %v", err)
	}
	if _, err := r.Image("kube-dns"); !errors.As(err, &missing) || !slices.Contains(missing.Available, "etcd") {
		t.Errorf("Image: %v", err)
	}
	var blob *MissingBlobError
	if _, err := b.Blob(digest.FromString("nothing")); !errors.As(err, &blob) {
		t.Errorf("Blob: %v", err)
	}
	if _, err := b.Blob("../../etc/passwd"); err == nil {
		t.Error("Blob accepted a path")
	}
}

func TestVerifyHashesEverythingAndComparesTheTrustedDigest(t *testing.T) {
	b := openFixture(t)
	var last int64
	r, err := b.Verify(context.Background(), VerifyOptions{Expected: b.Digest(), Progress: func(done, total int64) {
		if done == total {
			last = done
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes == 0 || last != r.Bytes || r.Blobs != len(b.own.order)-2 {
		t.Errorf("report %+v, last progress %d, %d entries", r, last, len(b.own.order))
	}
	var untrusted *UntrustedError
	if _, err := b.Verify(context.Background(), VerifyOptions{Expected: digest.FromString("other")}); !errors.As(err, &untrusted) {
		t.Errorf("another trusted digest gives %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Verify(ctx, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled verification gives %v", err)
	}
}

func TestOtherToolsReadTheLayoutAndItsImages(t *testing.T) {
	path, _ := writeFixture(t)
	dir := t.TempDir()
	untar(t, path, dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range m.Manifests[1:] {
		names = append(names, d.Annotations["org.opencontainers.image.ref.name"])
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img, validate.Fast); err != nil {
			t.Error(err)
		}
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			id, err := l.DiffID()
			if err != nil {
				t.Fatal(err)
			}
			content, err := l.Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := digest.FromReader(content); err != nil || string(got) != id.String() {
				t.Errorf("layer has diff ID %s, content %s, %v", id, got, err)
			}
		}
	}
	if want := []string{"registry.k8s.io/coredns/coredns:v1.14.2", "registry.k8s.io/etcd:3.6.8-0"}; !slices.Equal(names, want) {
		t.Errorf("images are %v, want %v", names, want)
	}
}

func untar(t *testing.T, path, dir string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(readFile(t, path)))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAProgramComesOutOfAnImageAndIsLeftAloneWhenItIsRight(t *testing.T) {
	b := openFixture(t)
	r, err := b.Release("v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	image, err := r.Image("etcd")
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "etcd")
	extract := func() os.FileInfo {
		t.Helper()
		if err := b.ExtractFromImage(context.Background(), image, testPlatform, "/usr/local/bin/etcd", dst); err != nil {
			t.Fatal(err)
		}
		if got := string(readFile(t, dst)); got != "etcd program" {
			t.Fatalf("content is %q", got)
		}
		st, err := os.Stat(dst)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o755 {
			t.Fatalf("mode is %o", st.Mode().Perm())
		}
		return st
	}
	first := extract()
	if again := extract(); !os.SameFile(first, again) {
		t.Error("a file that was right was replaced")
	}
	if err := os.WriteFile(dst, []byte("etcd PROGRAM"), 0o755); err != nil {
		t.Fatal(err)
	}
	if again := extract(); os.SameFile(first, again) {
		t.Error("a file that was wrong was not replaced")
	}
	var missing *NotFoundError
	if err := b.ExtractFromImage(context.Background(), image, testPlatform, "bin/sh", dst); !errors.As(err, &missing) {
		t.Errorf("a path that is not there gives %v", err)
	}
	var platform *PlatformNotFoundError
	if err := b.ExtractFromImage(context.Background(), image, "linux/arm64", "usr/local/bin/etcd", dst); !errors.As(err, &platform) {
		t.Errorf("another platform gives %v", err)
	}
}

func TestAnAlteredLayerIsNeverExtracted(t *testing.T) {
	path, _ := writeFixture(t)
	raw := readFile(t, path)
	at := bytes.Index(raw, []byte("etcd program"))
	raw[at] = 'E'
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	image, err := b.config.Releases[0].Image("etcd")
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "etcd")
	var mismatch *DigestMismatchError
	if err := b.ExtractFromImage(context.Background(), image, testPlatform, "usr/local/bin/etcd", dst); !errors.As(err, &mismatch) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(dst)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWriteRefusesContentThatIsNotWhatItIsNamed(t *testing.T) {
	for name, spoil := range map[string]func(*Config, map[digest.Digest]Blob){
		"missing content": func(c *Config, b map[digest.Digest]Blob) { delete(b, c.Releases[0].Files[0].Digest) },
		"wrong size":      func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Files[0].Size++ },
		"changed content": func(c *Config, b map[digest.Digest]Blob) {
			f := c.Releases[0].Files[0]
			_, b[f.Digest] = BytesBlob(make([]byte, f.Size))
		},
		"short content": func(c *Config, b map[digest.Digest]Blob) {
			f := c.Releases[0].Files[0]
			b[f.Digest] = Blob{Size: f.Size, Copy: func(io.Writer) error { return nil }}
		},
		"file name with a slash":   func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Files[0].Name = "../kubelet" },
		"image without a tag":      func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Images[0].Name = "registry.k8s.io/etcd" },
		"setuid mode":              func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Files[0].Mode = 0o4755 },
		"platform not of release":  func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Files[0].Platform = "linux/s390x" },
		"digest of another kind":   func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Files[0].Digest = "md5:00" },
		"version of another form":  func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].KubernetesVersion = "1.36" },
		"file twice for one place": func(c *Config, _ map[digest.Digest]Blob) { r := &c.Releases[0]; r.Files = append(r.Files, r.Files[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg, blobs := fixture(t)
			spoil(cfg, blobs)
			dir := t.TempDir()
			if _, err := Write(context.Background(), filepath.Join(dir, "x.bundle"), cfg, blobs); err == nil {
				t.Error("it was written")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestORASReadsTheFileAsItIsAndCopiesImagesOutOfIt(t *testing.T) {
	b := attached(t, variant(t, "one", nil), someSBOM)
	ctx := context.Background()
	store, err := orasoci.NewFromTar(ctx, b.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range b.Config().Releases[0].Images {
		to := memory.New()
		got, err := oras.Copy(ctx, store, img.Name, to, "", oras.DefaultCopyOptions)
		if err != nil {
			t.Fatalf("%s: %v", img.Name, err)
		}
		if got.Digest != img.Platforms[0].Manifest.Digest {
			t.Errorf("%s is %s", img.Name, got.Digest)
		}
		for _, l := range img.Platforms[0].Layers {
			if ok, err := to.Exists(ctx, oci(l)); err != nil || !ok {
				t.Errorf("%s: layer %s was not copied: %v", img.Name, l.Digest, err)
			}
		}
	}
	var names []string
	if err := store.Tags(ctx, "", func(tags []string) error { names = append(names, tags...); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"registry.k8s.io/coredns/coredns:v1.14.2", "registry.k8s.io/etcd:3.6.8-0"}; !slices.Equal(names, want) {
		t.Errorf("it lists %q, want %q", names, want)
	}
	root, err := store.Resolve(ctx, string(b.Digest()))
	if err != nil {
		t.Fatal(err)
	}
	referrers, err := registry.Referrers(ctx, store, root, TypeSBOM)
	if err != nil || len(referrers) != 1 {
		t.Errorf("what is attached: %+v, %v", referrers, err)
	}
}
