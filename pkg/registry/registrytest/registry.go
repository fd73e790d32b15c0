// Package registrytest runs a real registry (CNCF Distribution) in a test's process, on loopback with TLS, and counts what it is asked for.
package registrytest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // the way to ask for passwords
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the place for content
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"
)

// User and Password are what a registry with a password wants.
const (
	User     = "site"
	Password = "p@ss word"
)

// Options are what a registry can be like.
type Options struct {
	// WithPassword makes it want User and Password.
	WithPassword bool
	// Intercept, if set, may answer in the registry's place, and says whether it did.
	Intercept func(w http.ResponseWriter, r *http.Request) bool
}

// Registry is a registry that runs until the test ends.
type Registry struct {
	// Host is where it is, host:port; CA the PEM of who signed its certificate.
	Host, CA string

	t        testing.TB
	roots    *x509.CertPool
	mu       sync.Mutex
	requests []string
	received int64
}

// New starts a registry.
func New(t testing.TB, o Options) *Registry {
	t.Helper()
	logrus.SetOutput(io.Discard)
	cfg := &configuration.Configuration{Version: "0.1", Storage: configuration.Storage{"inmemory": nil}}
	cfg.HTTP.Secret = "only for tests"
	cfg.Log.AccessLog.Disabled = true
	if o.WithPassword {
		hash, err := bcrypt.GenerateFromPassword([]byte(Password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "htpasswd")
		if err := os.WriteFile(file, []byte(User+":"+string(hash)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.Auth = configuration.Auth{"htpasswd": {"realm": "site", "path": file}}
	}
	app := handlers.NewApp(context.Background(), cfg)
	r := &Registry{t: t}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.note(req)
		if o.Intercept != nil && o.Intercept(w, req) {
			return
		}
		app.ServeHTTP(w, req)
	}))
	t.Cleanup(func() {
		server.Close()
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	r.Host = strings.TrimPrefix(server.URL, "https://")
	r.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	r.roots = x509.NewCertPool()
	r.roots.AddCert(server.Certificate())
	return r
}

func (r *Registry) note(req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	if req.Body != nil && strings.Contains(req.URL.Path, "/blobs/") {
		req.Body = &counted{ReadCloser: req.Body, registry: r}
	}
}

// counted counts what is read of the body of an upload.
type counted struct {
	io.ReadCloser
	registry *Registry
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.registry.mu.Lock()
	defer c.registry.mu.Unlock()
	c.registry.received += int64(n)
	return n, err
}

// Asked returns the requests since it was asked last, as METHOD PATH, that contain a text.
func (r *Registry) Asked(containing string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, one := range r.requests {
		if strings.Contains(one, containing) {
			out = append(out, one)
		}
	}
	r.requests = nil
	return out
}

// Received returns how many bytes of blobs were uploaded since it was asked last.
func (r *Registry) Received() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.received
	r.received = 0
	return n
}

// options are how the library of clients speaks to the registry.
func (r *Registry) options() []remote.Option {
	return []remote.Option{
		remote.WithContext(r.t.Context()),
		remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}),
		remote.WithAuth(&authn.Basic{Username: User, Password: Password}),
	}
}

func (r *Registry) reference(at string) name.Reference {
	r.t.Helper()
	ref, err := name.ParseReference(r.Host + "/" + at)
	if err != nil {
		r.t.Fatal(err)
	}
	return ref
}

// Push puts an image or an index there; at is a repository and tag, such as site/pause:3.
func (r *Registry) Push(at string, what remote.Taggable) {
	r.t.Helper()
	ref := r.reference(at)
	var err error
	switch it := what.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, it, r.options()...)
	case v1.Image:
		err = remote.Write(ref, it, r.options()...)
	default:
		r.t.Fatalf("%T is neither image nor index", what)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// Get returns what is there under a tag or digest.
func (r *Registry) Get(at string) (*remote.Descriptor, error) {
	return remote.Get(r.reference(at), r.options()...)
}

// Referrers returns what refers to a digest (repository@sha256:...).
func (r *Registry) Referrers(at string) (v1.ImageIndex, error) {
	r.t.Helper()
	ref, ok := r.reference(at).(name.Digest)
	if !ok {
		r.t.Fatalf("%s names no digest", at)
	}
	return remote.Referrers(ref, r.options()...)
}
