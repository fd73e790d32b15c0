package server_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
)

// cutting serves one blob and cuts every answer off after so many bytes; it knows ranges, as the real store does.
type cutting struct {
	content string
	after   int
	ranges  []string
	sent    int
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.ranges = append(c.ranges, r.Header.Get("Range"))
	http.ServeContent(&limited{ResponseWriter: w, c: c, left: c.after}, r, "", time.Time{}, strings.NewReader(c.content))
}

// limited ends an answer without ceremony once its bytes are used up.
type limited struct {
	http.ResponseWriter
	c    *cutting
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p[:min(len(p), l.left)])
	l.left -= n
	l.c.sent += n
	if l.left == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestABlobThatWasCutOffGoesOnWhereItStopped(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 100_000)
	blob := &api.Blob{Digest: digestOf(content), Size: int64(len(content))}
	h := hosttest.New(t)
	tunnel := &cutting{content: content, after: 500_000}
	tries := 0
	var s *hosttest.Session
	for done := false; !done; {
		if tries++; tries > 10 {
			t.Fatal("it does not come to an end")
		}
		// Each try has a session of its own, as after a connection that broke.
		s = h.Connect(t, "op", tunnel)
		lease(t, s)
		_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: blobs([]*api.Blob{blob})}, nil)
		var re *api.ResourceError
		if err != nil && (!errors.As(err, &re) || re.Reason != api.ReasonFetchFailed || !re.Retryable) {
			t.Fatalf("got %#v", err)
		}
		done = err == nil
		if !done {
			s.Kill()
		}
	}
	if h.Read(staged(blob.Digest)) != content {
		t.Error("the blob is not what it should be")
	}
	if tries != 4 || tunnel.sent != len(content) {
		t.Errorf("%d bytes in %d tries (%v) were sent for a blob of %d", tunnel.sent, tries, tunnel.ranges, len(content))
	}
	if got := s.Stats().BlobBytesTunnel; got != int64(len(content)%500_000) {
		t.Errorf("the last session counts %d bytes", got)
	}
	if entries, _ := os.ReadDir(h.Path("/var/lib/kubewright/blobs/sha256")); len(entries) != 1 {
		t.Errorf("%d files are in staging", len(entries))
	}
}

func TestWhatLiesThereOfABlobIsNotTrusted(t *testing.T) {
	content := strings.Repeat("content ", 10_000)
	blob := &api.Blob{Digest: digestOf(content), Size: int64(len(content))}
	for name, c := range map[string]struct {
		part string
		asks []string
	}{
		"the right beginning":             {content[:8000], []string{"bytes=8000-"}},
		"another beginning":               {strings.Repeat("x", 8000), []string{"bytes=8000-", ""}},
		"all of it, and right":            {content, nil},
		"as long, and wrong":              {strings.Repeat("x", len(content)), []string{""}},
		"longer than the blob":            {content + "more", []string{""}},
		"zeros, as after a loss of power": {strings.Repeat("\x00", 8000), []string{"bytes=8000-", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosttest.New(t)
			h.Write(t, staged(blob.Digest)+".part", c.part)
			tunnel := &cutting{content: content, after: 1 << 30}
			s := h.Connect(t, "op", tunnel)
			lease(t, s)
			apply(t, s, blobs([]*api.Blob{blob})...)
			if h.Read(staged(blob.Digest)) != content {
				t.Error("the blob is not what it should be")
			}
			if strings.Join(tunnel.ranges, "|") != strings.Join(c.asks, "|") || len(tunnel.ranges) != len(c.asks) {
				t.Errorf("asked %q, want %q", tunnel.ranges, c.asks)
			}
		})
	}
	t.Run("a link in its place leads nowhere", func(t *testing.T) {
		h := hosttest.New(t)
		h.Write(t, "/etc/foreign", "foreign")
		if err := os.MkdirAll(h.Path("/var/lib/kubewright/blobs/sha256"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(h.Path("/etc/foreign"), h.Path(staged(blob.Digest)+".part")); err != nil {
			t.Fatal(err)
		}
		s := h.Connect(t, "op", &cutting{content: content, after: 1 << 30})
		lease(t, s)
		if _, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: blobs([]*api.Blob{blob})}, nil); err == nil || h.Read("/etc/foreign") != "foreign" {
			t.Errorf("got %v, and the file holds %.20q", err, h.Read("/etc/foreign"))
		}
	})
	t.Run("what nobody has gone on with for a week goes", func(t *testing.T) {
		h := hosttest.New(t)
		old, young := staged(digestOf("old"))+".part", staged(digestOf("young"))+".part"
		h.Write(t, old, "o")
		h.Write(t, young, "y")
		then := time.Now().Add(-8 * 24 * time.Hour)
		if err := os.Chtimes(h.Path(old), then, then); err != nil {
			t.Fatal(err)
		}
		lease(t, h.Connect(t, "op", nil))
		if h.Read(old) != "" || h.Read(young) != "y" {
			t.Errorf("old %q, young %q", h.Read(old), h.Read(young))
		}
	})
}

func TestATransferEndsWhenNothingComesAndNotBefore(t *testing.T) {
	content := strings.Repeat("drop ", 10)
	blob := &api.Blob{Digest: digestOf(content), Size: int64(len(content))}
	stop := make(chan struct{})
	defer close(stop)
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"a store that does not answer": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		}, "sent nothing for 300ms"},
		"a store that stops in the middle": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "50")
			_, _ = w.Write([]byte(content[:20]))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		}, "sent nothing for 300ms"},
		"a store that takes longer in all than the limit": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50")
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for i := range 10 {
				<-pace.C
				_, _ = w.Write([]byte(content[5*i : 5*i+5]))
				_ = http.NewResponseController(w).Flush()
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(c.serve)
			defer web.Close()
			h := hosttest.New(t)
			s := h.Connect(t, "op", nil)
			lease(t, s)
			_, err := s.Apply(t.Context(), api.ApplyRequest{
				Owner: owner, Resources: blobs([]*api.Blob{blob}), Sources: []api.Source{{URL: web.URL}}, StallMillis: 300,
			}, nil)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
