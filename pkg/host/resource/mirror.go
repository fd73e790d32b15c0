package resource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// mirror is a read-only registry on the loopback interface for one image whose blobs are on the host. containerd
// verifies every digest itself.
type mirror struct {
	task     *Task
	image    *api.Image
	sizes    map[string]api.Descriptor // by digest
	server   *http.Server
	hostsDir string // below the host's root, as containerd sees it

	mu  sync.Mutex
	err error
}

func startMirror(t *Task, image *api.Image) (*mirror, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve image blobs to containerd: %w", err)
	}
	m := &mirror{task: t, image: image, sizes: map[string]api.Descriptor{}}
	for _, d := range append([]api.Descriptor{image.Manifest}, image.Blobs...) {
		m.sizes[d.Digest] = d
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	m.hostsDir = filepath.Join(sys.RuntimeDir, "hosts", strconv.Itoa(os.Getpid())+"-"+port)
	url := "http://127.0.0.1:" + port
	// "server" is set as well, or containerd would turn to the registry in the image's name next.
	config := fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
	dir := t.Sys.Path(m.hostsDir, "_default")
	if err = os.MkdirAll(dir, 0o755); err == nil {
		err = sys.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(config), 0o644)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("tell containerd where image blobs are: %w", err)
	}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		// Serve always ends with an error, after Close with ErrServerClosed; a pull that suffers from another fails by itself.
		_ = m.server.Serve(l)
	}()
	return m, nil
}

func (m *mirror) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		_ = m.server.Close()
	}
	_ = m.task.Sys.RemoveTree(m.hostsDir)
}

// damaged is the error of the first staged blob that was found not to be what its name says.
func (m *mirror) damaged() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// ServeHTTP answers what the distribution specification asks of a registry one pulls from.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "read only", http.StatusMethodNotAllowed)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	if path == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	digest, manifest := "", false
	if i := strings.LastIndex(path, "/manifests/"); i >= 0 {
		manifest = true
		if digest = path[i+len("/manifests/"):]; !strings.HasPrefix(digest, "sha256:") {
			digest = m.image.Manifest.Digest
		}
	} else if i := strings.LastIndex(path, "/blobs/"); i >= 0 {
		digest = path[i+len("/blobs/"):]
	}
	d, ok := m.sizes[digest]
	if !ok {
		http.NotFound(w, r)
		return
	}
	m.serve(w, r, d, manifest)
}

func (m *mirror) serve(w http.ResponseWriter, r *http.Request, d api.Descriptor, manifest bool) {
	h, err := api.DigestHex(d.Digest)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	p, ok := m.task.blobPath(h, d.Size)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if err := m.verify(p, d.Digest); err != nil {
		http.Error(w, "damaged", http.StatusNotFound)
		return
	}
	f, err := os.Open(m.task.Sys.Path(p))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = f.Close() }()
	contentType := "application/octet-stream"
	if manifest && d.MediaType != "" {
		contentType = d.MediaType
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Docker-Content-Digest", d.Digest)
	http.ServeContent(w, r, "", time.Time{}, f)
}

// verify makes a staged blob that a power cut damaged go away; after a fresh download the stamp spares the reading.
func (m *mirror) verify(p, digest string) error {
	if !strings.HasPrefix(p, stagingDir) {
		return nil
	}
	got, err := m.task.Stamps.Digest(p)
	if err != nil || got == digest {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.task.Stamps.Drop(p)
	m.err = errors.Join(m.err, m.task.damaged(p, digest, got))
	return m.err
}
