package push

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/registry/registrytest"
)

// chunk and cut are how much is sent with one request in these tests, and how much of the third request arrives before it breaks.
const (
	chunk = 16 << 10
	cut   = 3000
)

// faulty is a registry that can be told to misbehave.
type faulty struct {
	*registrytest.Registry
	mu sync.Mutex
	// judge may answer, or change, a request to an upload.
	judge func(w http.ResponseWriter, r *http.Request) bool
	hosts map[string]bool
}

func newFaulty(t *testing.T) *faulty {
	f := &faulty{hosts: map[string]bool{}}
	f.Registry = registrytest.New(t, registrytest.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		f.mu.Lock()
		judge := f.judge
		f.hosts[r.Host] = true
		f.mu.Unlock()
		return judge != nil && strings.Contains(r.URL.Path, "/blobs/uploads/") && judge(w, r)
	}})
	return f
}

func (f *faulty) judgedBy(judge func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judge = judge
}

// breaking is a body of which only the beginning arrives.
type breaking struct {
	io.ReadCloser
	left int
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// interruptedIn breaks the third piece of the first blob that has one, and everything after it.
func interruptedIn() func(w http.ResponseWriter, r *http.Request) bool {
	pieces, broken := map[string]int{}, false
	var mu sync.Mutex
	return func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPatch {
			if pieces[r.URL.Path]++; pieces[r.URL.Path] == 3 {
				broken = true
				r.Body = &breaking{r.Body, cut}
			}
		}
		return false
	}
}

// interrupted pushes until it breaks inside a blob.
func interrupted(t *testing.T, m *made, f *faulty) Options {
	t.Helper()
	o := options(f.Registry)
	o.Parallel, o.ChunkBytes, o.StateDir = 1, chunk, filepath.Join(t.TempDir(), "uploads")
	f.judgedBy(interruptedIn())
	if _, err := Push(t.Context(), m.Bundle, o); err == nil {
		t.Fatal("the push was not interrupted")
	}
	if files := remembered(t, o); len(files) != 1 {
		t.Fatalf("remembered are %q", files)
	}
	f.judgedBy(nil)
	f.Received()
	f.Asked("")
	return o
}

func remembered(t *testing.T, o Options) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.StateDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAnInterruptedPushGoesOnInsideABlob(t *testing.T) {
	m := newBundle(t)
	f := newFaulty(t)
	o := interrupted(t, m, f)
	report := m.push(o)
	if report.ResumedBytes != 2*chunk+cut {
		t.Errorf("it goes on after %d bytes, and %d had arrived", report.ResumedBytes, 2*chunk+cut)
	}
	if received := f.Received(); received != report.SentBytes {
		t.Errorf("%d bytes were received, the report is %+v", received, report)
	}
	m.isThere(f.Registry)
	if files := remembered(t, o); len(files) != 0 {
		t.Errorf("remembered are still %q", files)
	}
	f.Received()
	if again := m.push(o); again.Sent != 0 || f.Received() != 0 {
		t.Errorf("once more: %+v", again)
	}
}

func TestAnUploadThatCannotBeGoneOnWithIsBegunAnew(t *testing.T) {
	answer := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				w.WriteHeader(status)
				return true
			}
			return false
		}
	}
	for name, spoil := range map[string]func(t *testing.T, f *faulty, o Options){
		"the registry forgot it":                func(_ *testing.T, f *faulty, _ Options) { f.judgedBy(answer(http.StatusNotFound)) },
		"the registry has no answer to how far": func(_ *testing.T, f *faulty, _ Options) { f.judgedBy(answer(http.StatusMethodNotAllowed)) },
		"the registry has more than there is":   func(_ *testing.T, f *faulty, _ Options) { f.judgedBy(saysItHas("0-99999999")) },
		"the registry speaks of what it cannot": func(_ *testing.T, f *faulty, _ Options) { f.judgedBy(saysItHas("7-9")) },
		"what is remembered is damaged":         func(t *testing.T, _ *faulty, o Options) { rewrite(t, o, func([]byte) []byte { return []byte("{") }) },
		"what is remembered is of another blob": func(t *testing.T, _ *faulty, o Options) { rewrite(t, o, replaced(`"sha256:`, `"sha256:0`)) },
		"what is remembered is on another machine": func(t *testing.T, f *faulty, o Options) {
			rewrite(t, o, replaced(`"url":"https://`+f.Host, `"url":"https://evil.invalid`))
		},
		"what is remembered is without TLS": func(t *testing.T, _ *faulty, o Options) { rewrite(t, o, replaced(`"url":"https:`, `"url":"http:`)) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newBundle(t)
			f := newFaulty(t)
			o := interrupted(t, m, f)
			spoil(t, f, o)
			report := m.push(o)
			if report.ResumedBytes != 0 || f.Received() != report.SentBytes {
				t.Errorf("the report is %+v", report)
			}
			m.isThere(f.Registry)
			if files := remembered(t, o); len(files) != 0 {
				t.Errorf("remembered are still %q", files)
			}
			if len(f.hosts) != 1 {
				t.Errorf("it spoke to %v", f.hosts)
			}
		})
	}
}

// saysItHas answers how far an upload is with a range.
func saysItHas(text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		w.Header().Set("Range", text)
		w.Header().Set("Location", r.URL.String())
		w.WriteHeader(http.StatusNoContent)
		return true
	}
}

func rewrite(t *testing.T, o Options, change func([]byte) []byte) {
	t.Helper()
	for _, file := range remembered(t, o) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, change(raw), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func replaced(from, to string) func([]byte) []byte {
	return func(raw []byte) []byte { return bytes.Replace(raw, []byte(from), []byte(to), 1) }
}

// Whatever a registry kept of an upload, the blob that comes out is the right one.
func TestAnUploadThatWasSpoiledIsBegunAnew(t *testing.T) {
	m := newBundle(t)
	f := newFaulty(t)
	breaks := interruptedIn()
	o := options(f.Registry)
	o.Parallel, o.ChunkBytes, o.StateDir = 1, chunk, t.TempDir()
	f.judgedBy(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			r.Body = io.NopCloser(bytes.NewReader(make([]byte, r.ContentLength)))
		}
		return breaks(w, r)
	})
	if _, err := Push(t.Context(), m.Bundle, o); err == nil {
		t.Fatal("the push was not interrupted")
	}
	f.judgedBy(nil)
	m.push(o)
	m.isThere(f.Registry)
}

func TestARegistryThatTakesNoPiecesGetsBlobsWhole(t *testing.T) {
	for name, judge := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"it refuses them": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return true
			}
			return false
		},
		"it takes them for all there is": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", r.URL.String())
			w.WriteHeader(http.StatusAccepted)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newBundle(t)
			f := newFaulty(t)
			f.judgedBy(judge)
			o := options(f.Registry)
			o.ChunkBytes, o.StateDir = chunk, t.TempDir()
			m.push(o)
			m.isThere(f.Registry)
			if files := remembered(t, o); len(files) != 0 {
				t.Errorf("remembered are %q", files)
			}
		})
	}
}

func TestPiecesAreAsLargeAsTheRegistryWants(t *testing.T) {
	m := newBundle(t)
	f := newFaulty(t)
	var mu sync.Mutex
	smallest := int64(1 << 40)
	f.judgedBy(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("OCI-Chunk-Min-Length", "20000")
		if at := r.Header.Get("Content-Range"); strings.HasPrefix(at, "0-") {
			smallest = min(smallest, r.ContentLength)
		}
		return false
	})
	o := options(f.Registry)
	o.ChunkBytes = 8 << 10
	m.push(o)
	m.isThere(f.Registry)
	if smallest < 20000 {
		t.Errorf("a first piece has %d bytes", smallest)
	}
}

func TestAnUploadIsHeldByOneProcess(t *testing.T) {
	s := sessions{dir: t.TempDir()}
	to := location{Registry: "r.test", Repository: "a", Digest: digest.FromString("x")}
	at := &url.URL{Scheme: "https", Host: "r.test", Path: "/v2/a/blobs/uploads/1"}
	first, known, err := s.open(to)
	if err != nil || known != nil {
		t.Fatalf("%v, %v", known, err)
	}
	if err := first.keep(to, at); err != nil {
		t.Fatal(err)
	}
	second, known, err := s.open(to)
	if err != nil || known != nil {
		t.Fatalf("while it is held: %v, %v", known, err)
	}
	if err := second.keep(to, &url.URL{Scheme: "https", Host: "r.test", Path: "/other"}); err != nil {
		t.Fatal(err)
	}
	if err := second.forget(); err != nil {
		t.Fatal(err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	third, known, err := s.open(to)
	if err != nil || known == nil || known.String() != at.String() {
		t.Errorf("afterwards: %v, %v", known, err)
	}
	if err := third.close(); err != nil {
		t.Error(err)
	}
}
