package controllers_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/fetch"
	"github.com/kubewright/kubewright/pkg/fetch/box"
)

// fetchArgument lets the test program stand in for kubewright-fetch.
const fetchArgument = "serve-one-fetch"

func serveFetch() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return box.Serve(ctx, os.Stdin, os.Stdout)
}

// site is a world with a store, and a server that asks for a password.
type site struct {
	*world
	store  string
	server *httptest.Server
	// answer serves one request; requests counts them and ranges keeps what they asked for.
	answer   atomic.Pointer[http.HandlerFunc]
	requests atomic.Int32
	mu       sync.Mutex
	ranges   []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{world: newWorld(t), store: t.TempDir()}
	s.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.mu.Lock()
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		s.mu.Unlock()
		if user, password, _ := r.BasicAuth(); user != "reader" || password != "hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.server.Close)
	s.create(&corev1.Secret{ObjectMeta: s.meta("mirror"), Type: v1alpha1.CredentialsMark, Data: map[string][]byte{"username": []byte("reader"), "password": []byte("hunter2")}})
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	s.create(&corev1.ConfigMap{ObjectMeta: s.meta("authorities"), Data: map[string]string{"ca.crt": string(authority)}})
	s.options.Sources = offlinemanifest.Sources{
		StoreDir: s.store, Namespace: s.namespace, AllowLoopback: true,
		Fetcher:          &fetch.Program{Path: os.Args[0], Args: []string{fetchArgument}},
		ProgressInterval: glance, RetryDelay: glance, MaxRetryDelay: glance, GarbageDelay: glance,
	}
	return s
}

// serves has the server answer so from now on.
func (s *site) serves(answer http.HandlerFunc) { s.answer.Store(&answer) }

// bytesOf serves bytes as a good server does.
func bytesOf(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+digest.FromBytes(content).Encoded()+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// halfOf serves one half and then nothing until the client is gone.
func halfOf(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+digest.FromBytes(content).Encoded()+`"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// made is a bundle's content and digest, with its file taken away.
func (s *site) made(release string) ([]byte, digest.Digest) {
	s.t.Helper()
	path, root := s.writeBundle(release)
	content, err := os.ReadFile(path)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(os.Remove(path)).To(gomega.Succeed())
	return content, root
}

// remote makes an OfflineManifest of a bundle on the server. It goes with the test.
func (s *site) remote(name string, root digest.Digest) *v1alpha1.OfflineManifest {
	s.t.Helper()
	m := &v1alpha1.OfflineManifest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.OfflineManifestSpec{
			Source: s.server.URL + "/k.bundle", Digest: root.String(),
			CredentialsRef: &v1alpha1.LocalReference{Name: "mirror"}, CABundleRef: &v1alpha1.LocalReference{Name: "authorities"},
		},
	}
	s.create(m)
	s.t.Cleanup(func() {
		other := *s.world
		other.manifest = name
		other.dropManifest()
	})
	return m
}

// inStore lists the files of the store, relative to it.
func (s *site) inStore() []string {
	var names []string
	_ = filepath.WalkDir(s.store, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, s.store+"/"))
		}
		return nil
	})
	return names
}

func storedName(root digest.Digest) string { return "sha256-" + root.Encoded() + ".bundle" }

// touch has an OfflineManifest looked at again.
func (s *site) touch(m *v1alpha1.OfflineManifest) {
	s.t.Helper()
	s.edit(m, func() { m.Labels = map[string]string{"touched": fmt.Sprint(time.Now().UnixNano())} })
}

func TestABundleIsFetchedVerifiedAndKept(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	s.serves(bytesOf(content))
	s.start(newRunner(nil))
	m := s.remote(s.manifest, root)
	s.ready(m)
	for _, kind := range []string{v1alpha1.FetchedCondition, v1alpha1.VerifiedCondition, v1alpha1.AvailableCondition} {
		s.Expect(capi.IsTrue(m, kind)).To(gomega.BeTrue(), kind)
	}
	s.Expect(m.Status.Releases).To(gomega.HaveLen(1))
	s.Expect(m.Status.Fetch.DoneBytes).To(gomega.Equal(int64(len(content))))
	s.Expect(m.Status.Fetch.CompletedAt).NotTo(gomega.BeNil())
	s.Expect(s.inStore()).To(gomega.Equal([]string{storedName(root)}))
	s.Expect(s.requests.Load()).To(gomega.Equal(int32(1)))
	raw := fmt.Sprint(m)
	s.Expect(raw).NotTo(gomega.ContainSubstring("hunter2"))
}

func TestAnAttemptThatFailsSaysWhyAndIsRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		change  func(m *v1alpha1.OfflineManifest)
		reason  string
		stalled bool
	}{
		"the server is down":        {answer: failing(503), reason: "Unreachable"},
		"there is no such file":     {answer: failing(404), reason: "NotFound", stalled: true},
		"the password is not right": {change: func(m *v1alpha1.OfflineManifest) { m.Spec.CredentialsRef = nil }, reason: "Unauthorized", stalled: true},
		"there is no such Secret": {change: func(m *v1alpha1.OfflineManifest) { m.Spec.CredentialsRef.Name = "none" },
			reason: offlinemanifest.ReasonReferenceNotFound, stalled: true},
		"the ConfigMap holds no authority": {change: func(m *v1alpha1.OfflineManifest) { m.Spec.CABundleRef.Name = "kube-root-ca.crt" },
			reason: offlinemanifest.ReasonReferenceNotFound, stalled: true},
		"nobody vouches for the server": {change: func(m *v1alpha1.OfflineManifest) { m.Spec.CABundleRef = nil }, reason: "Refused", stalled: true},
		"the source is without TLS": {change: func(m *v1alpha1.OfflineManifest) {
			m.Spec.Source = strings.Replace(m.Spec.Source, "https", "http", 1)
		}, reason: offlinemanifest.ReasonSourceNotAllowed, stalled: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			content, root := s.made(version)
			s.serves(bytesOf(content))
			if test.answer != nil {
				s.serves(test.answer)
			}
			m := s.remote(s.manifest, root)
			good := m.Spec
			if test.change != nil {
				s.edit(m, func() { m.Spec = *good.DeepCopy(); test.change(m) })
			}
			s.start(newRunner(nil))
			s.Eventually(func(g gomega.Gomega) {
				g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m)).To(gomega.Succeed())
				g.Expect(m.Status.Fetch).NotTo(gomega.BeNil())
				g.Expect(m.Status.Fetch.FailedAttempts).To(gomega.BeNumerically(">", 2))
			}).Should(gomega.Succeed())
			fetched := capi.Condition(m, v1alpha1.FetchedCondition)
			s.Expect(fetched.Status).To(gomega.Equal(metav1.ConditionFalse))
			s.Eventually(func() string {
				s.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m)).To(gomega.Succeed())
				return capi.Condition(m, v1alpha1.FetchedCondition).Reason
			}).Should(gomega.Equal(test.reason))
			s.Expect(capi.IsTrue(m, v1alpha1.AvailableCondition)).To(gomega.BeFalse())
			s.serves(bytesOf(content))
			s.edit(m, func() { m.Spec = good })
			s.ready(m)
			s.Expect(m.Status.Fetch.FailedAttempts).To(gomega.BeZero())
			s.Expect(m.Status.Fetch.NextAttemptAt).To(gomega.BeNil())
		})
	}
}

func failing(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// Another or a damaged bundle is thrown away at once, and asked for again only when the spec says something else.
func TestAnotherBundleIsNotFetchedTwice(t *testing.T) {
	for name, test := range map[string]struct {
		spoil  func([]byte) []byte
		reason string
	}{
		"a sound bundle of another digest": {nil, offlinemanifest.ReasonDigestMismatch},
		"no bundle at all":                 {func([]byte) []byte { return []byte("<html>sign in</html>") }, offlinemanifest.ReasonCorrupt},
		"one byte is another": {func(b []byte) []byte {
			b = bytes.Clone(b)
			b[indexOf(b, "helper of ")] ^= 1
			return b
		}, offlinemanifest.ReasonCorrupt},
		"the end is missing": {func(b []byte) []byte { return b[:len(b)-512] }, offlinemanifest.ReasonCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			good, root := s.made(version)
			served, _ := s.made("v1.35.1")
			if test.spoil != nil {
				served = test.spoil(good)
			}
			s.serves(bytesOf(served))
			stop := s.start(newRunner(nil))
			m := s.remote(s.manifest, root)
			s.stalled(m, test.reason)
			s.Expect(capi.IsTrue(m, v1alpha1.FetchedCondition)).To(gomega.BeFalse())
			s.Expect(s.inStore()).To(gomega.BeEmpty())
			asked := s.requests.Load()
			s.serves(bytesOf(good))
			s.touch(m)
			stop()
			s.start(newRunner(nil)) // what a new process finds in the status is enough
			s.touch(m)
			s.stalled(m, test.reason)
			s.Expect(s.requests.Load()).To(gomega.Equal(asked), "it was asked for again")
			s.edit(m, func() { m.Spec.Source = s.server.URL + "/right.bundle" })
			s.ready(m)
		})
	}
}

// faulty fails with an error until it is cleared.
type faulty struct {
	offlinemanifest.Fetcher
	err atomic.Pointer[fetch.Error]
}

func (f *faulty) Fetch(ctx context.Context, r fetch.Request, progress func(fetch.Progress)) (fetch.Result, error) {
	if err := f.err.Load(); err != nil {
		return fetch.Result{}, err
	}
	return f.Fetcher.Fetch(ctx, r, progress)
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	s.serves(bytesOf(content))
	f := &faulty{Fetcher: s.options.Sources.Fetcher}
	f.err.Store(&fetch.Error{Kind: fetch.DiskFull, Message: "make room"})
	s.options.Sources.Fetcher = f
	s.start(newRunner(nil))
	m := s.remote(s.manifest, root)
	s.Expect(s.stalled(m, "DiskFull")).To(gomega.ContainSubstring("make room"))
	f.err.Store(nil)
	s.ready(m)
}

// A store that cannot take a bundle in says nothing about the bundle: it is neither thrown away nor given up.
func TestABundleThatCannotBePutInItsPlaceIsTriedAgain(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	s.serves(bytesOf(content))
	inTheWay := filepath.Join(s.store, storedName(root))
	s.Expect(os.Mkdir(inTheWay, 0o700)).To(gomega.Succeed())
	s.start(newRunner(nil))
	m := s.remote(s.manifest, root)
	s.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m)).To(gomega.Succeed())
		c := capi.Condition(m, v1alpha1.VerifiedCondition)
		g.Expect(c).NotTo(gomega.BeNil())
		g.Expect(c.Status).To(gomega.Equal(metav1.ConditionUnknown))
		g.Expect(c.Reason).To(gomega.Equal(offlinemanifest.ReasonUnreadable))
		g.Expect(capi.IsTrue(m, v1alpha1.StalledCondition)).To(gomega.BeFalse())
	}).Should(gomega.Succeed())
	s.Expect(os.Remove(inTheWay)).To(gomega.Succeed())
	s.ready(m)
	s.Expect(s.requests.Load()).To(gomega.Equal(int32(1)), "it was fetched again")
}

func TestARestartGoesOnWithTheFetch(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	s.serves(halfOf(content))
	stop := s.start(newRunner(nil))
	m := s.remote(s.manifest, root)
	half := int64(len(content) / 2)
	s.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m)).To(gomega.Succeed())
		g.Expect(m.Status.Fetch).NotTo(gomega.BeNil())
		g.Expect(m.Status.Fetch.DoneBytes).To(gomega.Equal(half))
		g.Expect(m.Status.Fetch.TotalBytes).To(gomega.Equal(int64(len(content))))
		g.Expect(capi.Condition(m, v1alpha1.FetchedCondition).Reason).To(gomega.Equal(offlinemanifest.ReasonFetching))
		g.Expect(capi.IsTrue(m, v1alpha1.ReconcilingCondition)).To(gomega.BeTrue())
	}).Should(gomega.Succeed())
	stop()
	s.serves(bytesOf(content))
	s.start(newRunner(nil))
	s.ready(m)
	s.Expect(s.ranges).To(gomega.Equal([]string{"", fmt.Sprintf("bytes=%d-", half)}))
}

func TestOneBundleIsFetchedOnceForAll(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	hold := make(chan struct{})
	s.serves(func(w http.ResponseWriter, r *http.Request) {
		<-hold
		bytesOf(content)(w, r)
	})
	s.start(newRunner(nil))
	first := s.remote(s.manifest, root)
	s.Eventually(s.requests.Load).Should(gomega.Equal(int32(1)))
	second := s.remote(s.manifest+"-too", root)
	s.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(second), second)).To(gomega.Succeed())
		c := capi.Condition(second, v1alpha1.FetchedCondition)
		g.Expect(c).NotTo(gomega.BeNil())
		g.Expect(c.Message).To(gomega.ContainSubstring(first.Name))
	}).Should(gomega.Succeed())
	close(hold)
	s.ready(first)
	s.ready(second)
	s.Expect(s.requests.Load()).To(gomega.Equal(int32(1)))

	// The file stays for the second when the first goes.
	s.delete(first)
	s.gone(first)
	s.Expect(s.inStore()).To(gomega.Equal([]string{storedName(root)}))
	s.delete(second)
	s.gone(second)
	s.Expect(s.inStore()).To(gomega.BeEmpty())
}

func TestASpoiledFileOfTheStoreIsFetchedAgain(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	s.serves(bytesOf(content))
	stop := s.start(newRunner(nil))
	m := s.remote(s.manifest, root)
	s.ready(m)
	stop()
	s.flip(filepath.Join(s.store, storedName(root)), int64(indexOf(content, "helper of ")))
	s.start(newRunner(nil))
	s.Eventually(s.requests.Load).Should(gomega.Equal(int32(2)))
	s.Eventually(func() ([]byte, error) { return os.ReadFile(filepath.Join(s.store, storedName(root))) }).Should(gomega.Equal(content))
	s.ready(m)
}

// What is to be removed is shown first, and nothing is removed that somebody still needs.
func TestGarbageIsShownAndThenRemoved(t *testing.T) {
	s := newSite(t)
	s.options.Sources.GarbageDelay = time.Hour
	offset := atomic.Int64{}
	s.options.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	content, root := s.made(version)
	s.serves(bytesOf(content))
	s.start(newRunner(nil))
	m := s.remote(s.manifest, root)
	s.ready(m)
	s.delete(m)
	s.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(m), m)).To(gomega.Succeed())
		g.Expect(m.Status.Garbage).NotTo(gomega.BeNil())
	}).Should(gomega.Succeed())
	s.Expect(m.Status.Garbage.Files).To(gomega.Equal([]string{storedName(root)}))
	s.Expect(m.Status.Garbage.Bytes).To(gomega.Equal(int64(len(content))))
	s.Expect(s.inStore()).To(gomega.Equal([]string{storedName(root)}))
	offset.Store(int64(2 * time.Hour))
	// What the controller wrote itself may have made it look again already, and then the object is gone.
	look := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"look":"again"}}}`))
	s.Expect(client.IgnoreNotFound(env.Client.Patch(t.Context(), m, look))).To(gomega.Succeed())
	s.gone(m)
	s.Expect(s.inStore()).To(gomega.BeEmpty())
}

func TestABundleThatAClusterRunsOrRanLastIsKept(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	s.serves(bytesOf(content))
	s.createHost("cp1", "192.0.2.11")
	s.start(newRunner(nil))
	old := s.remote(s.manifest, root)
	s.ready(old)
	c := s.createCluster("demo", nil, "cp1")
	s.ready(c)
	s.Eventually(func() []string {
		s.ready(old)
		return old.Status.Clusters
	}).Should(gomega.Equal([]string{s.namespace + "/demo"}))
	successor := s.remote(s.manifest+"-next", root)
	s.ready(successor)
	s.edit(c, func() { c.Spec.OfflineManifestRef.Name = successor.Name })
	s.delete(old)
	s.Expect(s.stalled(old, offlinemanifest.ReasonInUse)).To(gomega.ContainSubstring("was given " + successor.Name))
	s.Expect(old.Status.FormerClusters).To(gomega.Equal([]v1alpha1.FormerCluster{{Cluster: s.namespace + "/demo", Successor: successor.Name}}))
	s.Expect(s.inStore()).To(gomega.Equal([]string{storedName(root)}))
	s.delete(c)
	s.gone(old)
}

// What a cluster ran before is kept though it was given something in between that never came about, and though nobody but the cluster
// itself knows of it any more.
func TestTheBundleThatAClusterRanBeforeIsKept(t *testing.T) {
	s := newSite(t)
	content, root := s.made(version)
	s.serves(bytesOf(content))
	s.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	stop := s.start(runner)
	first := s.remote(s.manifest, root)
	s.ready(first)
	c := s.createCluster("demo", nil, "cp1")
	s.ready(c)
	names := func() []string {
		var out []string
		for _, b := range s.cluster("demo").Status.Bundles {
			out = append(out, b.OfflineManifest+" "+b.Version)
			s.Expect(b.Digest).To(gomega.Equal(root.String()))
		}
		return out
	}
	s.Expect(names()).To(gomega.Equal([]string{first.Name + " " + version}))

	second, third := s.remote(s.manifest+"-second", root), s.remote(s.manifest+"-third", root)
	s.ready(second)
	s.ready(third)
	runner.set(failWith(errors.New("cp1 is not as it should be")))
	s.edit(c, func() { c.Spec.OfflineManifestRef.Name = second.Name })
	s.stalled(c, cluster.ReasonOperationFailed)
	s.Expect(names()).To(gomega.Equal([]string{first.Name + " " + version}))
	runner.set(succeed)
	s.edit(c, func() { c.Spec.OfflineManifestRef.Name = third.Name })
	s.Eventually(names).Should(gomega.Equal([]string{third.Name + " " + version, first.Name + " " + version}))
	s.ready(c)
	last := s.operation(c.Status.LastOperation)
	s.Expect(last.Status.Bundle).To(gomega.Equal(&v1alpha1.UsedBundle{OfflineManifest: third.Name, Digest: root.String()}))
	stop()

	// A backup of the management cluster does not bring back what OfflineManifests knew of clusters.
	s.ready(first)
	first.Status.Clusters, first.Status.FormerClusters = nil, nil
	s.Expect(env.Client.Status().Update(t.Context(), first)).To(gomega.Succeed())
	s.start(runner)
	s.delete(second)
	s.gone(second)
	s.delete(first)
	s.Expect(s.stalled(first, offlinemanifest.ReasonInUse)).To(gomega.ContainSubstring(s.namespace + "/demo"))
	s.Expect(s.inStore()).To(gomega.Equal([]string{storedName(root)}))
	s.delete(c)
	s.gone(first)
}

// A delta waits for its base, says what it lacks, and holds on to it.
func TestADeltaWaitsForItsBase(t *testing.T) {
	s := newSite(t)
	base, baseRoot := s.writeBundle(version)
	whole, wholeRoot := s.writeBundle("v1.36.4")
	delta := filepath.Join(t.TempDir(), "delta.bundle")
	a, err := bundle.Open(base)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	b, err := bundle.Open(whole)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(bundle.Diff(t.Context(), delta, a, b)).To(gomega.Succeed())
	s.Expect(errors.Join(a.Close(), b.Close())).To(gomega.Succeed())
	content, err := os.ReadFile(delta)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.serves(bytesOf(content))
	stop := s.start(newRunner(nil))
	m := s.remote(s.manifest+"-delta", wholeRoot)
	s.Expect(s.stalled(m, offlinemanifest.ReasonMissingBase)).To(gomega.ContainSubstring(digest.FromString("helper of " + s.namespace).String()))
	s.Expect(m.Status.Base).To(gomega.Equal(baseRoot.String()))
	s.Expect(capi.IsTrue(m, v1alpha1.FetchedCondition)).To(gomega.BeTrue())
	s.Expect(os.Rename(base, base+".away")).To(gomega.Succeed())
	baseManifest := s.createManifestOf(base, baseRoot)
	s.stalled(baseManifest, offlinemanifest.ReasonNotFound)
	s.Eventually(func() string { return s.stalled(m, offlinemanifest.ReasonMissingBase) }).Should(gomega.And(
		gomega.ContainSubstring("OfflineManifest "+baseManifest.Name), gomega.ContainSubstring("there is no file "+base)))
	s.Expect(os.Rename(base+".away", base)).To(gomega.Succeed())
	s.touch(baseManifest)
	s.ready(baseManifest)
	s.ready(m)
	s.Expect(m.Status.Releases[0].KubernetesVersion).To(gomega.Equal("v1.36.4"))
	stop()
	was := capi.Condition(m, v1alpha1.ReadyCondition).LastTransitionTime
	s.start(newRunner(nil)) // in whatever order they are opened
	s.touch(m)
	s.ready(m)
	s.Expect(capi.Condition(m, v1alpha1.ReadyCondition).LastTransitionTime).To(gomega.Equal(was))
	s.delete(baseManifest)
	s.Expect(s.stalled(baseManifest, offlinemanifest.ReasonInUse)).To(gomega.ContainSubstring(m.Name))
	s.delete(m)
	s.gone(m)
	s.gone(baseManifest)
}

func TestWithoutAStoreOnlyFilesAreUsed(t *testing.T) {
	s := newSite(t)
	s.options.Sources = offlinemanifest.Sources{}
	_, root := s.made(version)
	s.start(newRunner(nil))
	s.Expect(s.stalled(s.remote(s.manifest, root), offlinemanifest.ReasonSourceNotAllowed)).To(gomega.ContainSubstring("--store-dir"))
}
