package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// variant writes the fixture after change and opens it.
func variant(t testing.TB, name string, change func(*Config, map[digest.Digest]Blob)) *Bundle {
	t.Helper()
	cfg, blobs := fixture(t)
	cfg.Name = name
	if change != nil {
		change(cfg, blobs)
	}
	path := filepath.Join(t.TempDir(), name+".bundle")
	if _, err := Write(context.Background(), path, cfg, blobs); err != nil {
		t.Fatal(err)
	}
	return opened(t, path)
}

// opened opens a bundle until the test ends.
func opened(t testing.TB, path string) *Bundle {
	t.Helper()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// newer makes the fixture one of a later release, with another kubelet.
func newer(version string) func(*Config, map[digest.Digest]Blob) {
	return func(c *Config, blobs map[digest.Digest]Blob) {
		r := &c.Releases[0]
		r.KubernetesVersion = version
		c.Created = c.Created.Add(time.Hour)
		setFile(c, blobs, 0, []byte("kubelet of "+version))
	}
}

// setFile gives a file of the fixture's release other content.
func setFile(c *Config, blobs map[digest.Digest]Blob, i int, content []byte) {
	d, blob := BytesBlob(content)
	blobs[d] = blob
	f := &c.Releases[0].Files[i]
	f.Digest, f.Size = d, blob.Size
}

// onPlatform makes the fixture one for another platform.
func onPlatform(platform string) func(*Config, map[digest.Digest]Blob) {
	return func(c *Config, blobs map[digest.Digest]Blob) {
		r := &c.Releases[0]
		r.Platforms = []string{platform}
		for i := range r.Files {
			if r.Files[i].Platform != "" {
				r.Files[i].Platform = platform
				setFile(c, blobs, i, []byte("program for "+platform))
			}
		}
		for i := range r.Images {
			r.Images[i].Platforms[0].Platform = platform
			changeImage(c, blobs, i, "amd64", strings.TrimPrefix(platform, "linux/"))
		}
	}
}

// changeImage replaces text in the config of an image and makes its manifest follow.
func changeImage(c *Config, blobs map[digest.Digest]Blob, i int, from, to string) {
	ip := &c.Releases[0].Images[i].Platforms[0]
	read := func(d digest.Digest) []byte {
		var buf bytes.Buffer
		// Fixture blobs lie in memory.
		_ = blobs[d].Copy(&buf)
		return buf.Bytes()
	}
	put := func(d *Descriptor, content []byte) {
		sum, blob := BytesBlob(content)
		blobs[sum] = blob
		d.Digest, d.Size = sum, blob.Size
	}
	put(&ip.Config, bytes.Replace(read(ip.Config.Digest), []byte(from), []byte(to), 1))
	var m ocispec.Manifest
	// The fixture encoded it.
	_ = json.Unmarshal(read(ip.Manifest.Digest), &m)
	m.Config.Digest, m.Config.Size = ip.Config.Digest, ip.Config.Size
	raw, _ := json.Marshal(m)
	put(&ip.Manifest, raw)
}

// merged merges and opens the result.
func merged(t testing.TB, inputs ...*Bundle) *Bundle {
	t.Helper()
	path := filepath.Join(t.TempDir(), "merged.bundle")
	d, err := Merge(context.Background(), path, inputs, MergeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := opened(t, path)
	if _, err := b.Verify(context.Background(), VerifyOptions{Expected: d}); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMergingGivesTheSameBytesInAnyOrderAndInSteps(t *testing.T) {
	a, b, c := variant(t, "one", nil), variant(t, "two", newer("v1.36.10")), variant(t, "three", newer("v1.37.0"))
	want := readFile(t, merged(t, a, b, c).Path())
	for name, got := range map[string]*Bundle{
		"another order":        merged(t, c, b, a),
		"in steps":             merged(t, merged(t, c, a), b),
		"an input twice":       merged(t, b, a, b, c),
		"with one that has it": merged(t, merged(t, a, b), merged(t, b, c)),
	} {
		if !bytes.Equal(want, readFile(t, got.Path())) {
			t.Errorf("%s gives other bytes", name)
		}
	}
}

func TestAMergedBundleHasAllReleasesAndSharesTheirBlobs(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "two", newer("v1.36.10"))
	m := merged(t, a, b)
	var versions []string
	for _, r := range m.Config().Releases {
		versions = append(versions, r.KubernetesVersion)
	}
	if !slices.Equal(versions, []string{"v1.36.3", "v1.36.10"}) {
		t.Errorf("releases are %v, the oldest is not first", versions)
	}
	if m.Config().Name != "one+two" || !m.Config().Created.Equal(b.Config().Created) {
		t.Errorf("it is named %s and created %s", m.Config().Name, m.Config().Created)
	}
	// Only kubelet, the config and the root manifest differ.
	if got, want := len(m.own.order), len(a.own.order)+1; got != want {
		t.Errorf("it has %d entries, want %d: blobs are not shared", got, want)
	}
	for _, in := range []*Bundle{a, b} {
		want := in.Config().Releases[0]
		got, err := m.Release(want.KubernetesVersion)
		if err != nil {
			t.Fatal(err)
		}
		f, err := got.File("kubelet", testPlatform)
		if err != nil {
			t.Fatal(err)
		}
		if g, _ := want.File("kubelet", testPlatform); *g != *f {
			t.Errorf("%s: kubelet is %+v, want %+v", want.KubernetesVersion, f, g)
		}
	}
}

func TestOneReleaseBuiltForTwoPlatformsMergesIntoOne(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "one", onPlatform("linux/arm64"))
	m := merged(t, b, a)
	if len(m.Config().Releases) != 1 {
		t.Fatalf("it has %d releases", len(m.Config().Releases))
	}
	r := &m.Config().Releases[0]
	if !slices.Equal(r.Platforms, []string{testPlatform, "linux/arm64"}) {
		t.Errorf("platforms are %v", r.Platforms)
	}
	for _, p := range r.Platforms {
		if _, err := r.File("kubelet", p); err != nil {
			t.Error(err)
		}
		images, err := r.ImagesFor(p)
		if err != nil || len(images) != 2 {
			t.Errorf("images for %s: %d, %v", p, len(images), err)
		}
	}
	if m.Config().Name != "one" {
		t.Errorf("it is named %s", m.Config().Name)
	}
}

func TestMergingRefusesOneReleaseWithTwoContents(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config, map[digest.Digest]Blob)
		says   string
	}{
		"another program":  {func(c *Config, b map[digest.Digest]Blob) { setFile(c, b, 0, []byte("other")) }, "file kubelet for linux/amd64 is sha256:"},
		"another manifest": {func(c *Config, b map[digest.Digest]Blob) { setFile(c, b, 1, []byte("other")) }, "file flannel.yaml is sha256:"},
		"another mode":     {func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Files[0].Mode = 0o700 }, "is described differently"},
		"another image": {func(c *Config, b map[digest.Digest]Blob) {
			changeImage(c, b, 0, `"config":{}`, `"config":{"User":"1"}`)
		},
			"image registry.k8s.io/etcd:3.6.8-0 for linux/amd64 is sha256:"},
		"an image of another component": {func(c *Config, _ map[digest.Digest]Blob) { c.Releases[0].Images[0].Component = "other" }, "is described differently"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := variant(t, "one", nil), variant(t, "two", c.change)
			path := filepath.Join(t.TempDir(), "merged.bundle")
			_, err := Merge(context.Background(), path, []*Bundle{a, b}, MergeOptions{})
			conflict, ok := errors.AsType[*ConflictError](err)
			if !ok || conflict.Version != "v1.36.3" || !strings.Contains(err.Error(), c.says) ||
				!strings.Contains(err.Error(), a.Path()) || !strings.Contains(err.Error(), b.Path()) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("something was written")
			}
		})
	}
}

func TestMergingNamesTheInputThatIsDamaged(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "two", newer("v1.37.0"))
	raw := readFile(t, b.Path())
	raw[bytes.Index(raw, []byte("kubelet of v1.37.0"))] ^= 1
	if err := os.WriteFile(b.Path(), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "merged.bundle")
	_, err := Merge(context.Background(), path, []*Bundle{a, b}, MergeOptions{})
	if mismatch, ok := errors.AsType[*DigestMismatchError](err); !ok || mismatch.Path != b.Path() {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestATagWithTwoMeaningsIsTheNewestReleases(t *testing.T) {
	a := variant(t, "one", nil)
	b := variant(t, "two", func(c *Config, blobs map[digest.Digest]Blob) {
		c.Releases[0].KubernetesVersion = "v1.36.10"
		changeImage(c, blobs, 0, `"config":{}`, `"config":{"User":"1"}`)
	})
	m := merged(t, b, a)
	var index ocispec.Index
	raw, err := m.own.small(indexName)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	found := map[digest.Digest]string{}
	for _, d := range index.Manifests[1:] {
		found[d.Digest] = d.Annotations[ocispec.AnnotationRefName]
	}
	const name = "registry.k8s.io/etcd:3.6.8-0"
	manifest := func(b *Bundle) digest.Digest {
		img, err := b.Config().Releases[0].Image("etcd")
		if err != nil {
			t.Fatal(err)
		}
		return img.Platforms[0].Manifest.Digest
	}
	if got := found[manifest(b)]; got != name {
		t.Errorf("the newer image is listed as %q", got)
	}
	if got, ok := found[manifest(a)]; !ok || got != "" {
		t.Errorf("the older image is listed: %v, as %q", ok, got)
	}
	if len(found) != 3 {
		t.Errorf("%d images are listed, want 3", len(found))
	}
}
