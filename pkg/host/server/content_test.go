package server_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// store serves blobs by digest.
type store struct {
	blobs map[string]string
	token string
	hits  atomic.Int64
}

func newStore(contents ...string) (*store, []*api.Blob) {
	s := &store{blobs: map[string]string{}}
	var blobs []*api.Blob
	for _, c := range contents {
		d := digestOf(c)
		s.blobs[d] = c
		blobs = append(blobs, &api.Blob{Digest: d, Size: int64(len(c))})
	}
	return s, blobs
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.hits.Add(1)
	if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	c, ok := s.blobs["sha256:"+strings.TrimPrefix(r.URL.Path, api.PathBlobs)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(c))
}

func blobs(bs []*api.Blob) []api.Resource {
	var rs []api.Resource
	for i, b := range bs {
		rs = append(rs, api.Resource{ID: fmt.Sprintf("blob-%d", i), Blob: b})
	}
	return rs
}

func staged(digest string) string {
	return "/var/lib/kubewright/blobs/sha256/" + strings.TrimPrefix(digest, "sha256:")
}

func TestBlobsComeThroughTheTunnelWhenThereIsNoOtherWay(t *testing.T) {
	h := hosttest.New(t)
	tunnel, bs := newStore("one", "two", strings.Repeat("three", 300_000))
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	var last api.Progress
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: blobs(bs), Sources: []api.Source{{URL: "http://127.0.0.1:1"}, {URL: "http://:1"}}}, func(p api.Progress) {
		if p.Total == bs[2].Size {
			last = p
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != last.Total || last.Via != "tunnel" {
		t.Errorf("the last progress is %+v", last)
	}
	if st := s.Stats(); st.BlobBytesTunnel != 1_500_006 || st.BlobBytesDirect != 0 {
		t.Errorf("stats are %+v", st)
	}
	if h.Read(staged(bs[0].Digest)) != "one" {
		t.Error("the blob is not staged")
	}
}

func TestBlobsComeDirectlyWithTheTokenAndOnlyOnce(t *testing.T) {
	h := hosttest.New(t)
	direct, bs := newStore("one", "two")
	direct.token = "s3cret"
	web := httptest.NewServer(direct)
	defer web.Close()
	tunnel, _ := newStore()
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	_, port, _ := strings.Cut(strings.TrimPrefix(web.URL, "http://"), ":")
	req := api.ApplyRequest{Owner: owner, Resources: blobs(bs), Sources: []api.Source{{URL: "http://:" + port, Token: "s3cret"}}}
	for range 2 {
		if _, err := s.Apply(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
	}
	if direct.hits.Load() != 2 || tunnel.hits.Load() != 0 || s.Stats().BlobBytesDirect != 6 {
		t.Errorf("direct %d, tunnel %d, %+v", direct.hits.Load(), tunnel.hits.Load(), s.Stats())
	}
	if strings.Contains(h.Read("/var/lib/kubewright/journal/op.jsonl"), "s3cret") {
		t.Error("the token is in the journal")
	}
}

func TestWrongBytesNeverReachTheHost(t *testing.T) {
	h := hosttest.New(t)
	tunnel, bs := newStore("right bytes")
	tunnel.blobs[bs[0].Digest] = "wrong bytes"
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: blobs(bs)}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.Reason != api.ReasonDigestMismatch || re.Digest != bs[0].Digest || !re.Retryable {
		t.Fatalf("got %#v", err)
	}
	if entries, _ := os.ReadDir(h.Path("/var/lib/kubewright/blobs/sha256")); len(entries) != 0 {
		t.Errorf("%d files are left in staging", len(entries))
	}
	tunnel.blobs[bs[0].Digest] = "right bytes and more"
	if _, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: blobs(bs)}, nil); err == nil {
		t.Error("a longer blob was taken")
	}
	tunnel.blobs[bs[0].Digest] = "right bytes"
	apply(t, s, blobs(bs)...)
}

func TestALyingSourceIsNotAskedAgainAndTheTunnelHelps(t *testing.T) {
	h := hosttest.New(t)
	liar, bs := newStore("one", "two")
	for d := range liar.blobs {
		liar.blobs[d] = "lie"
	}
	web := httptest.NewServer(liar)
	defer web.Close()
	tunnel, _ := newStore("one", "two")
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	for _, r := range blobs(bs) {
		if _, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}, Sources: []api.Source{{URL: web.URL}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if liar.hits.Load() != 1 {
		t.Errorf("the liar was asked %d times", liar.hits.Load())
	}
}

func TestAFileIsPlacedFromItsBlobAndTheBlobIsNotFetchedAgain(t *testing.T) {
	h := hosttest.New(t)
	tunnel, bs := newStore("#!program")
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	rs := append(blobs(bs),
		api.Resource{ID: "p", File: &api.File{Path: "/usr/local/bin/p", Mode: 0o755, Blob: bs[0].Digest, Size: bs[0].Size}},
		api.Resource{ID: "q", File: &api.File{Path: "/usr/local/bin/q", Mode: 0o755, Blob: bs[0].Digest, Size: bs[0].Size}})
	apply(t, s, rs...)
	if h.Read("/usr/local/bin/p") != "#!program" || h.Read("/usr/local/bin/q") != "#!program" {
		t.Error("the files are not placed")
	}
	if sys.Exists(h.Path(staged(bs[0].Digest))) {
		t.Error("a second copy is kept in staging")
	}
	s.Kill()
	again := h.Connect(t, "op", tunnel)
	lease(t, again)
	for _, v := range apply(t, again, rs...) {
		if v.Changed {
			t.Errorf("again: %+v", v)
		}
	}
	if tunnel.hits.Load() != 1 {
		t.Errorf("fetched %d times", tunnel.hits.Load())
	}
	// Another size or time is enough to look at the bytes again.
	h.Write(t, "/usr/local/bin/p", "#!PROGRAM")
	vs, err := again.Check(t.Context(), api.CheckRequest{Resources: rs})
	if err != nil || vs[1].State != api.Needed {
		t.Errorf("a changed program: %+v, %v", vs, err)
	}
}

func TestADamagedStagedBlobIsDeletedAndSaidToBeRetryable(t *testing.T) {
	h := hosttest.New(t)
	tunnel, bs := newStore("#!program")
	h.Write(t, staged(bs[0].Digest), "#!PROGRAM")
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	rs := append(blobs(bs), api.Resource{ID: "p", File: &api.File{Path: "/usr/local/bin/p", Blob: bs[0].Digest, Size: bs[0].Size}})
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: rs}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.Reason != api.ReasonDigestMismatch || !re.Retryable {
		t.Fatalf("got %#v", err)
	}
	apply(t, s, rs...)
	if h.Read("/usr/local/bin/p") != "#!program" {
		t.Error("the second attempt did not place the right bytes")
	}
}

func TestAFileWithoutItsBlobSaysSo(t *testing.T) {
	h := hosttest.New(t)
	s := h.Connect(t, "op", nil)
	lease(t, s)
	_, err := s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{{ID: "p", File: &api.File{Path: "/usr/p", Blob: digestOf("x"), Size: 1}}}}, nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || re.Reason != api.ReasonBlobMissing {
		t.Fatalf("got %#v", err)
	}
}

// testImage makes an image whose manifest names a configuration and a layer.
func testImage(name, seed string) (*api.Image, []string) {
	config, layer := "config "+seed, "layer "+seed
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q},"layers":[{"digest":%q}]}`, digestOf(config), digestOf(layer))
	d := func(s string) api.Descriptor { return api.Descriptor{Digest: digestOf(s), Size: int64(len(s))} }
	return &api.Image{Name: name, Pin: true, Manifest: d(manifest), Blobs: []api.Descriptor{d(config), d(layer)}}, []string{manifest, config, layer}
}

func TestImagesArePulledFromStagedBlobsWhichThenGo(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/run/containerd/containerd.sock", "")
	var all []string
	var images []api.Resource
	for i := range 4 {
		img, contents := testImage(fmt.Sprintf("registry.k8s.io/sub/image-%d:v1", i), fmt.Sprint(i))
		all = append(all, contents...)
		images = append(images, api.Resource{ID: img.Name, Image: img})
	}
	tunnel, bs := newStore(all...)
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	rs := append(blobs(bs), images...)
	apply(t, s, rs...)
	for _, r := range images {
		if h.System.Images()[r.Image.Name] != r.Image.Manifest.Digest {
			t.Errorf("containerd has %q for %s", h.System.Images()[r.Image.Name], r.ID)
		}
	}
	if left, _ := os.ReadDir(h.Path("/var/lib/kubewright/blobs/sha256")); len(left) != 0 {
		t.Errorf("%d staged blobs are left", len(left))
	}
	if left, _ := os.ReadDir(h.Path("/run/kubewright/hosts")); len(left) != 0 {
		t.Errorf("%d mirror configurations are left", len(left))
	}
	lists := len(h.System.Calls("ctr --namespace k8s.io --connect-timeout 5s images ls"))
	vs, err := s.Check(t.Context(), api.CheckRequest{Resources: rs})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vs {
		if v.State != api.Done {
			t.Errorf("afterwards: %+v", v)
		}
	}
	if n := len(h.System.Calls("ctr --namespace k8s.io --connect-timeout 5s images ls")) - lists; n != 1 {
		t.Errorf("checking %d images asked containerd %d times", len(images), n)
	}
}

// slowStore hands one blob out only when it is let.
type slowStore struct {
	*store
	slow         string
	asked, allow chan struct{}
}

func (s *slowStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, strings.TrimPrefix(s.slow, "sha256:")) {
		close(s.asked)
		<-s.allow
	}
	s.store.ServeHTTP(w, r)
}

func TestImagesAreUnpackedWhileAnotherRequestHasItsTurnAndNothingElseIsDone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h := hosttest.New(t)
	h.Write(t, "/run/containerd/containerd.sock", "")
	img, contents := testImage("registry.k8s.io/pause:v1", "x")
	fast, bs := newStore(append(contents, "slow")...)
	tunnel := &slowStore{store: fast, slow: digestOf("slow"), asked: make(chan struct{}), allow: make(chan struct{})}
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	apply(t, s, blobs(bs[:len(contents)])...)

	in := func(resources ...api.Resource) chan error {
		ended := make(chan error, 1)
		go func() {
			_, err := s.Apply(ctx, api.ApplyRequest{Owner: owner, Resources: resources}, nil)
			ended <- err
		}()
		return ended
	}
	turn := in(blobs(bs[len(contents):])...)
	<-tunnel.asked
	if err := <-in(api.Resource{ID: img.Name, Image: img}); err != nil {
		t.Fatalf("an image while another request has its turn: %v", err)
	}
	mixed := in(api.Resource{ID: "again", Image: img}, api.Resource{ID: "file", File: &api.File{Path: "/etc/placed", Content: []byte("x")}})
	for range 50 {
		select {
		case err := <-mixed:
			t.Fatalf("a file was placed beside another request, with %v", err)
		case <-time.After(2 * time.Millisecond):
		}
	}
	close(tunnel.allow)
	if err := errors.Join(<-turn, <-mixed); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(h.Path("/etc/placed")); err != nil {
		t.Error(err)
	}
}

func TestAnImageThatLostABlobIsTakenBackAndPulledAnew(t *testing.T) {
	h := hosttest.New(t)
	h.Write(t, "/run/containerd/containerd.sock", "")
	img, contents := testImage("registry.k8s.io/kube-proxy:v1", "x")
	tunnel, bs := newStore(contents...)
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	rs := append(blobs(bs), api.Resource{ID: img.Name, Image: img})
	apply(t, s, rs...)
	layer := h.Path(hosttest.Content(img.Blobs[1].Digest))
	if err := os.Remove(layer); err != nil {
		t.Fatal(err)
	}
	vs, err := s.Check(t.Context(), api.CheckRequest{Resources: rs})
	if err != nil {
		t.Fatal(err)
	}
	if last := vs[len(vs)-1]; last.State != api.Needed || !strings.Contains(last.Why, img.Blobs[1].Digest) {
		t.Fatalf("an image without a layer is judged %+v", last)
	}
	apply(t, s, rs...)
	if _, err := os.Stat(layer); err != nil {
		t.Errorf("the layer is not back: %v", err)
	}
	if n := len(h.System.Calls("ctr --namespace k8s.io --connect-timeout 10s images rm --sync " + img.Name)); n != 1 {
		t.Errorf("the broken image was removed %d times, want once", n)
	}
}

func TestAnImageWithoutContainerdIsNeededAndCannotBePulled(t *testing.T) {
	h := hosttest.New(t)
	img, _ := testImage("registry.k8s.io/pause:3", "p")
	r := api.Resource{ID: "i", Image: img}
	s := h.Connect(t, "op", nil)
	lease(t, s)
	vs, err := s.Check(t.Context(), api.CheckRequest{Resources: []api.Resource{r}})
	if err != nil || vs[0].State != api.Needed {
		t.Fatalf("%+v, %v", vs, err)
	}
	var re *api.ResourceError
	_, err = s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	if !errors.As(err, &re) || !re.Retryable || !strings.Contains(re.Message, "containerd") {
		t.Fatalf("got %#v", err)
	}
	h.Write(t, "/run/containerd/containerd.sock", "")
	_, err = s.Apply(t.Context(), api.ApplyRequest{Owner: owner, Resources: []api.Resource{r}}, nil)
	if !errors.As(err, &re) || re.Reason != api.ReasonBlobMissing {
		t.Fatalf("without its blobs: %#v", err)
	}
}

func TestOnlyImagesThatWeBroughtAndNobodyKeepsLoseTheirPin(t *testing.T) {
	h := hosttest.New(t)
	kept, keptBlobs := testImage("registry.example/kept:v2", "kept")
	old, oldBlobs := testImage("registry.example/kept:v1", "old")
	tunnel, bs := newStore(append(keptBlobs, oldBlobs...)...)
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	h.Write(t, "/run/containerd/containerd.sock", "")
	h.System.AddImage("foreign.example/app:v1", digestOf("foreign"))
	h.System.AddImage("sha256:"+strings.Repeat("a", 64), old.Manifest.Digest)
	apply(t, s, append(blobs(bs), api.Resource{ID: "kept", Image: kept}, api.Resource{ID: "old", Image: old})...)
	pins := api.Resource{ID: "pins", ImagePins: &api.ImagePins{Keep: []string{kept.Name}}}
	if v := check(t, s, pins); v.State != api.Needed || !strings.Contains(v.Why, old.Name) || strings.Contains(v.Why, kept.Name) {
		t.Errorf("before: %+v", v)
	}
	apply(t, s, pins)
	for name, want := range map[string]bool{
		kept.Name: true, old.Name: false, "foreign.example/app:v1": true, "sha256:" + strings.Repeat("a", 64): false,
	} {
		if h.System.Pinned(name) != want {
			t.Errorf("%s: pinned is %t", name, !want)
		}
	}
	if v := check(t, s, pins); v.State != api.Done {
		t.Errorf("afterwards: %+v", v)
	}
}

// An image of a bundle that is not used any more stays pinned while pods on the host run it, by whichever of its names they know it.
func TestImagesThatContainersRunStayPinnedWhileTheyRun(t *testing.T) {
	h := hosttest.New(t)
	old, oldBlobs := testImage("registry.example/app:v1", "old")
	idle, idleBlobs := testImage("registry.example/idle:v1", "idle")
	tunnel, bs := newStore(append(oldBlobs, idleBlobs...)...)
	s := h.Connect(t, "op", tunnel)
	lease(t, s)
	h.Write(t, "/run/containerd/containerd.sock", "")
	second := "sha256:" + strings.Repeat("a", 64)
	h.System.AddImage(second, old.Manifest.Digest)
	apply(t, s, append(blobs(bs), api.Resource{ID: "old", Image: old}, api.Resource{ID: "idle", Image: idle})...)
	pins := api.Resource{ID: "pins", ImagePins: &api.ImagePins{}}
	for _, c := range []struct{ knows, status, loose string }{
		{old.Name, "RUNNING", idle.Name},
		{second, "RUNNING", idle.Name},
		{second, "PAUSED", idle.Name},
		{second, "STOPPED", old.Name + ", " + idle.Name + ", " + second},
	} {
		h.System.RunContainer("c1", c.knows, c.status)
		if v := check(t, s, pins); v.State != api.Needed || v.Why != "pinned without need: "+c.loose {
			t.Errorf("a container knows it as %s and is %s: %+v, want %s pinned without need", c.knows, c.status, v, c.loose)
		}
	}
	h.System.RunContainer("c1", second, "RUNNING")
	apply(t, s, pins)
	if !h.System.Pinned(old.Name) || !h.System.Pinned(second) || h.System.Pinned(idle.Name) {
		t.Errorf("while a container runs: by name %t, by its second name %t, an idle one %t", h.System.Pinned(old.Name), h.System.Pinned(second), h.System.Pinned(idle.Name))
	}
	if v := check(t, s, pins); v.State != api.Done {
		t.Errorf("what runs counts as a difference: %+v", v)
	}
	h.System.RunContainer("c1", second, "STOPPED")
	apply(t, s, pins)
	if h.System.Pinned(old.Name) || h.System.Pinned(second) {
		t.Error("it stays pinned after the container has ended")
	}
}
