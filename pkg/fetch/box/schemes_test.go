package box

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	registryclient "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewright/kubewright/pkg/fetch"
)

func TestAFileBelowARootIsCopied(t *testing.T) {
	want := content(size, 1)
	root, outside := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(root, "k.bundle"), filepath.Join(outside, "secret")} {
		check(t, os.WriteFile(path, want, 0o600))
	}
	check(t, os.Symlink("k.bundle", filepath.Join(root, "inside")))
	check(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, "outside")))
	check(t, os.Symlink(outside, filepath.Join(root, "dir-outside")))
	check(t, os.Mkdir(filepath.Join(root, "dir"), 0o700))
	check(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600))
	for title, test := range map[string]struct {
		path string
		kind fetch.Kind
		says string
	}{
		"a file":                                   {path: root + "/k.bundle"},
		"a link that stays inside":                 {path: root + "/inside"},
		"a link that leads out":                    {root + "/outside", fetch.NotAllowed, "cannot be opened below"},
		"a file behind a directory that leads out": {root + "/dir-outside/secret", fetch.NotAllowed, "cannot be opened below"},
		"a file that is not below a root":          {outside + "/secret", fetch.NotAllowed, "not below a directory"},
		"a device":                                 {"/dev/zero", fetch.NotAllowed, "not below a directory"},
		"a pipe":                                   {root + "/pipe", fetch.NotAllowed, "not a regular file"},
		"a directory":                              {root + "/dir", fetch.NotAllowed, "not a regular file"},
		"nothing":                                  {root + "/nothing", fetch.NotFound, "there is no file"},
	} {
		t.Run(title, func(t *testing.T) {
			b := newBench(t, nil)
			b.request.Source = "file://" + test.path
			b.request.Roots = []string{root}
			if test.kind != "" {
				b.fails(test.kind, test.says)
				return
			}
			b.whole(want)
			if info, err := os.Lstat(b.request.Destination); err != nil || !info.Mode().IsRegular() {
				t.Errorf("it is no file of its own: %v %v", info, err)
			}
		})
	}
}

// s3Handler serves one object to those who sign as Amazon asks.
func s3Handler(t *testing.T, keys aws.Credentials, object []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/bucket/a/k.bundle" {
			http.NotFound(w, r)
			return
		}
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		again, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "https://"+r.Host+r.URL.EscapedPath(), nil)
		check(t, err)
		for _, h := range []string{"X-Amz-Content-Sha256", "Accept-Encoding", "User-Agent", "Range", "If-Range"} {
			if v := r.Header.Get(h); v != "" {
				again.Header.Set(h, v)
			}
		}
		check(t, v4.NewSigner().SignHTTP(r.Context(), keys, again, emptyHash, "s3", "eu-1", at))
		if again.Header.Get("Authorization") != r.Header.Get("Authorization") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		file(object)(w, r)
	}
}

func TestAnObjectOfABucketIsFetched(t *testing.T) {
	want := content(size, 1)
	keys := aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "session"}
	good := fetch.Credentials{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "session"}
	for title, test := range map[string]struct {
		source      string
		credentials fetch.Credentials
		handler     http.HandlerFunc
		adjust      func(*fetch.Network)
		kind        fetch.Kind
		says        string
	}{
		"with the right keys":            {credentials: good},
		"with a wrong key":               {credentials: fetch.Credentials{AccessKeyID: "id", SecretAccessKey: "x"}, kind: fetch.Unauthorized, says: "403"},
		"without keys":                   {kind: fetch.Unauthorized, says: "403"},
		"with half a key":                {credentials: fetch.Credentials{AccessKeyID: "id"}, kind: fetch.Invalid, says: "one half"},
		"with credentials of the web":    {credentials: fetch.Credentials{Username: "u"}, kind: fetch.Invalid, says: "not for s3"},
		"with another object":            {source: "s3://bucket/b", credentials: good, kind: fetch.NotFound, says: "404"},
		"with a redirect":                {credentials: good, handler: to("https://example.com/"), kind: fetch.Refused, says: "and its region"},
		"from a server with a path":      {adjust: func(n *fetch.Network) { n.S3Endpoint += "/x" }, kind: fetch.Invalid, says: "server or region"},
		"from a server without TLS":      {adjust: func(n *fetch.Network) { n.S3Endpoint = "http://example.com" }, kind: fetch.NotAllowed, says: "use https://"},
		"from nowhere and of no region":  {adjust: func(n *fetch.Network) { n.S3Endpoint, n.S3Region = "", "" }, kind: fetch.Invalid, says: "server or region"},
		"from a server that is metadata": {adjust: func(n *fetch.Network) { n.S3Endpoint = "https://169.254.169.254" }, kind: fetch.NotAllowed, says: "of the link"},
	} {
		t.Run(title, func(t *testing.T) {
			handler := test.handler
			if handler == nil {
				handler = s3Handler(t, keys, want)
			}
			b := newBench(t, handler)
			b.request.Source = "s3://bucket/a/k.bundle"
			if test.source != "" {
				b.request.Source = test.source
			}
			b.request.Network.S3Endpoint, b.request.Network.S3Region = b.server.URL, "eu-1"
			b.request.Credentials = test.credentials
			if test.adjust != nil {
				test.adjust(&b.request.Network)
			}
			if test.kind != "" {
				b.fails(test.kind, test.says)
				return
			}
			b.whole(want)
		})
	}
}

// artifacts is a registry that asks for a password, in one of the two ways in use.
type artifacts struct {
	*bench
	address string
	realm   string
	blobs   func(w http.ResponseWriter, r *http.Request) bool
	// manifests, if set, answers in the place of the registry.
	manifests func(w http.ResponseWriter, r *http.Request)
}

func newArtifacts(t *testing.T, layers ...v1.Layer) *artifacts {
	t.Helper()
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	push := httptest.NewServer(store)
	defer push.Close()
	image := empty.Image
	for _, layer := range layers {
		var err error
		image, err = mutate.AppendLayers(image, layer)
		check(t, err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(push.URL, "http://")+"/site/bundles:1.36", name.Insecure)
	check(t, err)
	check(t, registryclient.Write(ref, mutate.MediaType(image, types.OCIManifestSchema1)))

	a := &artifacts{}
	a.bench = newBench(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			a.token(w, r)
		case a.realm == "basic" && r.Header.Get("Authorization") != basic("u", "p"):
			w.Header().Set("WWW-Authenticate", `Basic realm="site"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(a.realm, "https://") && r.Header.Get("Authorization") != "Bearer ticket":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="site"`, a.realm))
			w.WriteHeader(http.StatusUnauthorized)
		case a.manifests != nil && strings.Contains(r.URL.Path, "/manifests/"):
			a.manifests(w, r)
		case a.blobs != nil && strings.Contains(r.URL.Path, "/blobs/") && a.blobs(w, r):
		default:
			store.ServeHTTP(w, r)
		}
	})
	a.address = strings.TrimPrefix(a.server.URL, "https://")
	a.request.Source = "oci://" + a.address + "/site/bundles:1.36"
	return a
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func (a *artifacts) token(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != basic("u", "p") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, `{"token":"ticket"}`)
}

func layerOf(b []byte) v1.Layer {
	return static.NewLayer(b, "application/vnd.kubewright.bundle.v1.tar")
}

func TestAnArtifactIsFetched(t *testing.T) {
	want := content(size, 1)
	password := fetch.Credentials{Username: "u", Password: "p"}
	for title, test := range map[string]struct {
		prepare func(t *testing.T, a *artifacts)
		kind    fetch.Kind
		says    string
	}{
		"from a registry that asks for nothing": {prepare: func(*testing.T, *artifacts) {}},
		"by digest": {prepare: func(t *testing.T, a *artifacts) {
			a.request.Source = "oci://" + a.address + "/site/bundles@" + a.digest(t)
		}},
		"by tag and digest":                       {prepare: func(t *testing.T, a *artifacts) { a.request.Source += "@" + a.digest(t) }},
		"with a password":                         {prepare: func(_ *testing.T, a *artifacts) { a.realm, a.request.Credentials = "basic", password }},
		"with a token in exchange for a password": {prepare: func(_ *testing.T, a *artifacts) { a.realm, a.request.Credentials = a.server.URL+"/token", password }},
		"with a token of one's own": {prepare: func(_ *testing.T, a *artifacts) {
			a.realm, a.request.Credentials = a.server.URL+"/token", fetch.Credentials{Token: "ticket"}
		}},
		"with the wrong password": {func(_ *testing.T, a *artifacts) {
			a.realm, a.request.Credentials = a.server.URL+"/token", fetch.Credentials{Username: "u", Password: "secret"}
		}, fetch.Unauthorized, "401"},
		"without the password it wants": {func(_ *testing.T, a *artifacts) { a.realm = "basic" }, fetch.Unauthorized, "401"},
		"from a registry that wants the password sent elsewhere": {func(_ *testing.T, a *artifacts) {
			a.realm, a.request.Credentials = "https://mirror.example.com/token", password
			a.hosts["mirror.example.com:443"] = host{claims: "192.0.2.1", is: a.server.Listener.Addr().String()}
		}, fetch.NotAllowed, "tokenHost"},
		"from a registry with a host for tokens that was named": {prepare: func(_ *testing.T, a *artifacts) {
			a.realm, a.request.Credentials = "https://mirror.example.com/token", password
			a.request.Credentials.TokenHost = "mirror.example.com"
			a.hosts["mirror.example.com:443"] = host{claims: "10.0.0.1", is: a.server.Listener.Addr().String()}
		}},
		"from a registry whose tokens come from metadata": {func(_ *testing.T, a *artifacts) {
			a.realm = "https://mirror.example.com/token"
			claims("169.254.169.254")(a.bench)
		}, fetch.NotAllowed, "of the link"},
		"with a blob that is elsewhere": {prepare: func(t *testing.T, a *artifacts) {
			a.request.Credentials = password
			a.hosts["mirror.example.com:443"] = host{claims: "192.0.2.1", is: a.server.Listener.Addr().String()}
			a.blobs = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Host == a.address {
					http.Redirect(w, r, "https://mirror.example.com"+r.URL.Path+"?signature=1", http.StatusTemporaryRedirect)
					return true
				}
				if r.Header.Get("Authorization") != "" {
					t.Errorf("the password was sent to %s", r.Host)
				}
				return false
			}
		}},
		"with a blob of other bytes": {func(_ *testing.T, a *artifacts) {
			a.blobs = func(w http.ResponseWriter, r *http.Request) bool { file(content(size, 9))(w, r); return true }
		}, fetch.Mismatch, "another file"},
		"with a blob that is larger than its manifest says": {func(_ *testing.T, a *artifacts) {
			a.blobs = func(w http.ResponseWriter, _ *http.Request) bool { endless(w); return true }
		}, fetch.Mismatch, "sends more than"},
		"with another file than the expected": {func(_ *testing.T, a *artifacts) { a.request.Expect.SHA256 = sumOf(nil) }, fetch.Mismatch, "expected is"},
		"with a digest that no manifest has": {func(_ *testing.T, a *artifacts) {
			a.request.Source += "@sha256:" + strings.Repeat("0", 64)
		}, fetch.NotFound, "404"},
		"with a tag that is not there":  {func(_ *testing.T, a *artifacts) { a.request.Source += "x" }, fetch.NotFound, "404"},
		"with credentials for a bucket": {func(_ *testing.T, a *artifacts) { a.request.Credentials.AccessKeyID = "id" }, fetch.Invalid, "for s3"},
	} {
		t.Run(title, func(t *testing.T) {
			a := newArtifacts(t, layerOf(want))
			test.prepare(t, a)
			if test.kind != "" {
				a.fails(test.kind, test.says)
				return
			}
			a.whole(want)
		})
	}
}

// digest of the manifest in the registry.
func (a *artifacts) digest(t *testing.T) string {
	t.Helper()
	client := a.server.Client()
	resp, err := client.Get(a.server.URL + "/v2/site/bundles/manifests/1.36")
	check(t, err)
	defer resp.Body.Close()
	return resp.Header.Get("Docker-Content-Digest")
}

func TestOneObjectOfARegistryIsFetched(t *testing.T) {
	want := content(size, 1)
	named := func(a *artifacts, digest string) { a.request.Source = "oci://" + a.address + "/site/bundles@" + digest }
	broken := "sha256:" + sumOf(want)
	for title, test := range map[string]struct {
		object  fetch.Object
		prepare func(t *testing.T, a *artifacts) (whole []byte)
		kind    fetch.Kind
		says    string
	}{
		"a manifest by tag": {fetch.ObjectManifest, func(t *testing.T, a *artifacts) []byte { return a.manifest(t) }, "", ""},
		"a manifest by digest": {fetch.ObjectManifest, func(t *testing.T, a *artifacts) []byte {
			named(a, a.digest(t))
			return a.manifest(t)
		}, "", ""},
		"a blob": {fetch.ObjectBlob, func(_ *testing.T, a *artifacts) []byte { named(a, broken); return want }, "", ""},
		"a blob, of which the first attempt brought half": {fetch.ObjectBlob, func(_ *testing.T, a *artifacts) []byte {
			named(a, broken)
			first := true
			a.blobs = func(w http.ResponseWriter, r *http.Request) bool {
				if first {
					first = false
					cut(w, r, want, size/2)
				}
				if r.Header.Get("Range") == "" {
					t.Error("the second attempt asked for the whole")
				}
				file(want)(w, r)
				return true
			}
			return want
		}, "", ""},
		"a manifest of another digest": {fetch.ObjectManifest, func(t *testing.T, a *artifacts) []byte {
			digest := a.digest(t)
			named(a, digest)
			a.manifests = func(w http.ResponseWriter, r *http.Request) { file([]byte("{}"))(w, r) }
			return nil
		}, fetch.Mismatch, "has the sha256"},
		"a blob of another digest": {fetch.ObjectBlob, func(_ *testing.T, a *artifacts) []byte {
			named(a, broken)
			a.blobs = func(w http.ResponseWriter, r *http.Request) bool { file(content(size, 9))(w, r); return true }
			return nil
		}, fetch.Mismatch, "has the sha256"},
		"a digest that is not the expected one": {fetch.ObjectBlob, func(_ *testing.T, a *artifacts) []byte {
			named(a, broken)
			a.request.Expect.SHA256 = sumOf(nil)
			return nil
		}, fetch.Mismatch, "another sha256"},
		"a blob without a digest":      {fetch.ObjectBlob, func(*testing.T, *artifacts) []byte { return nil }, fetch.Invalid, "names no digest"},
		"an object that is none":       {"Tag", func(*testing.T, *artifacts) []byte { return nil }, fetch.Invalid, "the object"},
		"an object of what has none":   {fetch.ObjectBlob, func(_ *testing.T, a *artifacts) []byte { a.request.Source = a.server.URL + "/k"; return nil }, fetch.Invalid, "oci://"},
		"a manifest that is too large": {fetch.ObjectManifest, func(_ *testing.T, a *artifacts) []byte { a.request.Limits.MaxBytes = 10; return nil }, fetch.TooLarge, "10"},
	} {
		t.Run(title, func(t *testing.T) {
			a := newArtifacts(t, layerOf(want))
			a.request.Object = test.object
			whole := test.prepare(t, a)
			if test.kind != "" {
				a.fails(test.kind, test.says)
				return
			}
			a.whole(whole)
		})
	}
}

// manifest in the registry.
func (a *artifacts) manifest(t *testing.T) []byte {
	t.Helper()
	resp, err := a.server.Client().Get(a.server.URL + "/v2/site/bundles/manifests/1.36")
	check(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	check(t, err)
	return raw
}

func TestAnArtifactOfSeveralLayersIsRefused(t *testing.T) {
	a := newArtifacts(t, layerOf([]byte("a")), layerOf([]byte("b")))
	a.fails(fetch.Refused, "2 layers")
}

func TestSourcesThatAreNone(t *testing.T) {
	for title, source := range map[string]string{
		"a forced getter":                "git::https://example.com/k.bundle",
		"a forced getter in the path":    "https://example.com/git::x",
		"a shorthand":                    "github.com/owner/name",
		"a version control scheme":       "git://example.com/k",
		"mercurial":                      "hg://example.com/k",
		"a password":                     "https://u:secret@example.com/k",
		"a user":                         "https://u@example.com/k",
		"a checksum option":              "https://example.com/k?checksum=md5:0",
		"an archive option":              "https://example.com/k?archive=tar",
		"an empty query":                 "https://example.com/k?",
		"a fragment":                     "https://example.com/k#f",
		"an empty fragment":              "https://example.com/k#",
		"a subdirectory":                 "https://example.com/a//k",
		"a way up":                       "https://example.com/a/../k",
		"an encoded way up":              "https://example.com/%2e%2e/k",
		"an encoded slash":               "https://example.com/a%2Fk",
		"no path":                        "https://example.com",
		"no host":                        "https:///k",
		"a file on another machine":      "file://server/k",
		"a relative path":                "k.bundle",
		"a line break":                   "https://example.com/a\nb",
		"a shell's characters":           "https://example.com/$(id)",
		"a bucket with a port":           "s3://bucket:1/k",
		"keys of a bucket in the source": "s3://bucket/k?aws_access_key_id=a&aws_access_key_secret=secret",
		"nothing":                        "",
	} {
		t.Run(title, func(t *testing.T) {
			b := newBench(t, nil)
			b.request.Source = source
			b.fails(fetch.Invalid, "")
			if _, err := fetch.ParseSource(source); err == nil || strings.Contains(err.Error(), "u:secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"https://example.com/k", "file:///a/b", "s3://b/k", "oci://r:5000/a/b:1@sha256:0", "git::https://u:p@h//s?x=1#f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := fetch.ParseSource(s)
		if err != nil {
			return
		}
		if u.User != nil || u.RawQuery != "" || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "::") || strings.Contains(u.Path, "..") && filepath.Clean(u.Path) != u.Path {
			t.Errorf("%q was accepted", s)
		}
		if again, err := url.Parse(u.String()); err != nil || again.Path != u.Path || again.Host != u.Host {
			t.Errorf("%q reads differently the second time", s)
		}
	})
}
