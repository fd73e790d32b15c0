package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/registry/registrytest"
)

// made is a bundle with what went into it.
type made struct {
	*bundle.Bundle
	t *testing.T
	// images by name and platform, indexes by name.
	images  map[string]v1.Image
	indexes map[string]v1.ImageIndex
	blobs   map[digest.Digest]bundle.Blob
}

func check[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (m *made) add(raw []byte) (digest.Digest, int64) {
	d, b := bundle.BytesBlob(raw)
	m.blobs[d] = b
	return d, b.Size
}

// image makes an image for a platform on a base layer.
func (m *made) image(name, platform string, base v1.Layer) (v1.Image, bundle.ImagePlatform) {
	t := m.t
	own := check[v1.Layer](t)(random.Layer(20<<10, types.OCILayer))
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img = check[v1.Image](t)(mutate.AppendLayers(img, base, own))
	cfg := check[*v1.ConfigFile](t)(img.ConfigFile()).DeepCopy()
	cfg.OS, cfg.Architecture, _ = strings.Cut(platform, "/")
	img = check[v1.Image](t)(mutate.ConfigFile(img, cfg))
	m.images[name+" "+platform] = img
	manifest := check[*v1.Manifest](t)(img.Manifest())
	ip := bundle.ImagePlatform{Platform: platform}
	ip.Manifest.Digest, ip.Manifest.Size = m.add(check[[]byte](t)(img.RawManifest()))
	ip.Manifest.MediaType = string(manifest.MediaType)
	ip.Config.Digest, ip.Config.Size = m.add(check[[]byte](t)(img.RawConfigFile()))
	ip.Config.MediaType = string(manifest.Config.MediaType)
	for i, l := range check[[]v1.Layer](t)(img.Layers()) {
		d, n := m.add(check[[]byte](t)(io.ReadAll(check[io.ReadCloser](t)(l.Compressed()))))
		ip.Layers = append(ip.Layers, bundle.Descriptor{MediaType: string(manifest.Layers[i].MediaType), Digest: d, Size: n})
	}
	return img, ip
}

// index takes an image from an index, which may name a platform that is not taken.
func (m *made) index(img *bundle.Image, base v1.Layer, notTaken bool) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	if notTaken {
		other := check[v1.Image](m.t)(random.Image(100, 1))
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		image, ip := m.image(img.Name, platform, base)
		img.Platforms = append(img.Platforms, ip)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: check[*v1.Platform](m.t)(v1.ParsePlatform(platform))}})
	}
	m.indexes[img.Name] = index
	d, size := m.add(check[[]byte](m.t)(index.RawManifest()))
	img.Index = &bundle.Descriptor{MediaType: string(types.OCIImageIndex), Digest: d, Size: size}
}

const (
	plain    = "registry.k8s.io/pause:3.10.2"
	several  = "registry.k8s.io/coredns/coredns:v1.14.2"
	whole    = "registry.k8s.io/etcd:3.6.8-0"
	sparse   = "ghcr.io/flannel-io/flannel:v0.28.10"
	material = `{"spdxVersion":"SPDX-2.3"}`
)

// newBundle makes a bundle of images of all sorts, which share a layer, with a file and something attached.
func newBundle(t *testing.T) *made {
	t.Helper()
	m := &made{t: t, images: map[string]v1.Image{}, indexes: map[string]v1.ImageIndex{}, blobs: map[digest.Digest]bundle.Blob{}}
	base := check[v1.Layer](t)(random.Layer(50<<10, types.OCILayer))
	file, size := m.add(bytes.Repeat([]byte("kubelet "), 4000))
	r := bundle.Release{KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64", "linux/arm64"}, Files: []bundle.File{
		{Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes", Version: "v1.36.3", Platform: "linux/amd64", Digest: file, Size: size, Mode: 0o755},
	}}
	for _, name := range []string{plain, several, whole, sparse} {
		img := bundle.Image{Name: name, Component: name, Version: "v1"}
		switch name {
		case plain, several:
			for _, platform := range r.Platforms {
				if name == several || platform == "linux/amd64" {
					_, ip := m.image(name, platform, base)
					img.Platforms = append(img.Platforms, ip)
				}
			}
		default:
			m.index(&img, base, name == sparse)
		}
		r.Images = append(r.Images, img)
	}
	path := filepath.Join(t.TempDir(), "k8s.bundle")
	cfg := &bundle.Config{Name: "kubernetes-1.36+more", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{r}}
	if _, err := bundle.Write(t.Context(), path, cfg, m.blobs, bundle.Attachment{Type: bundle.TypeSBOM, Content: []byte(material)}); err != nil {
		t.Fatal(err)
	}
	m.Bundle = check[*bundle.Bundle](t)(bundle.Open(path))
	t.Cleanup(func() { m.Close() }) //nolint:errcheck // read only
	return m
}

// options are those of a push to a registry below site/k8s.
func options(r *registrytest.Registry) Options {
	return Options{Target: r.Host + "/site/k8s", CA: []byte(r.CA), Parallel: 4}
}

func (m *made) push(o Options) *Report {
	m.t.Helper()
	return check[*Report](m.t)(Push(m.t.Context(), m.Bundle, o))
}

// written are requests that change something.
func written(asked []string) []string {
	return slices.DeleteFunc(asked, func(one string) bool { return strings.HasPrefix(one, "GET ") || strings.HasPrefix(one, "HEAD ") })
}

func TestAPushedBundleIsThereByteForByteAndIsNotSentAgain(t *testing.T) {
	m := newBundle(t)
	r := registrytest.New(t, registrytest.Options{})
	var mu sync.Mutex
	var last, total int64
	o := options(r)
	o.Progress = func(done, all int64) {
		mu.Lock()
		defer mu.Unlock()
		last, total = max(last, done), all
	}
	report := m.push(o)
	received := r.Received()
	if report.Sent != report.Blobs || report.SentBytes != report.Bytes || received != report.Bytes || report.Mounted == 0 {
		t.Errorf("%d bytes were received, the report is %+v: each blob should go over the line once", received, report)
	}
	if last != report.Bytes || total != report.Bytes {
		t.Errorf("progress ended at %d of %d, want %d", last, total, report.Bytes)
	}
	m.isThere(r)

	r.Asked("")
	again := m.push(o)
	if received, wrote := r.Received(), written(r.Asked("")); received != 0 || len(wrote) != 0 {
		t.Errorf("the second push sent %d bytes, and %q", received, wrote)
	}
	if again.Sent != 0 || again.SentBytes != 0 || again.Mounted != 0 || again.Manifests != 0 || slices.ContainsFunc(again.References, func(ref Reference) bool { return ref.New }) {
		t.Errorf("the second push says %+v", again)
	}
}

// isThere pulls everything and compares it with what went into the bundle.
func (m *made) isThere(r *registrytest.Registry) {
	t := m.t
	t.Helper()
	for key, img := range m.images {
		name, platform, _ := strings.Cut(key, " ")
		repository, _, _ := strings.Cut("site/k8s/"+name, ":")
		d := check[v1.Hash](t)(img.Digest())
		for _, at := range []string{repository, "site/k8s/kubewright-bundle"} {
			got, err := r.Get(at + "@" + d.String())
			if err != nil {
				t.Errorf("%s for %s in %s: %v", name, platform, at, err)
				continue
			}
			if !bytes.Equal(got.Manifest, check[[]byte](t)(img.RawManifest())) {
				t.Errorf("%s for %s is another in %s", name, platform, at)
			}
			pulled := check[v1.Image](t)(got.Image())
			for i, l := range check[[]v1.Layer](t)(pulled.Layers()) {
				raw := check[[]byte](t)(io.ReadAll(check[io.ReadCloser](t)(l.Compressed())))
				want := check[[]v1.Layer](t)(img.Layers())[i]
				if !bytes.Equal(raw, check[[]byte](t)(io.ReadAll(check[io.ReadCloser](t)(want.Compressed())))) {
					t.Errorf("layer %d of %s for %s is another in %s", i, name, platform, at)
				}
			}
		}
	}
	if got := m.manifestOf(r, "site/k8s/"+whole); !bytes.Equal(got, check[[]byte](t)(m.indexes[whole].RawManifest())) {
		t.Error("the index is not the one it was taken from")
	}
	root := m.manifestOf(r, "site/k8s/kubewright-bundle:kubernetes-1.36_more")
	if digest.FromBytes(root) != m.Digest() {
		t.Error("the bundle's root is another")
	}
	referrers := check[v1.ImageIndex](t)(r.Referrers("site/k8s/kubewright-bundle@" + m.Digest().String()))
	index := check[*v1.IndexManifest](t)(referrers.IndexManifest())
	if len(index.Manifests) != 1 || index.Manifests[0].ArtifactType != bundle.TypeSBOM {
		t.Fatalf("attached are %+v", index.Manifests)
	}
	attached := check[v1.Image](t)(check[*remote.Descriptor](t)(r.Get("site/k8s/kubewright-bundle@" + index.Manifests[0].Digest.String())).Image())
	layer := check[[]v1.Layer](t)(attached.Layers())[0]
	if raw := check[[]byte](t)(io.ReadAll(check[io.ReadCloser](t)(layer.Compressed()))); string(raw) != material {
		t.Errorf("attached is %q", raw)
	}
}

func (m *made) manifestOf(r *registrytest.Registry, at string) []byte {
	m.t.Helper()
	return check[*remote.Descriptor](m.t)(r.Get(at)).Manifest
}

// The registry is a plain one, which has no referrers API and allows nobody to delete.
func TestNothingIsDeletedFromARegistry(t *testing.T) {
	d, blob := bundle.BytesBlob([]byte("kubelet"))
	path := filepath.Join(t.TempDir(), "k8s.bundle")
	cfg := &bundle.Config{Name: "small", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{{
		KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64"},
		Files: []bundle.File{{Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes", Version: "v1.36.3", Platform: "linux/amd64", Digest: d, Size: blob.Size, Mode: 0o755}},
	}}}
	if _, err := bundle.Write(t.Context(), path, cfg, map[digest.Digest]bundle.Blob{d: blob}, bundle.Attachment{Type: bundle.TypeSBOM, Content: []byte(material)},
		bundle.Attachment{Type: bundle.TypeProvenance, Content: []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)}); err != nil {
		t.Fatal(err)
	}
	b := check[*bundle.Bundle](t)(bundle.Open(path))
	defer b.Close() //nolint:errcheck // read only
	r := registrytest.New(t, registrytest.Options{})
	if _, err := Push(t.Context(), b, options(r)); err != nil {
		t.Fatalf("push what two things are attached to: %v", err)
	}
	if asked := r.Asked("DELETE "); len(asked) > 0 {
		t.Errorf("it was asked to delete: %q", asked)
	}
	attached := check[v1.ImageIndex](t)(r.Referrers("site/k8s/kubewright-bundle@" + b.Digest().String()))
	if index := check[*v1.IndexManifest](t)(attached.IndexManifest()); len(index.Manifests) != 2 {
		t.Errorf("%d things are attached in the registry, want 2", len(index.Manifests))
	}
}

func TestATagStandsForWhatTheRegistryTakes(t *testing.T) {
	m := newBundle(t)
	r := registrytest.New(t, registrytest.Options{})
	report := m.push(options(r))
	references := map[string]Reference{}
	for _, ref := range report.References {
		references[strings.TrimPrefix(ref.Name, r.Host+"/site/k8s/")] = ref
	}
	if got := len(references); got != 5 {
		t.Errorf("there are %d references: %+v", got, references)
	}
	for name, want := range map[string]struct {
		digest  string
		instead bool
	}{
		plain:  {digest: check[v1.Hash](t)(m.images[plain+" linux/amd64"].Digest()).String()},
		whole:  {digest: check[v1.Hash](t)(m.indexes[whole].Digest()).String()},
		sparse: {instead: true},
	} {
		got := references[name]
		if got.Instead != want.instead || !got.New || want.digest != "" && got.Digest != want.digest {
			t.Errorf("%s stands for %+v, want %+v", name, got, want)
		}
		if raw := m.manifestOf(r, "site/k8s/"+name); digest.FromBytes(raw).String() != got.Digest {
			t.Errorf("%s stands for %s, and the report says %s", name, digest.FromBytes(raw), got.Digest)
		}
	}
	for _, name := range []string{several, sparse} {
		for _, platform := range []string{"linux/amd64", "linux/arm64"} {
			index := check[v1.ImageIndex](t)(check[*remote.Descriptor](t)(r.Get("site/k8s/" + name)).ImageIndex())
			manifests := check[*v1.IndexManifest](t)(index.IndexManifest()).Manifests
			want := check[v1.Hash](t)(m.images[name+" "+platform].Digest())
			if !slices.ContainsFunc(manifests, func(d v1.Descriptor) bool { return d.Digest == want && d.Platform.String() == platform }) {
				t.Errorf("%s has no %s", name, platform)
			}
		}
	}
}

func TestAnInterruptedPushIsContinued(t *testing.T) {
	m := newBundle(t)
	var mu sync.Mutex
	uploads, broken := 0, true
	r := registrytest.New(t, registrytest.Options{Intercept: func(_ http.ResponseWriter, req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/blobs/uploads/") || !broken {
			return false
		}
		if uploads++; uploads <= 5 {
			return false
		}
		panic(http.ErrAbortHandler)
	}})
	o := options(r)
	o.Parallel = 1
	_, err := Push(t.Context(), m.Bundle, o)
	failed, ok := errors.AsType[*Error](err)
	if !ok || failed.Kind != Unreachable || !strings.Contains(err.Error(), "run it again") || !strings.Contains(err.Error(), "send blob sha256:") {
		t.Fatalf("got %v", err)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	r.Received()
	report := m.push(o)
	if received := r.Received(); report.Sent != report.Blobs-5 || received != report.SentBytes || received == 0 || received >= report.Bytes {
		t.Errorf("%d bytes were received, the report is %+v", received, report)
	}
	m.isThere(r)
}

func TestACancelledPushSaysSo(t *testing.T) {
	m := newBundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := registrytest.New(t, registrytest.Options{Intercept: func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPost {
			cancel()
			<-req.Context().Done()
		}
		return false
	}})
	if _, err := Push(ctx, m.Bundle, options(r)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestADryRunSaysWhatWouldBeSentAndSendsNothing(t *testing.T) {
	m := newBundle(t)
	r := registrytest.New(t, registrytest.Options{})
	o := options(r)
	o.DryRun = true
	dry := m.push(o)
	if wrote := written(r.Asked("")); len(wrote) != 0 {
		t.Errorf("it wrote %q", wrote)
	}
	o.DryRun = false
	wet := m.push(o)
	if dry.Sent != wet.Sent || dry.SentBytes != wet.SentBytes || dry.Mounted != wet.Mounted || dry.Manifests != wet.Manifests || len(dry.References) != len(wet.References) {
		t.Errorf("it said %+v, and was %+v", dry, wet)
	}
	o.DryRun = true
	if again := m.push(o); again.Sent != 0 || again.Manifests != 0 {
		t.Errorf("when all is there it says %+v", again)
	}
}

func TestARegistryThatCannotBeSpokenToIsOneClearError(t *testing.T) {
	m := newBundle(t)
	guarded := registrytest.New(t, registrytest.Options{WithPassword: true})
	credentials := func(user, password string) auth.CredentialFunc {
		return auth.StaticCredential(guarded.Host, auth.Credential{Username: user, Password: password})
	}
	for name, c := range map[string]struct {
		change func(o *Options)
		kind   Kind
		says   string
	}{
		"without credentials":     {func(*Options) {}, Unauthorized, "--docker-config"},
		"with the wrong password": {func(o *Options) { o.Credentials = credentials(registrytest.User, "wr0ng secret") }, Unauthorized, "--docker-config"},
		"with credentials of another": {func(o *Options) {
			o.Credentials = auth.StaticCredential("other.test", auth.Credential{Username: "u", Password: "p"})
		}, Unauthorized, "--docker-config"},
		"without its authority": {func(o *Options) { o.CA = nil }, Untrusted, "--ca-file"},
		"where nobody listens":  {func(o *Options) { o.Target = "127.0.0.1:1/site" }, Unreachable, "run it again"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(guarded)
			c.change(&o)
			guarded.Asked("")
			_, err := Push(t.Context(), m.Bundle, o)
			failed, ok := errors.AsType[*Error](err)
			if !ok || failed.Kind != c.kind || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), strings.Split(o.Target, "/")[0]) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "wr0ng") {
				t.Error("the error tells the password")
			}
			if asked := guarded.Asked(""); len(asked) > 2 {
				t.Errorf("it asked on and on: %q", asked)
			}
		})
	}
	o := options(guarded)
	o.Credentials = credentials(registrytest.User, registrytest.Password)
	if report := m.push(o); report.SentBytes != report.Bytes {
		t.Errorf("with the right password: %+v", report)
	}
}

func TestNamesCanLeaveTheRegistryOutAndTheBundleToo(t *testing.T) {
	m := newBundle(t)
	r := registrytest.New(t, registrytest.Options{})
	o := options(r)
	o.StripRegistry, o.ImagesOnly = true, true
	var names []string
	for _, ref := range m.push(o).References {
		names = append(names, strings.TrimPrefix(ref.Name, r.Host+"/"))
	}
	want := []string{"site/k8s/coredns/coredns:v1.14.2", "site/k8s/etcd:3.6.8-0", "site/k8s/flannel-io/flannel:v0.28.10", "site/k8s/pause:3.10.2"}
	if !slices.Equal(names, want) {
		t.Errorf("references are %q", names)
	}
}

func TestTargetsThatAreNone(t *testing.T) {
	for _, target := range []string{"", "/", "https://registry.test", "registry.test/Upper", "registry.test/a//b", "registry.test/a:1", "user@registry.test"} {
		if _, _, err := parseTarget(target); err == nil || !strings.Contains(err.Error(), "REGISTRY[/PREFIX]") {
			t.Errorf("%q: %v", target, err)
		}
	}
	for target, want := range map[string][2]string{"registry.test": {"registry.test", ""}, "registry.test:5000/": {"registry.test:5000", ""}, "r.test/a/b": {"r.test", "a/b"}} {
		if host, prefix, err := parseTarget(target); err != nil || host != want[0] || prefix != want[1] {
			t.Errorf("%q: %q, %q, %v", target, host, prefix, err)
		}
	}
}
