package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/errdef"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/registry"
)

// defaultParallel is how many requests run at a time: enough to fill a line, and few enough for a small registry.
const defaultParallel = 6

const (
	// handshakeTimeout bounds a TLS handshake, idleTimeout how long a connection is kept that nothing is sent on.
	handshakeTimeout = 30 * time.Second
	idleTimeout      = time.Minute
)

// Options are the options of Push.
type Options struct {
	// Target is REGISTRY[/PREFIX].
	Target string
	// StripRegistry leaves the registry out of the images' names: PREFIX/pause instead of PREFIX/registry.k8s.io/pause.
	StripRegistry bool
	// ImagesOnly leaves out the bundle itself, its files and what is attached to it.
	ImagesOnly bool
	// DryRun only asks what is there.
	DryRun bool
	// PlainHTTP speaks without TLS.
	PlainHTTP bool
	// CA holds authorities as PEM to trust besides the machine's.
	CA []byte
	// Credentials returns those for a registry; it may be nil.
	Credentials auth.CredentialFunc
	// Parallel is how many requests may run at a time; 0 means 6.
	Parallel int
	// StateDir is a directory of this user that remembers where uploads go on, so that the next push goes on inside a blob. Empty means
	// that it sends such a blob anew.
	StateDir string
	// ChunkBytes is how much of a blob is sent with one request; 0 means 64 MiB. Smaller blobs are sent whole.
	ChunkBytes int64
	// Progress is called with bytes of blobs that are there and bytes in all, from several goroutines. It may be nil.
	Progress func(done, total int64)
}

// Report says what a push did or, after a dry run, would do.
type Report struct {
	// References are the names under which everything is to be had, sorted.
	References []Reference
	// Blobs and Bytes count all content, each blob once.
	Blobs int
	Bytes int64
	// Sent and SentBytes count what was not there and went over the line; Mounted what was only somewhere else in the registry.
	Sent      int
	SentBytes int64
	Mounted   int
	// ResumedBytes are those of blobs that an interrupted push had sent before.
	ResumedBytes int64
	// Manifests counts manifests and indexes that were not there.
	Manifests int
}

// Reference is a name in the registry.
type Reference struct {
	// Name is the full reference, Digest what it stands for.
	Name, Digest string
	// New says that it was not there, or stood for something else.
	New bool
	// Instead says that the registry does not take the index the image was taken from, because not all its platforms are in the bundle;
	// the name then stands for what is there.
	Instead bool
}

// Push copies a bundle's content to a registry. What is there is not sent again. Errors: *Error, the bundle's, or the context's.
func Push(ctx context.Context, b *bundle.Bundle, o Options) (*Report, error) {
	host, prefix, err := parseTarget(o.Target)
	if err != nil {
		return nil, err
	}
	content, err := contentOf(b)
	if err != nil {
		return nil, err
	}
	plan, err := planFor(content, layout{prefix: prefix, stripRegistry: o.StripRegistry, imagesOnly: o.ImagesOnly})
	if err != nil {
		return nil, err
	}
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = defaultChunk
	}
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	defer client.Client.CloseIdleConnections()
	p := &pusher{o: o, bundle: b, host: host, client: client, sessions: sessions{dir: o.StateDir}}
	if err := p.ping(ctx); err != nil {
		return nil, err
	}
	if err := p.run(ctx, plan); err != nil {
		return nil, err
	}
	p.report.SentBytes = p.sent.Load()
	slices.SortFunc(p.report.References, func(a, b Reference) int { return strings.Compare(a.Name, b.Name) })
	return &p.report, nil
}

// parseTarget reads REGISTRY[/PREFIX].
func parseTarget(target string) (host, prefix string, err error) {
	host, prefix, _ = strings.Cut(strings.TrimSuffix(target, "/"), "/")
	ref := orasregistry.Reference{Registry: host}
	if strings.Contains(target, "://") || host == "" || ref.ValidateRegistry() != nil || prefix != "" && !repositoryName.MatchString(prefix) {
		return "", "", fmt.Errorf("%q is not REGISTRY[/PREFIX], such as registry.example.com:5000/k8s", target)
	}
	return host, prefix, nil
}

// maxRoot bounds the root manifest of a bundle that is read into memory: it names each blob in some 200 bytes.
const maxRoot = 8 << 20

// contentOf reads what decides what is pushed.
func contentOf(b *bundle.Bundle) (bundled, error) {
	out := bundled{config: b.Config(), images: registry.Merge(registry.FromBundle(b).Images()), referrers: b.Referrers()}
	raw, err := b.ReadBlob(b.Digest(), maxRoot)
	if err != nil {
		return out, err
	}
	out.root = bundle.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: b.Digest(), Size: int64(len(raw))}
	return out, json.Unmarshal(raw, &out.manifest)
}

// client makes what speaks to the registry. It shares nothing with others: no credentials of this machine's user, no settings of TLS.
func (o *Options) client() (*auth.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read this machine's certificate authorities: %w", err)
	}
	if len(o.CA) > 0 && !roots.AppendCertsFromPEM(o.CA) {
		return nil, errors.New("the given certificate authorities hold no certificate: put PEM there")
	}
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: handshakeTimeout,
		MaxIdleConnsPerHost: o.Parallel, IdleConnTimeout: idleTimeout, ForceAttemptHTTP2: true,
	}
	client := &auth.Client{Client: &http.Client{Transport: transport}, Cache: auth.NewCache(), Credential: o.Credentials}
	client.SetUserAgent("kubewright")
	return client, nil
}

// pusher is one push under way.
type pusher struct {
	o      Options
	bundle *bundle.Bundle
	host   string
	client *auth.Client
	// sessions are the uploads that can be gone on with.
	sessions sessions

	sent atomic.Int64
	// done bytes of total are there.
	done, total atomic.Int64

	mu     sync.Mutex
	report Report
}

func (p *pusher) repository(name string) *remote.Repository {
	return &remote.Repository{
		Client: p.client, Reference: orasregistry.Reference{Registry: p.host, Repository: name}, PlainHTTP: p.o.PlainHTTP,
		// A registry without the referrers API keeps the list of what is attached under a tag, and the former list is of no use then. Many
		// registries allow nobody to delete it, and garbage collection takes it anyway.
		SkipReferrersGC: true,
	}
}

// ping finds out at once, and once, that the registry cannot be spoken to.
func (p *pusher) ping(ctx context.Context) error {
	r := &remote.Registry{RepositoryOptions: remote.RepositoryOptions{Client: p.client, Reference: orasregistry.Reference{Registry: p.host}, PlainHTTP: p.o.PlainHTTP}}
	return failure(p.host, "ask whether it is a registry", r.Ping(ctx))
}

// note changes the report.
func (p *pusher) note(change func(r *Report)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.report)
}

func (p *pusher) advance(n int64) {
	done := p.done.Add(n)
	if p.o.Progress != nil {
		p.o.Progress(done, p.total.Load())
	}
}

// run sends all blobs, then what names them: whoever sees a manifest can have what it names.
func (p *pusher) run(ctx context.Context, plan *plan) error {
	for _, b := range plan.blobs {
		p.report.Blobs++
		p.report.Bytes += b.Size
	}
	p.total.Store(p.report.Bytes)
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(p.o.Parallel)
	for _, b := range plan.blobs {
		group.Go(func() error { return p.blob(inner, b) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group, inner = errgroup.WithContext(ctx)
	group.SetLimit(p.o.Parallel)
	for _, r := range plan.repositories {
		group.Go(func() error { return p.documents(inner, r) })
	}
	return group.Wait()
}

// blob sees that every repository that needs a blob has it. It goes over the line once at most.
func (p *pusher) blob(ctx context.Context, b blob) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	holder := ""
	var lacking []string
	for _, name := range b.in {
		there, err := p.repository(name).Blobs().Exists(ctx, b.Descriptor)
		switch {
		case err != nil:
			return failure(p.host, fmt.Sprintf("look for blob %s in %s", b.Digest, name), err)
		case !there:
			lacking = append(lacking, name)
		case holder == "":
			holder = name
		}
	}
	if holder != "" {
		p.advance(b.Size)
	}
	for _, name := range lacking {
		var err error
		if holder == "" {
			err = p.send(ctx, name, b)
			holder = name
		} else {
			err = p.mount(ctx, name, b, holder)
		}
		if err != nil {
			return failure(p.host, fmt.Sprintf("send blob %s to %s", b.Digest, name), err)
		}
	}
	return nil
}

// send sends a blob to a repository. The registry hashes it.
func (p *pusher) send(ctx context.Context, name string, b blob) error {
	p.note(func(r *Report) { r.Sent++ })
	if p.o.DryRun {
		p.sent.Add(b.Size)
		return nil
	}
	if b.Size > p.o.ChunkBytes {
		section, err := p.bundle.Blob(b.Digest)
		if err != nil {
			return err
		}
		if taken, err := p.inChunks(ctx, name, b.Descriptor, section); taken || err != nil {
			return err
		}
	}
	content, err := p.open(b.Descriptor, true)
	if err != nil {
		return err
	}
	return p.repository(name).Blobs().Push(ctx, b.Descriptor, content)
}

// mount lets a repository have a blob that another has. A registry that does not do so is sent it again.
func (p *pusher) mount(ctx context.Context, name string, b blob, from string) error {
	p.note(func(r *Report) { r.Mounted++ })
	if p.o.DryRun {
		return nil
	}
	return p.repository(name).Mount(ctx, b.Descriptor, from, func() (io.ReadCloser, error) {
		p.note(func(r *Report) { r.Mounted--; r.Sent++ })
		content, err := p.open(b.Descriptor, false)
		return io.NopCloser(content), err
	})
}

// open is the content of a blob, which is counted as it is sent; first says that it counts for the progress.
func (p *pusher) open(d ocispec.Descriptor, first bool) (io.Reader, error) {
	var content io.Reader = bytes.NewReader(ocispec.DescriptorEmptyJSON.Data)
	if d.Digest != ocispec.DescriptorEmptyJSON.Digest {
		section, err := p.bundle.Blob(d.Digest)
		if err != nil {
			return nil, err
		}
		content = section
	}
	return readerFunc(func(b []byte) (int, error) {
		n, err := content.Read(b)
		p.sent.Add(int64(n))
		if first {
			p.advance(int64(n))
		}
		return n, err
	}), nil
}

// readerFunc is a function as an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// documents sees that a repository has its manifests, tags and referrers.
func (p *pusher) documents(ctx context.Context, r *repository) error {
	to := p.repository(r.name)
	for _, d := range r.manifests {
		if err := p.manifest(ctx, to, d); err != nil {
			return failure(p.host, fmt.Sprintf("send manifest %s to %s", d.Digest, r.name), err)
		}
	}
	for _, t := range r.tags {
		if err := p.tag(ctx, to, t); err != nil {
			return failure(p.host, fmt.Sprintf("name %s:%s", r.name, t.name), err)
		}
	}
	if len(r.referrers) == 0 {
		return nil
	}
	if err := p.referrers(ctx, to, r); err != nil {
		return failure(p.host, "attach to "+r.name, err)
	}
	return nil
}

// manifest sees that a repository has a manifest of the bundle.
func (p *pusher) manifest(ctx context.Context, to *remote.Repository, d ocispec.Descriptor) error {
	there, err := to.Manifests().Exists(ctx, d)
	if err != nil || there {
		return err
	}
	return p.put(ctx, to, document{Descriptor: d}, d.Digest.String())
}

// put sends a manifest or index under a name.
func (p *pusher) put(ctx context.Context, to *remote.Repository, d document, name string) error {
	if !p.o.DryRun {
		if d.content == nil {
			section, err := p.bundle.Blob(d.Digest)
			if err != nil {
				return err
			}
			if d.content, err = io.ReadAll(section); err != nil {
				return err
			}
		}
		if err := to.Manifests().PushReference(ctx, d.Descriptor, bytes.NewReader(d.content), name); err != nil {
			return err
		}
	}
	p.note(func(r *Report) { r.Manifests++ })
	return nil
}

// tag sees that a name stands for the first of its choices that the registry takes. One that stands for any of them is left alone: it was
// found out before which one that is.
func (p *pusher) tag(ctx context.Context, to *remote.Repository, t tag) error {
	out := Reference{Name: p.host + "/" + to.Reference.Repository + ":" + t.name}
	have, err := to.Manifests().Resolve(ctx, t.name)
	if err != nil && !errors.Is(err, errdef.ErrNotFound) {
		return err
	}
	chosen := slices.IndexFunc(t.choices, func(d document) bool { return err == nil && d.Digest == have.Digest })
	if chosen < 0 {
		out.New = true
		for chosen = range t.choices {
			err = p.put(ctx, to, t.choices[chosen], t.name)
			if err == nil || !refusedDocument(err) {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	out.Digest, out.Instead = t.choices[chosen].Digest.String(), chosen > 0
	p.note(func(r *Report) { r.References = append(r.References, out) })
	return nil
}

// referrers sees that what is attached to the bundle can be found from it. A manifest that is there is not enough: registries without an
// interface for that have a list of them, which is written after it.
func (p *pusher) referrers(ctx context.Context, to *remote.Repository, r *repository) error {
	listed := map[string]bool{}
	err := to.Referrers(ctx, r.subject, "", func(list []ocispec.Descriptor) error {
		for _, d := range list {
			listed[d.Digest.String()] = true
		}
		return nil
	})
	if err != nil && !errors.Is(err, errdef.ErrNotFound) {
		return err
	}
	for _, d := range r.referrers {
		if listed[d.Digest.String()] {
			continue
		}
		if err := p.put(ctx, to, document{Descriptor: d}, d.Digest.String()); err != nil {
			return err
		}
	}
	return nil
}
