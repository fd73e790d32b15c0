package registry

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options of a Handler.
type Options struct {
	// Token that every request must carry, as `Authorization: Bearer` or as the password of Basic with any user; empty means
	// that anybody who can connect may read.
	Token string
}

// Stats counts what a Handler did.
type Stats struct {
	// Requests answered, refused ones included.
	Requests int64
	// Blobs and Manifests served, whole or in part; HEAD does not count.
	Blobs     int64
	Manifests int64
	// Bytes of content sent, without headers.
	Bytes int64
}

// Handler answers requests for blobs and images:
//
//	/blobs/sha256/<hex>                       any blob
//	/v2/                                      whether this is a registry
//	/v2/_catalog                              names of all repositories (n, last)
//	/v2/<name>/tags/list                      tags of a repository (n, last)
//	/v2/<name>/manifests/<tag or digest>      image manifest or index
//	/v2/<name>/blobs/<digest>                 any blob, whatever the name
//	/v2/<name>/referrers/<digest>             what is attached to a manifest (artifactType)
//
// A bundle itself is in the repository kubewright-bundle, with its root manifest, and what is attached to it are its referrers.
// All of this is answered
// with GET and HEAD, ranges and If-None-Match. <name> is the full name (registry.k8s.io/pause), or the path within a registry
// (pause) with ?ns=registry.k8s.io, as containerd asks its mirrors, or without it when only one registry has such a path.
type Handler struct {
	catalog atomic.Pointer[catalog]
	token   [sha256.Size]byte
	guarded bool

	requests, blobs, manifests, bytes atomic.Int64
}

// New returns a Handler for the sources; the first that has something serves it. It fails when a source has an image whose name
// cannot be served.
func New(opts Options, sources ...Source) (*Handler, error) {
	h := &Handler{guarded: opts.Token != "", token: sha256.Sum256([]byte(opts.Token))}
	return h, h.Replace(sources...)
}

// Replace serves other sources from now on. Requests in progress end with the old ones, which therefore must stay open until then.
// After an error everything is as before.
func (h *Handler) Replace(sources ...Source) error {
	c, err := newCatalog(sources)
	if err != nil {
		return fmt.Errorf("serve images: %w", err)
	}
	h.catalog.Store(c)
	return nil
}

// Stats returns the counts so far.
func (h *Handler) Stats() Stats {
	return Stats{Requests: h.requests.Load(), Blobs: h.blobs.Load(), Manifests: h.manifests.Load(), Bytes: h.bytes.Load()}
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	if !h.allowed(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="kubewright"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "the request carries no valid token")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only: its content comes from a sealed bundle")
		return
	}
	c := h.catalog.Load()
	path := r.URL.Path
	if hex, ok := strings.CutPrefix(path, "/blobs/sha256/"); ok {
		h.serveBlob(w, r, c, "sha256:"+hex)
		return
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok && path != "/v2" {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "there is nothing here; blobs are below /blobs/sha256/, images below /v2/")
		return
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.serveV2(w, r, c, rest)
}

// allowed compares digests of the tokens, so that neither content nor length shows in the time it takes.
func (h *Handler) allowed(r *http.Request) bool {
	if !h.guarded {
		return true
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, token, ok = r.BasicAuth()
	}
	sum := sha256.Sum256([]byte(token))
	return ok && subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

// serveV2 answers below /v2/. A repository's name may contain slashes, so the path is read from its end.
func (h *Handler) serveV2(w http.ResponseWriter, r *http.Request, c *catalog, rest string) {
	switch rest {
	case "":
		writeJSON(w, r, http.StatusOK, struct{}{})
		return
	case "_catalog":
		names, more := page(c.names, r)
		link(w, r, names, more)
		writeJSON(w, r, http.StatusOK, map[string][]string{"repositories": names})
		return
	}
	if name, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		h.serveTags(w, r, c, name)
		return
	}
	head, ref := cutLast(rest)
	name, what := cutLast(head)
	switch {
	case name != "" && what == "blobs":
		h.serveBlob(w, r, c, ref)
	case name != "" && what == "manifests":
		h.serveManifest(w, r, c, name, ref)
	case name != "" && what == "referrers":
		h.serveReferrers(w, r, c, name, ref)
	default:
		refuse(w, http.StatusNotFound, "NOT_FOUND", "this registry has manifests, blobs, referrers, tags/list and _catalog only")
	}
}

func cutLast(path string) (before, after string) {
	i := strings.LastIndex(path, "/")
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func (h *Handler) serveTags(w http.ResponseWriter, r *http.Request, c *catalog, name string) {
	full, ok := c.repository(name, r.URL.Query().Get("ns"))
	if !ok {
		refuseName(w, name, r)
		return
	}
	tags, more := page(c.tags(full), r)
	link(w, r, tags, more)
	writeJSON(w, r, http.StatusOK, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{name, tags})
}

func (h *Handler) serveManifest(w http.ResponseWriter, r *http.Request, c *catalog, name, ref string) {
	full, ok := c.repository(name, r.URL.Query().Get("ns"))
	if !ok {
		refuseName(w, name, r)
		return
	}
	var doc document
	if strings.Contains(ref, ":") {
		doc, ok = c.documents[digest.Digest(ref)]
	} else {
		doc, ok = c.repositories[full][ref]
	}
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", fmt.Sprintf("%s has no %.200q; the bundle was built without it", full, ref))
		return
	}
	section, err := c.open(doc)
	if err != nil {
		refuseContent(w, "MANIFEST_UNKNOWN", err)
		return
	}
	h.send(w, r, section, doc.digest, doc.mediaType, &h.manifests)
}

// serveReferrers lists what is attached to a manifest, which is nothing for one that is not here (distribution specification, listing
// referrers).
func (h *Handler) serveReferrers(w http.ResponseWriter, r *http.Request, c *catalog, name, ref string) {
	if _, ok := c.repository(name, r.URL.Query().Get("ns")); !ok {
		refuseName(w, name, r)
		return
	}
	d, err := digest.Parse(ref)
	if err != nil {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("%.200q is not a digest", ref))
		return
	}
	only := r.URL.Query().Get("artifactType")
	if only != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	writeJSON(w, r, http.StatusOK, c.referrersOf(d, only))
}

func (h *Handler) serveBlob(w http.ResponseWriter, r *http.Request, c *catalog, ref string) {
	d, err := digest.Parse(ref)
	if err != nil || d.Algorithm() != digest.SHA256 {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("%.200q is not a sha256 digest", ref))
		return
	}
	section, err := c.blob(d)
	if err != nil {
		refuseContent(w, "BLOB_UNKNOWN", err)
		return
	}
	h.send(w, r, section, d, "application/octet-stream", &h.blobs)
}

// refuseContent tells a missing blob from one that cannot be read.
func refuseContent(w http.ResponseWriter, code string, err error) {
	if errors.Is(err, ErrNotFound) {
		refuse(w, http.StatusNotFound, code, "no bundle that is served has it")
		return
	}
	refuse(w, http.StatusInternalServerError, "UNKNOWN", "the bundle could not be read: "+err.Error())
}

func refuseName(w http.ResponseWriter, name string, r *http.Request) {
	msg := fmt.Sprintf("there is no repository %.200q", name)
	if ns := r.URL.Query().Get("ns"); ns != "" {
		msg += fmt.Sprintf(" of %.200q", ns)
	} else {
		msg += ", or several registries have it: name the registry with ?ns="
	}
	refuse(w, http.StatusNotFound, "NAME_UNKNOWN", msg)
}
