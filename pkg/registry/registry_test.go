package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/opencontainers/go-digest"
)

// fixture is a bundle with a file, an image for one platform and one for two.
type fixture struct {
	bundle *bundle.Bundle
	file   []byte
	images map[string]v1.Image // by component and platform
}

func (f *fixture) fileDigest() digest.Digest { return digest.FromBytes(f.file) }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newFixture(t testing.TB, fileSize int) *fixture {
	t.Helper()
	f := &fixture{images: map[string]v1.Image{}, file: bytes.Repeat([]byte("kubelet "), fileSize/8)}
	blobs := map[digest.Digest]bundle.Blob{}
	add := func(raw []byte) (digest.Digest, int64) {
		d, b := bundle.BytesBlob(raw)
		blobs[d] = b
		return d, b.Size
	}
	fd, fs := add(f.file)
	release := bundle.Release{
		KubernetesVersion: "v1.36.3", Platforms: []string{"linux/amd64", "linux/arm64"},
		Files: []bundle.File{{Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes", Version: "v1.36.3",
			Platform: "linux/amd64", Digest: fd, Size: fs, Mode: 0o755}, {Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes",
			Version: "v1.36.3", Platform: "linux/arm64", Digest: fd, Size: fs, Mode: 0o755}},
	}
	for _, spec := range []struct {
		name, component string
		platforms       []string
	}{
		{"registry.k8s.io/pause:3.10.2", "pause", []string{"linux/amd64"}},
		{"registry.k8s.io/coredns/coredns:v1.14.2", "coredns", []string{"linux/amd64", "linux/arm64"}},
		{"ghcr.io/pause:3.10.2", "other", []string{"linux/amd64"}},
	} {
		img := bundle.Image{Name: spec.name, Component: spec.component, Version: "v1"}
		for _, platform := range spec.platforms {
			image := must[v1.Image](t)(random.Image(3000, 2))
			image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
			cfg := must[*v1.ConfigFile](t)(image.ConfigFile())
			cfg.OS, cfg.Architecture, _ = strings.Cut(platform, "/")
			image = must[v1.Image](t)(mutate.ConfigFile(image, cfg))
			f.images[spec.component+" "+platform] = image
			ip := bundle.ImagePlatform{Platform: platform}
			manifest := must[*v1.Manifest](t)(image.Manifest())
			ip.Manifest.Digest, ip.Manifest.Size = add(must[[]byte](t)(image.RawManifest()))
			ip.Manifest.MediaType = string(manifest.MediaType)
			ip.Config.Digest, ip.Config.Size = add(must[[]byte](t)(image.RawConfigFile()))
			ip.Config.MediaType = string(manifest.Config.MediaType)
			for i, layer := range must[[]v1.Layer](t)(image.Layers()) {
				rc := must[io.ReadCloser](t)(layer.Compressed())
				d, n := add(must[[]byte](t)(io.ReadAll(rc)))
				ip.Layers = append(ip.Layers, bundle.Descriptor{MediaType: string(manifest.Layers[i].MediaType), Digest: d, Size: n})
			}
			img.Platforms = append(img.Platforms, ip)
		}
		release.Images = append(release.Images, img)
	}
	path := filepath.Join(t.TempDir(), "test.bundle")
	cfg := &bundle.Config{Name: "test", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{release}}
	if _, err := bundle.Write(t.Context(), path, cfg, blobs); err != nil {
		t.Fatal(err)
	}
	f.bundle = must[*bundle.Bundle](t)(bundle.Open(path))
	t.Cleanup(func() { f.bundle.Close() }) //nolint:errcheck // read only
	return f
}

// serve runs a real server on loopback and returns its host:port.
func serve(t testing.TB, h *Handler) string {
	t.Helper()
	s := must[*Server](t)(Listen("127.0.0.1:0", h))
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String()
}

func TestAnImageIsPulledAsFromAnyRegistry(t *testing.T) {
	f := newFixture(t, 64)
	h := must[*Handler](t)(New(Options{}, FromBundle(f.bundle)))
	addr := serve(t, h)
	tests := []struct {
		name, ref, want string
		platform        string
	}{
		{"by its full name and tag", "registry.k8s.io/pause:3.10.2", "pause linux/amd64", "linux/amd64"},
		{"by a path that only one registry has", "coredns/coredns:v1.14.2", "coredns linux/amd64", "linux/amd64"},
		{"for another platform", "registry.k8s.io/coredns/coredns:v1.14.2", "coredns linux/arm64", "linux/arm64"},
		{"by digest", "registry.k8s.io/pause@" + must[v1.Hash](t)(f.images["pause linux/amd64"].Digest()).String(), "pause linux/amd64", "linux/amd64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ref := must[name.Reference](t)(name.ParseReference(addr + "/" + tt.ref))
			p := must[*v1.Platform](t)(v1.ParsePlatform(tt.platform))
			img := must[v1.Image](t)(remote.Image(ref, remote.WithPlatform(*p)))
			if err := validate.Image(img); err != nil {
				t.Fatal(err)
			}
			got, want := must[v1.Hash](t)(img.Digest()), must[v1.Hash](t)(f.images[tt.want].Digest())
			if got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		})
	}
	if s := h.Stats(); s.Bytes < 4*6000 || s.Blobs < 8 || s.Manifests < 4 {
		t.Errorf("stats %+v do not count what was pulled", s)
	}
}

// answer is what tests look at of a response, besides its body.
type answer struct {
	StatusCode int
	Header     http.Header
}

func get(t testing.TB, method, url string, header ...string) (answer, []byte) {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, url, nil))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	return answer{resp.StatusCode, resp.Header}, must[[]byte](t)(io.ReadAll(resp.Body))
}

func TestRequests(t *testing.T) {
	f := newFixture(t, 1<<20)
	addr := "http://" + serve(t, must[*Handler](t)(New(Options{}, FromBundle(f.bundle))))
	blob := "/blobs/sha256/" + f.fileDigest().Encoded()
	none := digest.FromString("nobody has this")
	etag := fmt.Sprintf("%q", f.fileDigest().String())
	tests := []struct {
		name, method, path string
		header             []string
		status             int
		body               string // the whole body, or a part of it when it begins with ~; "file" is the file's content
		check              string // a header that must be there, as Name: value
	}{
		{"a blob by its plain path", "GET", blob, nil, 200, "file", "Docker-Content-Digest: " + f.fileDigest().String()},
		{"a blob through the protocol", "GET", "/v2/any/name/blobs/" + f.fileDigest().String(), nil, 200, "file", "Content-Type: application/octet-stream"},
		{"the size of a blob", "HEAD", blob, nil, 200, "", fmt.Sprintf("Content-Length: %d", len(f.file))},
		{"a range", "GET", blob, []string{"Range", "bytes=8-14"}, 206, "kubelet", "Content-Range: bytes 8-14/1048576"},
		{"the end of a blob", "GET", blob, []string{"Range", "bytes=-8"}, 206, "kubelet ", ""},
		{"a range beyond the blob, though the bundle goes on", "GET", blob, []string{"Range", "bytes=1048576-1048580"}, 416, "~", ""},
		{"a range that reaches beyond the blob is cut", "GET", blob, []string{"Range", "bytes=1048568-2000000"}, 206, "kubelet ", ""},
		{"a resumed download", "GET", blob, []string{"Range", "bytes=1048568-", "If-Range", etag}, 206, "kubelet ", ""},
		{"a resumed download of something else starts over", "GET", blob, []string{"Range", "bytes=1048568-", "If-Range", `"x"`}, 200, "file", ""},
		{"several ranges", "GET", blob, []string{"Range", "bytes=0-6,8-14"}, 206, "~kubelet", ""},
		{"a blob the client has", "GET", blob, []string{"If-None-Match", etag}, 304, "", ""},
		{"a blob nobody has", "GET", "/blobs/sha256/" + none.Encoded(), nil, 404, "~BLOB_UNKNOWN", ""},
		{"a digest that is none", "GET", "/blobs/sha256/xyz", nil, 400, "~DIGEST_INVALID", ""},
		{"a path that climbs", "GET", "/blobs/sha256/..%2f..%2fetc%2fpasswd", nil, 400, "~DIGEST_INVALID", ""},
		{"a digest of another kind", "GET", "/v2/x/blobs/sha512:" + strings.Repeat("a", 128), nil, 400, "~DIGEST_INVALID", ""},
		{"the base", "GET", "/v2/", nil, 200, "{}", "Docker-Distribution-Api-Version: registry/2.0"},
		{"a manifest as a mirror is asked", "HEAD", "/v2/pause/manifests/3.10.2?ns=registry.k8s.io", nil, 200, "", "Content-Type: application/vnd.oci.image.manifest.v1+json"},
		{"an index for several platforms", "GET", "/v2/coredns/coredns/manifests/v1.14.2?ns=registry.k8s.io", nil, 200, `~"architecture":"arm64"`, "Content-Type: application/vnd.oci.image.index.v1+json"},
		{"a name that two registries have", "GET", "/v2/pause/manifests/3.10.2", nil, 404, "~name the registry with ?ns=", ""},
		{"a tag that is not there", "GET", "/v2/registry.k8s.io/pause/manifests/9", nil, 404, "~MANIFEST_UNKNOWN", ""},
		{"a blob is no manifest", "GET", "/v2/registry.k8s.io/pause/manifests/" + f.fileDigest().String(), nil, 404, "~MANIFEST_UNKNOWN", ""},
		{"a repository of another registry", "GET", "/v2/pause/manifests/3.10.2?ns=docker.io", nil, 404, "~NAME_UNKNOWN", ""},
		{"the catalog", "GET", "/v2/_catalog", nil, 200, `{"repositories":["ghcr.io/pause","kubewright-bundle","registry.k8s.io/coredns/coredns","registry.k8s.io/pause"]}`, ""},
		{"the catalog by pages", "GET", "/v2/_catalog?n=1&last=kubewright-bundle", nil, 200, `{"repositories":["registry.k8s.io/coredns/coredns"]}`,
			`Link: </v2/_catalog?last=registry.k8s.io%2Fcoredns%2Fcoredns&n=1>; rel="next"`},
		{"the end of the catalog", "GET", "/v2/_catalog?last=registry.k8s.io/pause", nil, 200, `{"repositories":[]}`, ""},
		{"tags", "GET", "/v2/registry.k8s.io/pause/tags/list", nil, 200, `{"name":"registry.k8s.io/pause","tags":["3.10.2"]}`, ""},
		{"tags of nothing", "GET", "/v2/nothing/tags/list", nil, 404, "~NAME_UNKNOWN", ""},
		{"a push", "POST", "/v2/registry.k8s.io/pause/blobs/uploads/", nil, 405, "~read-only", "Allow: GET, HEAD"},
		{"a deletion", "DELETE", blob, nil, 405, "~UNSUPPORTED", ""},
		{"anything else", "GET", "/etc/passwd", nil, 404, "~NOT_FOUND", ""},
		{"anything else of the protocol", "GET", "/v2/x/signatures/y", nil, 404, "~NOT_FOUND", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := get(t, tt.method, addr+tt.path, tt.header...)
			want := tt.body
			if want == "file" {
				want = string(f.file)
			}
			if part, ok := strings.CutPrefix(want, "~"); ok && !strings.Contains(string(body), part) || !ok && string(body) != want {
				t.Errorf("body %.200q, want %.200q", body, want)
			}
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if k, v, ok := strings.Cut(tt.check, ": "); ok && resp.Header.Get(k) != v {
				t.Errorf("header %s is %q, want %q", k, resp.Header.Get(k), v)
			}
			if resp.StatusCode >= 400 && resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
				var e failure
				if err := json.Unmarshal(body, &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Message == "" {
					t.Errorf("the refusal %q is not in the protocol's form", body)
				}
			}
		})
	}
}

func TestAToken(t *testing.T) {
	f := newFixture(t, 64)
	addr := serve(t, must[*Handler](t)(New(Options{Token: "s3cret"}, FromBundle(f.bundle))))
	url := "http://" + addr + "/blobs/sha256/" + f.fileDigest().Encoded()
	tests := []struct {
		name, header string
		status       int
	}{
		{"none", "", 401},
		{"a wrong one", "Bearer s3creT", 401},
		{"an empty one", "Bearer ", 401},
		{"the right one", "Bearer s3cret", 200},
		{"as a password", "Basic eDpzM2NyZXQ=", 200},
		{"a wrong password", "Basic eDp5", 401},
		{"without a scheme", "s3cret", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, _ := get(t, "GET", url, "Authorization", tt.header)
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tt.status)
			}
		})
	}
	ref := must[name.Reference](t)(name.ParseReference(addr + "/registry.k8s.io/pause:3.10.2"))
	if _, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: "any", Password: "s3cret"})); err != nil {
		t.Error(err)
	}
	if _, err := remote.Image(ref); err == nil {
		t.Error("an image was pulled without the token")
	}
}

// fileWriter is a ResponseWriter that notes what it is told to copy from, and until when.
type fileWriter struct {
	*httptest.ResponseRecorder
	files     int
	deadlines []time.Time
}

func (w *fileWriter) SetWriteDeadline(t time.Time) error {
	w.deadlines = append(w.deadlines, t)
	return nil
}

func (w *fileWriter) ReadFrom(src io.Reader) (int64, error) {
	if l, ok := src.(*io.LimitedReader); ok {
		if _, ok := l.R.(*os.File); ok {
			w.files++
		}
	}
	return io.Copy(w.ResponseRecorder, src)
}

func TestContentGoesFromTheFileWithoutPassingThroughTheProcess(t *testing.T) {
	f := newFixture(t, 9<<20)
	h := must[*Handler](t)(New(Options{}, FromBundle(f.bundle)))
	for _, tt := range []struct {
		name, ranges string
		want         []byte
		parts        int
	}{
		{"whole", "", f.file, 3},
		{"from the middle", "bytes=5000001-", f.file[5000001:], 2},
		{"a little", "bytes=7-9", f.file[7:10], 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &fileWriter{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequest(http.MethodGet, "/blobs/sha256/"+f.fileDigest().Encoded(), nil)
			if tt.ranges != "" {
				r.Header.Set("Range", tt.ranges)
			}
			h.ServeHTTP(w, r)
			if w.files != tt.parts || !bytes.Equal(w.Body.Bytes(), tt.want) {
				t.Fatalf("%d parts from a file, want %d; %d bytes, want %d", w.files, tt.parts, w.Body.Len(), len(tt.want))
			}
			if n := len(w.deadlines); n != tt.parts+1 || w.deadlines[0].IsZero() || !w.deadlines[n-1].IsZero() {
				t.Fatalf("deadlines %v: want one for each part and none in the end", w.deadlines)
			}
		})
	}
}

func TestABundleWhoseNameLeadsElsewhereIsStillServed(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, make([]byte, 1<<22), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 1<<20)
			addr := serve(t, must[*Handler](t)(New(Options{}, FromBundle(f.bundle))))
			if err := replace(f.bundle.Path()); err != nil {
				t.Fatal(err)
			}
			if _, body := get(t, "GET", "http://"+addr+"/blobs/sha256/"+f.fileDigest().Encoded()); !bytes.Equal(body, f.file) {
				t.Fatalf("got %d other bytes", len(body))
			}
		})
	}
}

// memory is a Source without a file behind it.
type memory map[string]string

func (m memory) Blob(d digest.Digest) (*io.SectionReader, error) {
	for _, content := range m {
		if digest.FromString(content) == d {
			return io.NewSectionReader(strings.NewReader(content), 0, int64(len(content))), nil
		}
	}
	return nil, fmt.Errorf("memory: %w", ErrNotFound)
}

func (m memory) Artifacts() []Artifact { return nil }

func (m memory) Images() []Image {
	var out []Image
	for name, content := range m {
		out = append(out, Image{Name: name, Manifests: []Manifest{{Platform: "linux/amd64",
			Document: Document{MediaType: "application/x", Digest: digest.FromString(content), Size: int64(len(content))}}}})
	}
	return out
}

func TestSeveralSourcesAndTheirReplacement(t *testing.T) {
	h := must[*Handler](t)(New(Options{}, memory{"r.io/a:1": "first"}, memory{"r.io/a:1": "second", "r.io/b:1": "third"}))
	addr := "http://" + serve(t, h)
	want := func(path, body string) {
		t.Helper()
		if _, got := get(t, "GET", addr+path); !strings.Contains(string(got), body) {
			t.Errorf("%s gives %q, want %q", path, got, body)
		}
	}
	want("/v2/a/manifests/1", "first")
	want("/v2/a/manifests/"+digest.FromString("second").String(), "second")
	want("/v2/b/manifests/1", "third")
	if err := h.Replace(memory{"nameless": "x"}); err == nil {
		t.Error("an image without registry and tag was accepted")
	}
	want("/v2/b/manifests/1", "third")
	if err := h.Replace(memory{"r.io/c:1": "fourth"}); err != nil {
		t.Fatal(err)
	}
	want("/v2/b/manifests/1", "NAME_UNKNOWN")
	want("/v2/c/manifests/1", "fourth")
}

// broken is a Source that cannot be read.
type broken struct{ memory }

func (broken) Blob(digest.Digest) (*io.SectionReader, error) { return nil, errors.New("disk on fire") }

func TestASourceThatCannotBeReadIsNotTakenForAMissingBlob(t *testing.T) {
	h := must[*Handler](t)(New(Options{}, broken{}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/blobs/sha256/"+digest.FromString("x").Encoded(), nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "disk on fire") {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
}

func TestShutdownOfAServerThatNeverServedFreesItsPort(t *testing.T) {
	s := must[*Server](t)(Listen("127.0.0.1:0", http.NotFoundHandler()))
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := Listen(s.Addr().String(), http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestATagOfTwoReleasesIsTheNewestOnes(t *testing.T) {
	older, newer := newFixture(t, 64), newFixture(t, 64)
	blobs := map[digest.Digest]bundle.Blob{}
	cfg := &bundle.Config{Name: "test", Created: time.Unix(1700000000, 0)}
	for i, f := range []*fixture{older, newer} {
		release := f.bundle.Config().Releases[0]
		release.KubernetesVersion = []string{"v1.36.9", "v1.36.10"}[i]
		cfg.Releases = append(cfg.Releases, release)
		add := func(d digest.Digest) {
			section := must[*io.SectionReader](t)(f.bundle.Blob(d))
			_, blobs[d] = bundle.BytesBlob(must[[]byte](t)(io.ReadAll(section)))
		}
		for _, file := range release.Files {
			add(file.Digest)
		}
		for _, img := range release.Images {
			for _, p := range img.Platforms {
				for _, d := range append([]bundle.Descriptor{p.Manifest, p.Config}, p.Layers...) {
					add(d.Digest)
				}
			}
		}
	}
	path := filepath.Join(t.TempDir(), "two.bundle")
	must[digest.Digest](t)(bundle.Write(t.Context(), path, cfg, blobs))
	b := must[*bundle.Bundle](t)(bundle.Open(path))
	defer b.Close() //nolint:errcheck // read only
	addr := serve(t, must[*Handler](t)(New(Options{}, FromBundle(b))))
	ref := must[name.Reference](t)(name.ParseReference(addr+"/registry.k8s.io/pause:3.10.2", name.Insecure))
	got := must[*remote.Descriptor](t)(remote.Get(ref))
	if want := must[v1.Hash](t)(newer.images["pause linux/amd64"].Digest()); got.Digest != want {
		t.Errorf("the tag means %s, want the newest release's %s", got.Digest, want)
	}
}

// indexed is a source of one image that was taken from an index; manifests by platform.
type indexed struct {
	memory
	image Image
}

func (i indexed) Artifacts() []Artifact { return nil }

func (i indexed) Images() []Image { return []Image{i.image} }

func newIndexed(index string, manifests map[string]string) indexed {
	document := func(content string) Document {
		return Document{MediaType: "application/x", Digest: digest.FromString(content), Size: int64(len(content))}
	}
	out := indexed{memory: memory{}, image: Image{Name: "r.io/a:1"}}
	if index != "" {
		d := document(index)
		out.image.Index, out.memory[index] = &d, index
	}
	for platform, content := range manifests {
		out.image.Manifests = append(out.image.Manifests, Manifest{Platform: platform, Document: document(content)})
		out.memory[content] = content
	}
	return out
}

func TestATagMeansTheIndexThatAnImageWasTakenFrom(t *testing.T) {
	amd, arm := map[string]string{"linux/amd64": "manifest for amd64"}, map[string]string{"linux/arm64": "manifest for arm64"}
	for name, tt := range map[string]struct {
		sources []Source
		want    string // the body, or a part of it when it begins with ~
	}{
		"of one platform, with the index as it is":                     {[]Source{newIndexed("the index", amd)}, "the index"},
		"of two platforms from one index, with that":                   {[]Source{newIndexed("the index", amd), newIndexed("the index", arm)}, "the index"},
		"of two platforms from two indexes, with one made of both":     {[]Source{newIndexed("the index", amd), newIndexed("another", arm)}, `~"schemaVersion":2`},
		"of two platforms, one from no index, with one made of both":   {[]Source{newIndexed("the index", amd), newIndexed("", arm)}, `~"schemaVersion":2`},
		"of one platform twice, with the index of the first":           {[]Source{newIndexed("the index", amd), newIndexed("", amd)}, "the index"},
		"of one platform from no index at first, with the manifest":    {[]Source{newIndexed("", amd), newIndexed("the index", amd)}, "manifest for amd64"},
		"of two platforms, the second from an index, with one of both": {[]Source{newIndexed("", amd), newIndexed("the index", arm)}, `~"schemaVersion":2`},
	} {
		t.Run(name, func(t *testing.T) {
			addr := "http://" + serve(t, must[*Handler](t)(New(Options{}, tt.sources...)))
			resp, body := get(t, "GET", addr+"/v2/r.io/a/manifests/1")
			if part, ok := strings.CutPrefix(tt.want, "~"); resp.StatusCode != http.StatusOK || ok && !strings.Contains(string(body), part) || !ok && string(body) != tt.want {
				t.Errorf("status %d, body %q", resp.StatusCode, body)
			}
			for _, s := range tt.sources {
				for content := range s.(indexed).memory {
					if resp, body := get(t, "GET", addr+"/v2/r.io/a/manifests/"+digest.FromString(content).String()); resp.StatusCode != http.StatusOK || string(body) != content {
						t.Errorf("by digest: status %d, body %q, want %q", resp.StatusCode, body, content)
					}
				}
			}
		})
	}
}
