package registry

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	orasmemory "oras.land/oras-go/v2/content/memory"
	orasremote "oras.land/oras-go/v2/registry/remote"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// attachments are what the bundle of these tests has attached.
var attachments = map[string]string{
	bundle.TypeSBOM: `{"spdxVersion":"SPDX-2.3"}`, bundle.TypeProvenance: `{"_type":"https://in-toto.io/Statement/v1"}`, bundle.TypeSignature: `{"mediaType":"x"}`,
}

// attached serves a bundle that has something attached.
func attached(t *testing.T) (addr string, b *bundle.Bundle) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "attached.bundle")
	var add []bundle.Attachment
	for kind, text := range attachments {
		add = append(add, bundle.Attachment{Type: kind, Content: []byte(text)})
	}
	if err := bundle.Attach(t.Context(), path, newFixture(t, 4096).bundle, add...); err != nil {
		t.Fatal(err)
	}
	b = must[*bundle.Bundle](t)(bundle.Open(path))
	t.Cleanup(func() { b.Close() }) //nolint:errcheck // read only
	return serve(t, must[*Handler](t)(New(Options{}, FromBundle(b)))), b
}

// kinds are the types of descriptors, sorted.
func kinds(list []ocispec.Descriptor) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.ArtifactType)
	}
	slices.Sort(out)
	return out
}

var allKinds = []string{bundle.TypeSBOM, bundle.TypeProvenance, bundle.TypeSignature}

func TestOrasFindsWhatIsAttached(t *testing.T) {
	addr, b := attached(t)
	slices.Sort(allKinds)
	repo := must[*orasremote.Repository](t)(orasremote.NewRepository(addr + "/" + BundleRepository))
	repo.PlainHTTP = true
	root := must[ocispec.Descriptor](t)(repo.Resolve(t.Context(), "test"))
	if root.Digest != b.Digest() {
		t.Fatalf("the tag stands for %s", root.Digest)
	}
	var found []ocispec.Descriptor
	list := func(kind string) []ocispec.Descriptor {
		t.Helper()
		var out []ocispec.Descriptor
		if err := repo.Referrers(t.Context(), root, kind, func(r []ocispec.Descriptor) error { out = append(out, r...); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if found = list(""); !slices.Equal(kinds(found), allKinds) {
		t.Errorf("it finds %q", kinds(found))
	}
	if one := list(bundle.TypeSignature); len(one) != 1 || one[0].ArtifactType != bundle.TypeSignature {
		t.Errorf("signatures are %+v", one)
	}
	for _, d := range found {
		manifest := ocispec.Manifest{}
		if err := json.Unmarshal(must[[]byte](t)(content.FetchAll(t.Context(), repo, d)), &manifest); err != nil || manifest.Subject == nil || manifest.Subject.Digest != b.Digest() {
			t.Fatalf("%s: %v, %+v", d.ArtifactType, err, manifest)
		}
		if text := must[[]byte](t)(content.FetchAll(t.Context(), repo, manifest.Layers[0])); string(text) != attachments[d.ArtifactType] {
			t.Errorf("%s is %s", d.ArtifactType, text)
		}
	}
	// A copy with everything that refers to it needs all the rest of the interface too.
	to := orasmemory.New()
	if _, err := oras.ExtendedCopy(t.Context(), repo, "test", to, "", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatal(err)
	}
	if copied := must[[]ocispec.Descriptor](t)(to.Predecessors(t.Context(), root)); len(copied) != len(allKinds) {
		t.Errorf("copied were %+v", copied)
	}
}

func TestGoContainerRegistryFindsWhatIsAttached(t *testing.T) {
	addr, b := attached(t)
	slices.Sort(allKinds)
	of := must[name.Digest](t)(name.NewDigest(addr+"/"+BundleRepository+"@"+b.Digest().String(), name.Insecure))
	index := must[v1.ImageIndex](t)(remote.Referrers(of))
	var got []string
	for _, d := range must[*v1.IndexManifest](t)(index.IndexManifest()).Manifests {
		got = append(got, d.ArtifactType)
	}
	slices.Sort(got)
	if !slices.Equal(got, allKinds) {
		t.Errorf("it finds %q", got)
	}
}

func TestReferrersAreListedAsTheSpecificationSays(t *testing.T) {
	addr, b := attached(t)
	root := b.Digest().String()
	for name, c := range map[string]struct {
		path, filters string
		status, count int
	}{
		"all":                               {"/v2/kubewright-bundle/referrers/" + root, "", 200, 3},
		"of one type":                       {"/v2/kubewright-bundle/referrers/" + root + "?artifactType=application%2Fspdx%2Bjson", "artifactType", 200, 1},
		"of a type that is not there":       {"/v2/kubewright-bundle/referrers/" + root + "?artifactType=application%2Fx", "artifactType", 200, 0},
		"of an image, which has none":       {"/v2/registry.k8s.io/pause/referrers/" + digest.FromString("x").String(), "", 200, 0},
		"of an image as mirrors are asked":  {"/v2/pause/referrers/" + digest.FromString("x").String() + "?ns=registry.k8s.io", "", 200, 0},
		"of what is no digest":              {"/v2/kubewright-bundle/referrers/test", "", 400, 0},
		"in a repository that is not there": {"/v2/nowhere/referrers/" + root, "", 404, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, "http://"+addr+c.path, nil))
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body := must[[]byte](t)(io.ReadAll(resp.Body))
				resp.Body.Close() //nolint:errcheck // read to its end
				if resp.StatusCode != c.status || resp.Header.Get("OCI-Filters-Applied") != c.filters {
					t.Fatalf("%s: status %d, filters %q", method, resp.StatusCode, resp.Header.Get("OCI-Filters-Applied"))
				}
				if c.status != http.StatusOK {
					continue
				}
				if resp.Header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
					t.Errorf("%s: it is %s", method, resp.Header.Get("Content-Type"))
				}
				if method == http.MethodHead {
					continue
				}
				var index ocispec.Index
				if err := json.Unmarshal(body, &index); err != nil || len(index.Manifests) != c.count || index.SchemaVersion != 2 || !strings.Contains(string(body), `"manifests":[`) {
					t.Errorf("%v: %s", err, body)
				}
			}
		})
	}
}

func TestABundleInTwoFilesIsListedOnce(t *testing.T) {
	_, b := attached(t)
	addr := serve(t, must[*Handler](t)(New(Options{}, FromBundle(b), FromBundle(b))))
	_, body := get(t, http.MethodGet, "http://"+addr+"/v2/kubewright-bundle/referrers/"+b.Digest().String())
	if n := strings.Count(string(body), `"artifactType"`); n != len(attachments) {
		t.Errorf("%d are listed: %s", n, body)
	}
}
