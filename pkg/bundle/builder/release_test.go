package builder

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/upstream"
	"github.com/kubewright/kubewright/pkg/fetch"
	"github.com/kubewright/kubewright/pkg/fetch/box"
	"github.com/kubewright/kubewright/pkg/fetch/checksum"
	"github.com/kubewright/kubewright/pkg/registry/registrytest"
)

// TestMain lets the test program stand in for kubewright-fetch.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "serve-one-fetch" {
		os.Exit(box.Serve(context.Background(), os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// releaseDefinition takes one file in each form of checksum, an image with an index and one without, as artifacts/release-*.yaml do.
const releaseDefinition = `name: released
kubernetesVersion: v1.36.3
platforms: [PLATFORM]
sourceDateEpoch: 1700000000
downloads:
- component: kubernetes
  version: v1.36.3
  url: https://dl.k8s.io/{version}/bin/{os}/{arch}/kubeadm
  checksum: https://dl.k8s.io/{version}/bin/{os}/{arch}/kubeadm.sha256
  files: [{name: kubeadm, kind: Binary}]
- component: containerd
  version: v2.3.4
  url: https://github.com/containerd/containerd/releases/download/{version}/containerd-static-{number}-{os}-{arch}.tar.gz
  checksum: https://github.com/containerd/containerd/releases/download/{version}/containerd-static-{number}-{os}-{arch}.tar.gz.sha256sum
  files: [{name: containerd, kind: Binary, path: bin/containerd}, {name: ctr, kind: Binary, path: bin/ctr}]
- component: runc
  version: v1.4.3
  url: https://github.com/opencontainers/runc/releases/download/{version}/runc.{arch}
  checksum: https://github.com/opencontainers/runc/releases/download/{version}/runc.sha256sum
  files: [{name: runc, kind: Binary}]
- component: cni-plugins
  version: v1.9.1
  url: https://github.com/containernetworking/plugins/releases/download/{version}/cni-plugins-{os}-{arch}-{version}.tgz
  checksum: https://github.com/containernetworking/plugins/releases/download/{version}/cni-plugins-{os}-{arch}-{version}.tgz.sha256
  files: [{name: bridge, kind: CNIPlugin, path: bridge}]
- component: etcd
  version: 3.6.8
  url: https://github.com/etcd-io/etcd/releases/download/v{version}/etcd-v{version}-{os}-{arch}.tar.gz
  checksum: https://github.com/etcd-io/etcd/releases/download/v{version}/SHA256SUMS
  files: [{name: etcdctl, kind: Binary, path: "etcd-v{version}-{os}-{arch}/etcdctl"}]
images:
- {name: "registry.k8s.io/pause:3.10.2", component: pause, version: 3.10.2, pull: {}}
- {name: "ghcr.io/flannel-io/flannel:v0.28.10", component: flannel, version: v0.28.10, pull: {}}
`

// world is what a build of releaseDefinition finds upstream: a web server with the files of all projects, and a registry.
type world struct {
	t        *testing.T
	web      *httptest.Server
	registry *registrytest.Registry
	pause    v1.ImageIndex
	flannel  v1.Image

	mu    sync.Mutex
	files map[string][]byte // by host and path
	asked []string          // method, path and range
	cut   map[string]int    // by path: the connection breaks after so many bytes of an answer
	// blobs, if set, may answer for the registry.
	intercept func(w http.ResponseWriter, r *http.Request) bool
	events    []Event
}

func sumOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// archiveOf packs files as projects do.
func archiveOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, name := range sortedKeys(files) {
		if err := w.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// imageFor makes an image that says it is for a platform.
func imageFor(t *testing.T, platform string, layerSize int64) v1.Image {
	t.Helper()
	image, err := random.Image(layerSize, 2)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, _ = strings.Cut(platform, "/")
	if image, err = mutate.ConfigFile(image, cfg); err != nil {
		t.Fatal(err)
	}
	return image
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, files: map[string][]byte{}, cut: map[string]int{}}
	const github = "github.com/"
	pgp := func(text string) string {
		return "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + text + "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\n"
	}
	var runcSums, etcdSums string
	for _, arch := range []string{"amd64", "arm64"} {
		put := func(path string, content []byte) string {
			w.files[path] = content
			return sumOf(content)
		}
		kubeadm := "dl.k8s.io/v1.36.3/bin/linux/" + arch + "/kubeadm"
		put(kubeadm+".sha256", []byte(put(kubeadm, []byte("#!/bin/sh\n# for "+arch+"\necho registry.k8s.io/pause:3.10.2\n"))))
		containerd := "containerd-static-2.3.4-linux-" + arch + ".tar.gz"
		at := github + "containerd/containerd/releases/download/v2.3.4/" + containerd
		sum := put(at, archiveOf(t, map[string]string{"bin/containerd": "containerd for " + arch, "bin/ctr": "ctr", "bin/containerd-stress": "not wanted"}))
		put(at+".sha256sum", []byte(sum+"  "+containerd+"\n"))
		sum = put(github+"opencontainers/runc/releases/download/v1.4.3/runc."+arch, []byte("runc for "+arch))
		runcSums += sum + "  runc." + arch + "\n"
		cni := "cni-plugins-linux-" + arch + "-v1.9.1.tgz"
		at = github + "containernetworking/plugins/releases/download/v1.9.1/" + cni
		put(at+".sha256", []byte("SHA256 ("+cni+") = "+put(at, archiveOf(t, map[string]string{"bridge": "bridge for " + arch}))+"\n"))
		etcd := "etcd-v3.6.8-linux-" + arch
		sum = put(github+"etcd-io/etcd/releases/download/v3.6.8/"+etcd+".tar.gz", archiveOf(t, map[string]string{etcd + "/etcdctl": "etcdctl for " + arch}))
		etcdSums += sum + "  " + etcd + ".tar.gz\n"
	}
	w.files[github+"opencontainers/runc/releases/download/v1.4.3/runc.sha256sum"] = []byte(pgp(runcSums))
	w.files[github+"etcd-io/etcd/releases/download/v3.6.8/SHA256SUMS"] = []byte(etcdSums)
	w.web = httptest.NewTLSServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.web.Close)

	w.registry = registrytest.New(t, registrytest.Options{Intercept: func(rw http.ResponseWriter, r *http.Request) bool {
		w.mu.Lock()
		intercept := w.intercept
		w.mu.Unlock()
		return intercept != nil && intercept(rw, r)
	}})
	w.pause = empty.Index
	for _, platform := range []string{"linux/amd64", "linux/arm64", "linux/s390x"} {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		w.pause = mutate.AppendManifests(w.pause, mutate.IndexAddendum{Add: imageFor(t, platform, 4<<10), Descriptor: v1.Descriptor{Platform: p}})
	}
	w.flannel = imageFor(t, runtime.GOOS+"/"+runtime.GOARCH, 64<<10)
	w.registry.Push("k8s/pause:3.10.2", w.pause)
	w.registry.Push("flannel/flannel:v0.28.10", w.flannel)
	w.registry.Asked("")
	return w
}

// serve is the web: each host is a directory, as behind a mirror.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	w.mu.Lock()
	content, ok := w.files[name]
	left, cut := w.cut[name]
	w.asked = append(w.asked, strings.TrimSpace(name+" "+r.Header.Get("Range")))
	w.mu.Unlock()
	if !ok {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("ETag", `"`+sumOf(content)+`"`)
	if !cut {
		http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(content))
		return
	}
	rw.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = rw.Write(content[:left])
	rw.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// put changes a file.
func (w *world) put(path string, content []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[path] = content
}

// contentAsked are the requests since it was asked last for what is neither a file of checksums nor a manifest by tag.
func (w *world) contentAsked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, path := range w.asked {
		if !strings.Contains(strings.ToLower(path), "sha256") {
			out = append(out, path)
		}
	}
	w.asked = nil
	for _, one := range w.registry.Asked("") {
		if strings.Contains(one, "sha256:") {
			out = append(out, one)
		}
	}
	return out
}

// definition writes releaseDefinition with replacements.
func (w *world) definition(replace ...string) string {
	w.t.Helper()
	def := strings.ReplaceAll(releaseDefinition, "PLATFORM", runtime.GOOS+"/"+runtime.GOARCH)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(def, replace[i]) {
			w.t.Fatalf("the definition has no %q", replace[i])
		}
		def = strings.Replace(def, replace[i], replace[i+1], 1)
	}
	file := filepath.Join(w.t.TempDir(), "release.yaml")
	if err := os.WriteFile(file, []byte(def), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// options are those of a build that finds the world through mirrors.
func (w *world) options(definition, cache string) Options {
	return Options{
		Definition: definition, Output: filepath.Join(w.t.TempDir(), "x.bundle"), CacheDir: cache,
		Fetcher: &fetch.Program{Path: os.Args[0], Args: []string{"serve-one-fetch"}},
		Mirrors: upstream.Mirrors{
			{From: "https://dl.k8s.io", To: w.web.URL + "/dl.k8s.io"}, {From: "https://github.com", To: w.web.URL + "/github.com"},
			{From: "registry.k8s.io", To: w.registry.Host + "/k8s"}, {From: "ghcr.io/flannel-io", To: w.registry.Host + "/flannel"},
		},
		Network: fetch.Network{AllowLoopback: true, CABundle: w.registry.CA},
		Progress: func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
}

func (w *world) build(definition, cache string) (*Result, error) {
	return Build(w.t.Context(), w.options(definition, cache))
}

// both is the definition for two platforms.
func both(w *world) string {
	other, _ := foreign()
	return w.definition("platforms: ["+runtime.GOOS+"/"+runtime.GOARCH, "platforms: ["+runtime.GOOS+"/"+runtime.GOARCH+", "+other,
		`- {name: "ghcr.io/flannel-io/flannel:v0.28.10", component: flannel, version: v0.28.10, pull: {}}`, "")
}

func TestABundleIsMadeOfWhatProjectsRelease(t *testing.T) {
	w := newWorld(t)
	cache := t.TempDir()
	first, err := w.build(w.definition(), cache)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(first.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	if _, err := b.Verify(t.Context(), bundle.VerifyOptions{}); err != nil {
		t.Error(err)
	}
	r := &b.Config().Releases[0]
	native := runtime.GOOS + "/" + runtime.GOARCH
	for name, want := range map[string]string{
		"kubeadm": "registry.k8s.io/pause", "containerd": "containerd for " + runtime.GOARCH, "ctr": "ctr", "runc": "runc for " + runtime.GOARCH,
		"bridge": "bridge for " + runtime.GOARCH, "etcdctl": "etcdctl for " + runtime.GOARCH,
	} {
		f, err := r.File(name, native)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := w.blob(b, f.Digest); !strings.Contains(string(got), want) || f.Mode != 0o755 {
			t.Errorf("%s holds %q, mode %o", name, got, f.Mode)
		}
	}
	if _, err := r.File("containerd-stress", native); err == nil {
		t.Error("a file of an archive came in that nobody named")
	}
	w.sameImages(b)
	w.saysWhatWentIn(b)
	w.toldOfEachItem()

	t.Run("again from the cache, nothing is asked for but what names stand for, and the bundle is the same", func(t *testing.T) {
		w.contentAsked()
		second, err := w.build(w.definition(), cache)
		if err != nil {
			t.Fatal(err)
		}
		if asked := w.contentAsked(); len(asked) != 0 {
			t.Errorf("asked for %q", asked)
		}
		if second.Digest != first.Digest || !bytes.Equal(read(t, first.Path), read(t, second.Path)) {
			t.Errorf("the digests are %s and %s", first.Digest, second.Digest)
		}
	})
	t.Run("again from nothing, the bundle is the same", func(t *testing.T) {
		third, err := w.build(w.definition(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, first.Path), read(t, third.Path)) {
			t.Errorf("the digests are %s and %s", first.Digest, third.Digest)
		}
	})
}

// blob reads content of a bundle.
func (w *world) blob(b *bundle.Bundle, d digest.Digest) []byte {
	w.t.Helper()
	section, err := b.Blob(d)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := io.ReadAll(section)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// sameImages compares the bundle's images with the registry's, byte for byte.
func (w *world) sameImages(b *bundle.Bundle) {
	w.t.Helper()
	r := &b.Config().Releases[0]
	pause, err := r.Image("pause")
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := w.pause.RawManifest()
	if err != nil || pause.Index == nil || !bytes.Equal(w.blob(b, pause.Index.Digest), raw) {
		w.t.Errorf("the index is not the registry's: %+v, %v", pause.Index, err)
	}
	if len(pause.Platforms) != 1 {
		w.t.Errorf("%d platforms came, one was asked for", len(pause.Platforms))
	}
	flannel, err := r.Image("flannel")
	if err != nil || flannel.Index != nil {
		w.t.Fatalf("%+v, %v", flannel, err)
	}
	if raw, err = w.flannel.RawManifest(); err != nil || !bytes.Equal(w.blob(b, flannel.Platforms[0].Manifest.Digest), raw) {
		w.t.Errorf("the manifest is not the registry's, %v", err)
	}
	layers, err := w.flannel.Layers()
	if err != nil {
		w.t.Fatal(err)
	}
	for i, l := range layers {
		rc, err := l.Compressed()
		if err != nil {
			w.t.Fatal(err)
		}
		want, err := io.ReadAll(rc)
		if err != nil || !bytes.Equal(w.blob(b, flannel.Platforms[0].Layers[i].Digest), want) {
			w.t.Errorf("layer %d is not the registry's, %v", i, err)
		}
	}
}

// saysWhatWentIn looks for sources, by their own names and not those of mirrors, in the bundle and what is attached.
func (w *world) saysWhatWentIn(b *bundle.Bundle) {
	w.t.Helper()
	said := fmt.Sprint(b.Config().Releases[0].Components)
	for _, r := range b.Referrers() {
		raw, err := b.Attached(r)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, want := range []string{"https://dl.k8s.io/v1.36.3/bin/linux/" + runtime.GOARCH + "/kubeadm", "pause@sha256%3A"} {
			if !strings.Contains(string(raw), want) {
				w.t.Errorf("%s does not say %q", r.Type, want)
			}
		}
		said += string(raw)
	}
	if strings.Contains(said, "127.0.0.1") || !strings.Contains(said, "registry.k8s.io/pause:3.10.2") {
		w.t.Errorf("it names the mirror, or not the source:\n%s", said)
	}
}

// toldOfEachItem looks for the end of each item, with its bytes.
func (w *world) toldOfEachItem() {
	w.t.Helper()
	done := map[string]int64{}
	for _, e := range w.events {
		if e.State == StateDone && e.Component != "bundle" {
			done[e.Component] = e.Done
		}
	}
	want := []string{"cni-plugins-linux-" + runtime.GOARCH + "-v1.9.1.tgz", "containerd-static-2.3.4-linux-" + runtime.GOARCH + ".tar.gz",
		"etcd-v3.6.8-linux-" + runtime.GOARCH + ".tar.gz", "ghcr.io/flannel-io/flannel:v0.28.10", "kubeadm", "registry.k8s.io/pause:3.10.2", "runc." + runtime.GOARCH}
	if got := sortedKeys(done); !slices.Equal(got, want) || slices.Contains(slices.Collect(maps.Values(done)), 0) {
		w.t.Errorf("progress tells the end of %v", done)
	}
}

func TestBuildsAtTheSameTimeFetchEverythingOnce(t *testing.T) {
	w := newWorld(t)
	cache := t.TempDir()
	var digests [2]digest.Digest
	var wait sync.WaitGroup
	for i := range digests {
		wait.Go(func() {
			result, err := w.build(w.definition(), cache)
			if err != nil {
				t.Error(err)
				return
			}
			digests[i] = result.Digest
		})
	}
	wait.Wait()
	if digests[0] != digests[1] {
		t.Errorf("the digests are %s and %s", digests[0], digests[1])
	}
	asked := w.contentAsked()
	slices.Sort(asked)
	if once := slices.Compact(slices.Clone(asked)); len(once) != len(asked) || len(asked) == 0 {
		t.Errorf("something was asked for more than once: %q", asked)
	}
}

func TestSeveralPlatformsOfAnIndexAreTakenAndNoOther(t *testing.T) {
	w := newWorld(t)
	result, err := w.build(both(w), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(result.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	pause, err := b.Config().Releases[0].Image("pause")
	if err != nil || len(pause.Platforms) != 2 {
		t.Fatalf("%+v, %v", pause, err)
	}
	index, err := w.pause.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		_, err := b.Blob(digest.Digest(m.Digest.String()))
		if wanted := m.Platform.Architecture != "s390x"; (err == nil) != wanted {
			t.Errorf("the manifest for %s: %v", m.Platform.Architecture, err)
		}
	}
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		f, err := b.Config().Releases[0].File("runc", platform)
		if _, arch, _ := strings.Cut(platform, "/"); err != nil || string(w.blob(b, f.Digest)) != "runc for "+arch {
			t.Errorf("runc for %s: %v", platform, err)
		}
	}
}

func TestWhatIsPinnedIsNotAskedForTwice(t *testing.T) {
	w := newWorld(t)
	cache := t.TempDir()
	index, err := w.pause.Digest()
	if err != nil {
		t.Fatal(err)
	}
	flannel, err := w.flannel.Digest()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, w.definition("pause, version: 3.10.2, pull: {}", "pause, version: 3.10.2, pull: {digest: \""+index.String()+"\"}",
		"flannel, version: v0.28.10, pull: {}", "flannel, version: v0.28.10, pull: {digest: \""+flannel.String()+"\"}"))
	unpinned := filepath.Join(t.TempDir(), "unpinned.yaml")
	if err := os.WriteFile(unpinned, text, 0o644); err != nil {
		t.Fatal(err)
	}
	def, err := LoadDefinition(unpinned)
	if err != nil {
		t.Fatal(err)
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	for i := range def.Downloads {
		d := &def.Downloads[i]
		sum := sumOf(w.files[strings.TrimPrefix(d.expand(d.URL, platform), "https://")])
		text = bytes.Replace(text, []byte("  checksum: "+d.Checksum+"\n"), []byte("  digests: {"+platform+": \"sha256:"+sum+"\"}\n"), 1)
	}
	pinned := filepath.Join(t.TempDir(), "pinned.yaml")
	if err := os.WriteFile(pinned, text, 0o644); err != nil {
		t.Fatal(err)
	}
	build := func() digest.Digest {
		t.Helper()
		o := w.options(pinned, cache)
		o.Locked = true
		result, err := Build(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return result.Digest
	}
	first := build()
	w.web.Close()
	w.registry.Asked("")
	if second := build(); second != first || len(w.registry.Asked("")) != 0 {
		t.Errorf("the digests are %s and %s, or the registry was asked", first, second)
	}
	for name, c := range map[string]struct{ definition, says string }{
		"a download":  {w.definition(), "downloads[0].digests"},
		"one image":   {w.replaced(pinned, flannel.String()+`"`, `"`, `digest: ""`, ``), "images[1].pull.digest"},
		"the pinning": {w.replaced(pinned, index.String(), "sha256:"+strings.Repeat("0", 64)), "404"},
	} {
		t.Run("with --locked it stops at what is not right: "+name, func(t *testing.T) {
			o := w.options(c.definition, cache)
			o.Locked = true
			if _, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What a lock pins is taken and nothing else, whatever is published meanwhile.
func TestALockPinsWhatIsPublishedWhenItIsMade(t *testing.T) {
	w := newWorld(t)
	cache, definition := t.TempDir(), w.definition()
	locked := func() (*Result, error) {
		o := w.options(definition, cache)
		o.Locked = true
		return Build(t.Context(), o)
	}
	if _, err := locked(); err == nil || !strings.Contains(err.Error(), "kubewright bundle lock -f "+definition) {
		t.Fatalf("without a lock: got %v, want the command that makes one", err)
	}
	file, err := MakeLock(t.Context(), w.options(definition, cache))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSuffix(definition, ".yaml") + ".lock.yaml"; file != want {
		t.Errorf("the lock is %s, want %s", file, want)
	}
	first, err := locked()
	if err != nil {
		t.Fatal(err)
	}
	kubeadm := "dl.k8s.io/v1.36.3/bin/" + runtime.GOOS + "/" + runtime.GOARCH + "/kubeadm"
	other := []byte("#!/bin/sh\nexit 1\n")
	w.put(kubeadm, other)
	w.put(kubeadm+".sha256", []byte(sumOf(other)))
	again, err := locked()
	if err != nil || again.Digest != first.Digest {
		t.Errorf("after another kubeadm was published: got %+v, %v, want %s", again, err, first.Digest)
	}
	cache = t.TempDir()
	if _, err := locked(); err == nil || !strings.Contains(err.Error(), "it is another file") {
		t.Errorf("with an empty cache: got %v, want that it is another file", err)
	}
	for name, c := range map[string]struct{ from, to, says string }{
		"a download is missing":   {kubeadm, "dl.k8s.io/other", "downloads[0].digests"},
		"an image is missing":     {"pause:3.10.2", "pause:3.10.1", "images[0].pull.digest"},
		"a digest that is none":   {"digest: \"sha256:", "digest: \"sha", "downloads[0].digest"},
		"a field that it has not": {"{url:", "{URI:", "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			o := w.options(definition, cache)
			o.Locked, o.LockFile = true, w.replaced(file, c.from, c.to)
			if _, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %s", err, c.says)
			}
		})
	}
}

// replaced copies a definition with replacements.
func (w *world) replaced(file string, replace ...string) string {
	w.t.Helper()
	to := filepath.Join(w.t.TempDir(), "replaced.yaml")
	if err := os.WriteFile(to, []byte(strings.NewReplacer(replace...).Replace(string(read(w.t, file)))), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return to
}

func TestWhatIsNotRightUpstreamIsNamed(t *testing.T) {
	native := runtime.GOOS + "/" + runtime.GOARCH
	runc := "github.com/opencontainers/runc/releases/download/v1.4.3/runc." + runtime.GOARCH
	kubeadm := "dl.k8s.io/v1.36.3/bin/linux/" + runtime.GOARCH + "/kubeadm"
	cni := "github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-" + runtime.GOARCH + "-v1.9.1.tgz"
	other, _ := foreign()
	for name, c := range map[string]struct {
		prepare func(w *world) (definition string)
		says    []string
	}{
		"a file that has not its checksum": {func(w *world) string {
			w.put(runc, []byte("altered"))
			return w.definition()
		}, []string{"runc." + runtime.GOARCH, "of runc", native, "has the sha256 " + sumOf([]byte("altered"))}},
		"a file of checksums that does not list it": {func(w *world) string {
			w.put("github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum", []byte(sumOf(nil)+"  runc.mips\n"))
			return w.definition()
		}, []string{"its checksum at https://github.com/opencontainers/runc", "but not runc." + runtime.GOARCH}},
		"a file of checksums that is a page of the web": {func(w *world) string {
			w.put(kubeadm+".sha256", []byte("<html>"))
			return w.definition()
		}, []string{"kubeadm", "no file of sha256 checksums"}},
		"a file that is not there": {func(w *world) string {
			return w.definition("{version}/runc.{arch}", "{version}/runc-{arch}")
		}, []string{"runc-" + runtime.GOARCH, "checksum"}},
		"a file of checksums that is not there": {func(w *world) string {
			return w.definition("runc.sha256sum", "runc.sha512sum")
		}, []string{"its checksum", "404"}},
		"an archive that is none": {func(w *world) string {
			w.put(cni, []byte("text"))
			w.put(cni+".sha256", []byte(sumOf([]byte("text"))))
			return w.definition()
		}, []string{"cni-plugins-linux-" + runtime.GOARCH, "not packed with gzip"}},
		"an archive without what is wanted of it": {func(w *world) string {
			return w.definition("path: bin/ctr", "path: sbin/ctr")
		}, []string{"containerd-static", "there is no sbin/ctr in it"}},
		"an image that is not there for a platform": {func(w *world) string {
			return w.definition("platforms: [", "platforms: [linux/ppc64le, ", releaseDefinition[strings.Index(releaseDefinition, "downloads:"):strings.Index(releaseDefinition, "images:")], "")
		}, []string{"registry.k8s.io/pause:3.10.2", "is not there for linux/ppc64le, only for linux/amd64, linux/arm64, linux/s390x"}},
		"an image without an index that is for another platform": {func(w *world) string {
			return w.definition("platforms: [", "platforms: ["+other+", ")
		}, []string{"ghcr.io/flannel-io/flannel:v0.28.10", "is not there for " + other}},
		"an image that is not there": {func(w *world) string {
			return w.definition("flannel:v0.28.10", "flannel:v0.28.11")
		}, []string{"image ghcr.io/flannel-io/flannel:v0.28.11", "404"}},
		"a layer of other bytes than its digest's": {func(w *world) string {
			w.swap("/blobs/", w.layer().Digest, make([]byte, w.layer().Size))
			return w.definition()
		}, []string{"image ghcr.io/flannel-io/flannel:v0.28.10: layer sha256:", "has the sha256"}},
		"a layer of another size": {func(w *world) string {
			w.swap("/blobs/", w.layer().Digest, make([]byte, w.layer().Size+1))
			return w.definition()
		}, []string{"image ghcr.io/flannel-io/flannel:v0.28.10: layer sha256:", "it is another file"}},
		"a manifest of other bytes than its digest's": {func(w *world) string {
			w.swap("/k8s/pause/manifests/", "sha256:", []byte("{}"))
			return w.definition()
		}, []string{"image registry.k8s.io/pause:3.10.2", "manifest", native}},
		"a manifest that is a page of the web": {func(w *world) string {
			w.swap("/k8s/pause/manifests/", "3.10.2", []byte("<html>"))
			return w.definition()
		}, []string{"image registry.k8s.io/pause:3.10.2", "neither index nor manifest"}},
		"a kubeadm that wants other images": {func(w *world) string {
			text := []byte("#!/bin/sh\necho registry.k8s.io/pause:3.11\n")
			w.put(kubeadm, text)
			w.put(kubeadm+".sha256", []byte(sumOf(text)))
			return w.definition()
		}, []string{"kubeadm v1.36.3 needs images the definition does not have: registry.k8s.io/pause:3.11"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			result, err := w.build(c.prepare(w), t.TempDir())
			if err == nil {
				t.Fatalf("it was built: %+v", result)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %q in it", err, want)
				}
			}
		})
	}
}

// layer is flannel's first layer.
func (w *world) layer() bundle.Descriptor {
	w.t.Helper()
	m, err := w.flannel.Manifest()
	if err != nil {
		w.t.Fatal(err)
	}
	return bundle.Descriptor{Digest: digest.Digest(m.Layers[0].Digest.String()), Size: m.Layers[0].Size}
}

// swap lets the registry answer requests whose path contains both texts with other bytes.
func (w *world) swap(one string, two digest.Digest, with []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, one) || !strings.Contains(r.URL.Path, string(two)) {
			return false
		}
		_, _ = rw.Write(with)
		return true
	}
}

func TestABuildGoesOnWithWhatHasCome(t *testing.T) {
	w := newWorld(t)
	cache := t.TempDir()
	big := bytes.Repeat([]byte("runc, large enough to be cut in two. "), 20_000)
	path := "github.com/opencontainers/runc/releases/download/v1.4.3/runc." + runtime.GOARCH
	w.put(path, big)
	w.put("github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum", []byte(sumOf(big)+" *runc."+runtime.GOARCH+"\n"))
	w.cut[path] = len(big) / 2
	if _, err := w.build(w.definition(), cache); fetch.KindOf(err) != fetch.Unreachable || !strings.Contains(err.Error(), "run it again") {
		t.Fatalf("the server breaks off each time: %v", err)
	}
	// A cut layer too: the registry breaks off once, at the second of the two builds.
	layer, layerCut := w.layer(), 20<<10
	layers, err := w.flannel.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	var ranges []string
	w.mu.Lock()
	w.cut, w.asked, w.events = nil, nil, nil
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, string(layer.Digest)) {
			return false
		}
		w.mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		w.mu.Unlock()
		cut := false
		once.Do(func() { cut = true })
		if !cut {
			return false
		}
		rc, err := layers[0].Compressed()
		if err != nil {
			t.Error(err)
		}
		rw.Header().Set("ETag", `"`+string(layer.Digest)+`"`)
		rw.Header().Set("Content-Length", fmt.Sprint(layer.Size))
		_, _ = io.CopyN(rw, rc, int64(layerCut))
		rw.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(cache, "content", "sha256", layer.Digest.Encoded())); err != nil {
		t.Fatal(err)
	}
	result, err := w.build(w.definition(), cache)
	if err != nil {
		t.Fatal(err)
	}
	if want := path + fmt.Sprintf(" bytes=%d-", len(big)/2); !slices.Contains(w.asked, want) {
		t.Errorf("the file was asked for as %q, want %q", w.asked, want)
	}
	if want := fmt.Sprintf("bytes=%d-", layerCut); !slices.Equal(ranges, []string{"", want}) {
		t.Errorf("the layer was asked for with ranges %q, want one of %q", ranges, want)
	}
	resumed := slices.ContainsFunc(w.events, func(e Event) bool {
		return e.State == StateDone && e.Component == "runc."+runtime.GOARCH && e.Resumed == int64(len(big)/2) && e.Done == int64(len(big))
	})
	if !resumed {
		t.Errorf("progress does not tell what had come before: %+v", w.events)
	}
	b, err := bundle.Open(result.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	if _, err := b.Verify(t.Context(), bundle.VerifyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestSourcesStandInOneOrderWhateverCameFirst(t *testing.T) {
	sources := []bundle.Component{
		{Name: "kubernetes", Version: "v1", Type: "Release", Source: "https://dl.k8s.io/kubelet"},
		{Name: "kubernetes", Version: "v1", Type: "Release", Source: "https://dl.k8s.io/kubeadm"},
		{Name: "kubernetes", Version: "v1", Type: "Release", Source: "https://dl.k8s.io/kubectl"},
	}
	inOneOrder(sources)
	if got := path.Base(sources[0].Source) + path.Base(sources[1].Source) + path.Base(sources[2].Source); got != "kubeadmkubectlkubelet" {
		t.Errorf("they stand as %s", got)
	}
}

// contents are the names of all files and images of a definition, with the versions of what they belong to.
func contents(t *testing.T, file string) []string {
	t.Helper()
	def, err := LoadDefinition(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range def.Components {
		for _, p := range c.Programs {
			if p.File != "" {
				out = append(out, fmt.Sprintf("%s %s %s", p.File, p.Name, c.Version))
			}
		}
	}
	for _, d := range def.Downloads {
		for _, f := range d.Files {
			out = append(out, fmt.Sprintf("%s %s %s", f.Kind, f.Name, d.Version))
		}
	}
	for _, f := range def.Files {
		out = append(out, fmt.Sprintf("%s %s %s", f.Kind, f.Name, f.Version))
	}
	for _, tools := range def.Tools {
		out = append(out, fmt.Sprintf("tools %v", tools))
	}
	for _, img := range def.Images {
		out = append(out, fmt.Sprintf("image %s of %s %s", img.Name, img.Component, img.Version))
	}
	slices.Sort(out)
	return out
}

func TestBothWaysToBuildAVersionGiveTheSameFilesAndImages(t *testing.T) {
	released, err := filepath.Glob("../../../artifacts/release-*.yaml")
	if err != nil || len(released) == 0 {
		t.Fatalf("%v, %v", released, err)
	}
	for _, file := range released {
		source := filepath.Join(filepath.Dir(file), strings.Replace(filepath.Base(file), "release-", "kubernetes-", 1))
		if got, want := contents(t, file), contents(t, source); !slices.Equal(got, want) {
			t.Errorf("%s gives\n%s\nand %s\n%s", file, strings.Join(got, "\n"), source, strings.Join(want, "\n"))
		}
	}
}

func TestAWrongReleaseDefinitionNamesTheField(t *testing.T) {
	for name, c := range map[string]struct{ from, to, says string }{
		"a download without its version":      {"version: v1.4.3", `version: ""`, "downloads[2].component"},
		"a URL without TLS":                   {"url: https://dl", "url: http://dl", "downloads[0].url"},
		"a URL with a password":               {"url: https://dl", "url: https://u:p@dl", "downloads[0].url"},
		"an unknown placeholder":              {"{arch}/kubeadm\n", "{cpu}/kubeadm\n", "downloads[0].url"},
		"neither checksum nor digests":        {"  checksum: https://dl.k8s.io/{version}/bin/{os}/{arch}/kubeadm.sha256\n", "", "downloads[0].checksum"},
		"a checksum without TLS":              {"checksum: https://dl", "checksum: http://dl", "downloads[0].checksum"},
		"a digest of another platform":        {"checksum: https://dl.k8s.io/{version}/bin/{os}/{arch}/kubeadm.sha256", "digests: {linux/mips: x}", "downloads[0].digests"},
		"a file's kind that is for manifests": {"{name: kubeadm, kind: Binary}", "{name: kubeadm, kind: Manifest}", "downloads[0].files[0].kind"},
		"two files of one name":               {"{name: runc, kind: Binary}", "{name: ctr, kind: Binary}", "downloads[2].files[0].name"},
		"two files of what is one":            {"{name: runc, kind: Binary}", "{name: runc, kind: Binary}, {name: r, kind: Binary}", "downloads[2].files[0].path"},
		"a path that climbs out":              {"path: bin/ctr", "path: ../ctr", "downloads[1].files[1].path"},
		"an image without a tag":              {"registry.k8s.io/pause:3.10.2", "registry.k8s.io/pause", "images[0].name"},
		"an image without a registry":         {"registry.k8s.io/pause:3.10.2", "pause:3.10.2", "images[0].name"},
		"an image that is pulled and made":    {"3.10.2, pull: {}", "3.10.2, pull: {}, user: me", "images[0].pull"},
		"a digest that is none":               {"3.10.2, pull: {}", "3.10.2, pull: {digest: latest}", "images[0].pull.digest"},
		"keys that are not there":             {"  files: [{name: runc", "  checksumKeys: nowhere.asc\n  files: [{name: runc", "downloads[2].checksumKeys"},
		"keys that are none":                  {"  files: [{name: runc", "  checksumKeys: release.yaml\n  files: [{name: runc", "downloads[2].checksumKeys"},
		"keys for what is known by digest":    {"checksum: https://dl.k8s.io/{version}/bin/{os}/{arch}/kubeadm.sha256", "digests: {PLATFORM: x}\n  checksumKeys: x.asc", "downloads[0].checksumKeys"},
		"a mirror of another sort":            {"images:", "mirrors: [{from: registry.k8s.io, to: \"https://x\"}]\nimages:", "mirrors"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t}
			_, err := LoadDefinition(w.definition(c.from, c.to))
			field, ok := errors.AsType[*FieldError](err)
			if !ok || field.Field != c.says {
				t.Errorf("got %v, want field %s", err, c.says)
			}
		})
	}
}

// signs has a new key sign runc's checksums from now on, and returns a definition that names the public key beside it.
func (w *world) signs(by *openpgp.Entity, trusted *openpgp.Entity) (definition string) {
	w.t.Helper()
	const list = "github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum"
	runc := "runc." + runtime.GOARCH
	var text, public bytes.Buffer
	signed, err := clearsign.Encode(&text, by.PrivateKey, nil)
	if err == nil {
		_, err = fmt.Fprintf(signed, "%s  %s\n", sumOf(w.files[path.Dir(list)+"/"+runc]), runc)
		err = errors.Join(err, signed.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(list, text.Bytes())
	block, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err == nil {
		err = errors.Join(trusted.Serialize(block), block.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	definition = w.definition("  files: [{name: runc", "  checksumKeys: runc.asc\n  files: [{name: runc")
	if err := os.WriteFile(filepath.Join(filepath.Dir(definition), "runc.asc"), public.Bytes(), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return definition
}

func TestSignedChecksumsAreVerifiedWhereThereIsAKeyForThem(t *testing.T) {
	project, err := openpgp.NewEntity("runc", "", "runc@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openpgp.NewEntity("other", "", "other@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	const list = "https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum"
	provenance := func(t *testing.T, w *world, definition string) string {
		t.Helper()
		r, err := w.build(definition, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(r.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close() //nolint:errcheck // read only
		for _, referrer := range b.Referrers() {
			if referrer.Type == bundle.TypeProvenance {
				raw, err := b.Attached(referrer)
				if err != nil {
					t.Fatal(err)
				}
				return string(raw)
			}
		}
		t.Fatal("there is no provenance")
		return ""
	}
	warned := func(w *world) bool {
		return slices.ContainsFunc(w.events, func(e Event) bool {
			return e.State == StateWarning && strings.Contains(e.Detail, "the signature was not checked")
		})
	}
	t.Run("by a key of the definition", func(t *testing.T) {
		w := newWorld(t)
		said := provenance(t, w, w.signs(project, project))
		signer := fmt.Sprintf("%X", project.PrimaryKey.Fingerprint)
		if !strings.Contains(said, `"`+list+`":"OpenPGP key `+signer+`"`) || !strings.Contains(said, "runc.asc") || warned(w) {
			t.Errorf("warned %t, provenance %s", warned(w), said)
		}
	})
	t.Run("without a key, it is said that nobody checked", func(t *testing.T) {
		w := newWorld(t)
		if said := provenance(t, w, w.definition()); !strings.Contains(said, `"`+list+`":"not checked"`) || !warned(w) {
			t.Errorf("warned %t, provenance %s", warned(w), said)
		}
	})
	t.Run("by another key", func(t *testing.T) {
		w := newWorld(t)
		_, err := w.build(w.signs(other, project), t.TempDir())
		if _, ok := errors.AsType[*checksum.SignatureError](err); !ok || !strings.Contains(err.Error(), "of runc") {
			t.Errorf("got %v", err)
		}
	})
}

func TestWithoutAProgramToFetchNothingIsBegun(t *testing.T) {
	w := &world{t: t}
	_, err := Build(t.Context(), Options{Definition: w.definition(), Output: filepath.Join(t.TempDir(), "x"), CacheDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "no program to fetch") {
		t.Errorf("got %v", err)
	}
}
