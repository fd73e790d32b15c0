package box

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/kubewright/kubewright/pkg/fetch"
)

const (
	// maxManifest is how large a manifest may be; the distribution specification says 4 MiB.
	maxManifest = 4 << 20
	// dockerManifest is the media type of a manifest before OCI had its own.
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// manifestTypes are what a manifest or index may be.
const manifestTypes = ocispec.MediaTypeImageIndex + ", " + ocispec.MediaTypeImageManifest + ", " +
	"application/vnd.docker.distribution.manifest.list.v2+json, " + dockerManifest

// oci gets what the request means of a registry: a manifest, a blob, or an artifact of one layer, which is the file, as
// `oras push REGISTRY/REPOSITORY:TAG FILE` makes it.
func (j *job) oci(ctx context.Context, source *url.URL) error {
	ref, err := j.reference(source)
	if err != nil {
		return err
	}
	registry := &url.URL{Scheme: "https", Host: ref.Context().RegistryStr()}
	origins := []*url.URL{registry}
	if j.request.Network.AllowHTTP {
		origins = append(origins, &url.URL{Scheme: "http", Host: registry.Host})
	}
	if host := j.request.Credentials.TokenHost; host != "" {
		origins = append(origins, &url.URL{Scheme: "https", Host: host})
	}
	plain, err := j.newTransport(origins...)
	if err != nil {
		return err
	}
	defer plain.CloseIdleConnections()
	trusted, err := j.login(ctx, ref, plain)
	if err != nil {
		return err
	}
	from := remote{trusted: trusted, stranger: plain}
	at := registry.JoinPath("v2", ref.Context().RepositoryStr())
	switch j.request.Object {
	case fetch.ObjectManifest:
		from.url, from.accept = at.JoinPath("manifests", ref.Identifier()), manifestTypes
		return j.named(ctx, ref, from)
	case fetch.ObjectBlob:
		from.url = at.JoinPath("blobs", ref.Identifier())
		return j.named(ctx, ref, from)
	}
	from.url, from.accept = at.JoinPath("manifests", ref.Identifier()), ocispec.MediaTypeImageManifest+", "+dockerManifest
	layer, err := j.resolve(ctx, ref, from)
	if err != nil {
		return err
	}
	if want := j.request.Expect.SHA256; want != "" && want != layer.Digest.Encoded() {
		return &fetch.Error{Kind: fetch.Mismatch, Message: fmt.Sprintf("%s holds the file with the sha256 %s, expected is %s", ref, layer.Digest.Encoded(), want)}
	}
	if want := j.request.Expect.Size; want > 0 && want != layer.Size {
		return &fetch.Error{Kind: fetch.Mismatch, Message: fmt.Sprintf("%s holds a file of %d bytes, expected are %d", ref, layer.Size, want)}
	}
	// The registry says by what the file is known; that its bytes bear it out is checked when all are there.
	j.request.Expect = fetch.Expect{SHA256: layer.Digest.Encoded(), Size: layer.Size}
	from.url, from.accept = at.JoinPath("blobs", layer.Digest.String()), ""
	return j.download(ctx, from)
}

// named gets what the source names itself; a digest in the name is what its bytes must have.
func (j *job) named(ctx context.Context, ref name.Reference, from remote) error {
	d, err := digest.Parse(ref.Identifier())
	switch {
	case err != nil && j.request.Object == fetch.ObjectBlob:
		return &fetch.Error{Kind: fetch.Invalid, Message: fmt.Sprintf("%s names no digest, by which alone a blob is known", ref)}
	case err != nil:
		return j.download(ctx, from)
	case d.Algorithm() != digest.SHA256:
		return &fetch.Error{Kind: fetch.Invalid, Message: fmt.Sprintf("%s names a digest that is no sha256", ref)}
	}
	if want := j.request.Expect.SHA256; want != "" && want != d.Encoded() {
		return &fetch.Error{Kind: fetch.Mismatch, Message: fmt.Sprintf("%s is named by another sha256 than the expected %s", ref, want)}
	}
	j.request.Expect.SHA256 = d.Encoded()
	return j.download(ctx, from)
}

// reference reads the name of an artifact.
func (j *job) reference(source *url.URL) (name.Reference, error) {
	options := []name.Option{name.WithDefaultRegistry(source.Host)}
	if j.request.Network.AllowHTTP {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(source.Host+source.Path, options...)
	if err != nil || ref.Context().RegistryStr() != source.Host {
		return nil, &fetch.Error{Kind: fetch.Invalid, Message: fmt.Sprintf("%s is not oci://REGISTRY/REPOSITORY:TAG, or with @sha256:DIGEST", source)}
	}
	return ref, nil
}

// resolve asks the registry what a name stands for, and returns the layer that is the file.
func (j *job) resolve(ctx context.Context, ref name.Reference, from remote) (ocispec.Descriptor, error) {
	ctx, _, stop := j.watchIdle(ctx)
	defer stop()
	resp, err := send(ctx, from, http.Header{"Accept": {from.accept}, "User-Agent": {"kubewright-fetch"}})
	if err != nil {
		return ocispec.Descriptor{}, idleOr(ctx, err)
	}
	defer resp.Body.Close()
	if _, err := judgeAnswer(resp, mark{}, 0, true); err != nil {
		return ocispec.Descriptor{}, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest))
	if err != nil {
		return ocispec.Descriptor{}, idleOr(ctx, unreachable(from.url, err))
	}
	return fileOf(raw, ref)
}

// login does what the registry asks of who wants to pull, and returns the transport that it accepts.
func (j *job) login(ctx context.Context, ref name.Reference, plain http.RoundTripper) (http.RoundTripper, error) {
	ctx, _, stop := j.watchIdle(ctx)
	defer stop()
	c := j.request.Credentials
	if c.AccessKeyID != "" || c.SecretAccessKey != "" {
		return nil, &fetch.Error{Kind: fetch.Invalid, Message: "the credentials are for s3; give username and password, or token"}
	}
	who := authn.Anonymous
	switch {
	case c.Token != "":
		who = authn.FromConfig(authn.AuthConfig{RegistryToken: c.Token})
	case c.Username != "" || c.Password != "":
		who = &authn.Basic{Username: c.Username, Password: c.Password}
	}
	inner := guard{registry: ref.Context().RegistryStr(), tokens: c.TokenHost, plainText: j.request.Network.AllowHTTP, secret: who != authn.Anonymous, next: plain}
	trusted, err := transport.NewWithContext(ctx, ref.Context().Registry, who, inner, []string{ref.Scope(transport.PullScope)})
	if err != nil {
		return nil, idleOr(ctx, registryError(ref, err))
	}
	return trusted, nil
}

// registryError sorts an error of the library for registries.
func registryError(ref name.Reference, err error) error {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return e
	}
	kind := fetch.Unreachable
	if e, ok := errors.AsType[*transport.Error](err); ok && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden) {
		kind = fetch.Unauthorized
	}
	return &fetch.Error{Kind: kind, Message: fmt.Sprintf("ask the registry %s: %v", ref.Context().RegistryStr(), bare(err))}
}

// fileOf finds the layer that is the file, in a manifest that is checked first when the reference names its digest.
func fileOf(raw []byte, ref name.Reference) (ocispec.Descriptor, error) {
	refuse := func(kind fetch.Kind, why string) (ocispec.Descriptor, error) {
		return ocispec.Descriptor{}, &fetch.Error{Kind: kind, Message: fmt.Sprintf("%s: %s", ref, why)}
	}
	if want, err := digest.Parse(ref.Identifier()); err == nil && digest.FromBytes(raw) != want {
		return refuse(fetch.Mismatch, "the registry answers with a manifest of another digest")
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return refuse(fetch.Refused, "the registry answers with what is no manifest")
	}
	if len(m.Layers) != 1 {
		return refuse(fetch.Refused, fmt.Sprintf("the artifact has %d layers, and one is expected, which is the file: push it with `oras push %s FILE`", len(m.Layers), ref))
	}
	layer := m.Layers[0]
	if layer.Digest.Validate() != nil || layer.Digest.Algorithm() != digest.SHA256 || layer.Size <= 0 {
		return refuse(fetch.Refused, "the manifest does not say by which sha256 and size the file is known")
	}
	return layer, nil
}

// guard watches over what the library for registries sends, which is led by what registries answer.
type guard struct {
	// registry and tokens are the hosts that credentials may be sent to.
	registry, tokens string
	plainText        bool
	secret           bool
	next             http.RoundTripper
}

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	ours := slices.Contains([]string{g.registry, g.tokens}, req.URL.Host)
	refuse := func(why string) (*http.Response, error) {
		return nil, &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("the registry %s leads to %s: %s", g.registry, shown(req.URL), why)}
	}
	switch {
	case req.URL.Scheme != "https" && !g.plainText:
		return refuse("that is without TLS, which is not allowed here")
	case req.URL.Scheme != "https" && g.secret:
		return refuse("that is without TLS, so credentials are not sent there")
	case !ours && (req.Method != http.MethodGet || req.URL.User != nil || strings.TrimSpace(req.Header.Get("Authorization")) != ""):
		return refuse("credentials are not sent there; if that host is the registry's own, name it as tokenHost beside them")
	}
	return g.next.RoundTrip(req)
}
