package controllers_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/provision"
)

// often is the time between two looks at a cluster in these tests.
const often = 50 * time.Millisecond

// standIn answers in place of a cluster's API server, with a certificate of the cluster's own authority, and to those alone who
// have a client certificate of it.
type standIn struct {
	t      *testing.T
	mu     sync.Mutex
	server *httptest.Server
	broken bool
	full   bool
	nodes  map[string]bool
	looks  int
}

// newStandIn makes one; its server is there after the first operation.
func newStandIn(t *testing.T) *standIn {
	return &standIn{t: t, nodes: map[string]bool{}}
}

// install succeeds, and lets the server come up.
func (s *standIn) install(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		s.serve(request.Authorities.Cluster)
	}
	for _, access := range request.Hosts {
		s.nodes[access.Host.Name] = true
	}
	outcome, err := succeed(ctx, request)
	outcome.Endpoint = s.server.URL
	return outcome, err
}

func (s *standIn) serve(ca pki.KeyPair) {
	leaf, err := ca.Sign(pki.Leaf{CommonName: "kube-apiserver", IPs: []string{"127.0.0.1"}, Server: true, Lifetime: time.Hour}, time.Now())
	if err != nil {
		s.t.Error(err)
		return
	}
	pair, err := tls.X509KeyPair(leaf.Cert, leaf.Key)
	if err != nil {
		s.t.Error(err)
		return
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert)
	s.server = httptest.NewUnstartedServer(s)
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	s.server.StartTLS()
	s.t.Cleanup(s.server.Close)
}

// ServeHTTP implements http.Handler.
func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/readyz" {
		s.looks++
		if s.broken {
			http.Error(w, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed", http.StatusInternalServerError)
		}
		return
	}
	if r.Method == http.MethodPost {
		// What is created exists already; etcd says first whether it would take it.
		if s.full {
			http.Error(w, `{"kind":"Status","status":"Failure","message":"etcdserver: mvcc: database space exceeded","code":500}`, http.StatusInternalServerError)
			return
		}
		http.Error(w, `{"kind":"Status","status":"Failure","reason":"AlreadyExists","code":409}`, http.StatusConflict)
		return
	}
	var list corev1.NodeList
	for name, ready := range s.nodes {
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		node.Status.NodeInfo.KubeletVersion = version
		status := corev1.ConditionFalse
		if ready {
			status = corev1.ConditionTrue
		}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
		list.Items = append(list.Items, node)
	}
	if err := json.NewEncoder(w).Encode(list); err != nil {
		s.t.Error(err)
	}
}

func (s *standIn) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *standIn) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// newWatchedWorld is a world with a cluster of four nodes that is looked at often, and what answers in its place.
func newWatchedWorld(t *testing.T) (*world, *v1alpha1.Cluster, *standIn, *fakeRunner, func()) {
	t.Helper()
	w := newWorld(t)
	w.options.HealthInterval = often
	w.createManifest(version)
	w.createHosts()
	api := newStandIn(t)
	runner := newRunner(api.install)
	stop := w.start(runner)
	c := w.createCluster("demo", nil, "cp1", "cp2", "cp3")
	w.ready(c)
	w.available(c, metav1.ConditionTrue, cluster.ReasonAPIReachable)
	w.ready(c)
	return w, c, api, runner, stop
}

// available waits until Available has a status for a reason, and returns the message.
func (w *world) available(c *v1alpha1.Cluster, status metav1.ConditionStatus, reason string) string {
	w.t.Helper()
	message := ""
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(w.t.Context(), client.ObjectKeyFromObject(c), c)).To(gomega.Succeed())
		available := capi.Condition(c, v1alpha1.AvailableCondition)
		g.Expect(available).NotTo(gomega.BeNil())
		g.Expect(available.Status).To(gomega.Equal(status), "conditions: %v", c.Status.Conditions)
		g.Expect(available.Reason).To(gomega.Equal(reason))
		message = available.Message
	}).Should(gomega.Succeed())
	return message
}

// unready waits until a cluster is not Ready for a reason, while nothing is done about it and nobody has to do anything.
func (w *world) unready(c *v1alpha1.Cluster, reason string) string {
	w.t.Helper()
	message := ""
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(w.t.Context(), client.ObjectKeyFromObject(c), c)).To(gomega.Succeed())
		ready := capi.Condition(c, v1alpha1.ReadyCondition)
		g.Expect(ready.Status).To(gomega.Equal(metav1.ConditionFalse))
		g.Expect(ready.Reason).To(gomega.Equal(reason))
		g.Expect(capi.IsTrue(c, v1alpha1.ReconcilingCondition)).To(gomega.BeFalse())
		g.Expect(capi.IsTrue(c, v1alpha1.StalledCondition)).To(gomega.BeFalse())
		message = ready.Message
	}).Should(gomega.Succeed())
	return message
}

// nothingWritten sees that a cluster does not change while it is looked at ten times more.
func (w *world) nothingWritten(c *v1alpha1.Cluster, api *standIn) {
	w.t.Helper()
	before := w.cluster(c.Name)
	from := api.looked()
	w.Eventually(api.looked).Should(gomega.BeNumerically(">=", from+10))
	w.Expect(w.cluster(c.Name)).To(gomega.Equal(before))
}

// nothingWrittenByANewProcess starts one, and sees that it does not take back what it has not looked at yet.
func (w *world) nothingWrittenByANewProcess(c *v1alpha1.Cluster, api *standIn) {
	w.t.Helper()
	before := w.cluster(c.Name)
	from := api.looked()
	w.start(newRunner(nil))
	w.Eventually(api.looked).Should(gomega.BeNumerically(">=", from+4))
	w.Expect(w.cluster(c.Name)).To(gomega.Equal(before))
}

func TestAClusterThatStopsAnsweringIsUnavailableUntilItAnswersAgain(t *testing.T) {
	w, c, api, runner, _ := newWatchedWorld(t)
	api.set(func() { api.broken = true })
	message := w.available(c, metav1.ConditionFalse, cluster.ReasonAPIUnreachable)
	w.Expect(message).To(gomega.HavePrefix(api.server.URL + " answered /readyz with 500: etcd failed; nor does any control plane: "))
	w.Expect(w.unready(c, cluster.ReasonAPIUnreachable)).To(gomega.ContainSubstring(message))
	w.Expect(c.Status.Nodes).To(gomega.Equal(v1alpha1.NodeCounts{Desired: 4, Joined: 4, Ready: 4}), "what was counted last stays")

	api.set(func() { api.broken = false })
	w.available(c, metav1.ConditionTrue, cluster.ReasonAPIReachable)
	w.ready(c)
	w.Expect(runner.calls()).To(gomega.HaveLen(1), "health alone begins no operation")
}

func TestAClusterWhoseEtcdIsFullSaysSoUntilItTakesWritesAgain(t *testing.T) {
	w, c, api, _, _ := newWatchedWorld(t)
	api.set(func() { api.full = true })
	message := w.available(c, metav1.ConditionFalse, cluster.ReasonEtcdOutOfSpace)
	w.Expect(message).To(gomega.And(gomega.ContainSubstring("alarm NOSPACE"), gomega.ContainSubstring("disarm")))
	w.Expect(w.unready(c, cluster.ReasonEtcdOutOfSpace)).To(gomega.Equal(message))
	w.nothingWritten(c, api)

	api.set(func() { api.full = false })
	w.available(c, metav1.ConditionTrue, cluster.ReasonAPIReachable)
	w.ready(c)
}

func TestANodeThatIsNotReadyShows(t *testing.T) {
	w, c, api, _, stop := newWatchedWorld(t)
	api.set(func() { api.nodes["w1"] = false })
	message := w.unready(c, cluster.ReasonNodesNotReady)
	w.Expect(message).To(gomega.Equal("3 of 4 nodes are ready at " + version + ": w1 is not ready"))
	w.Expect(c.Status.Nodes).To(gomega.Equal(v1alpha1.NodeCounts{Desired: 4, Joined: 4, Ready: 3}))
	w.Expect(capi.IsTrue(c, v1alpha1.AvailableCondition)).To(gomega.BeTrue())
	w.nothingWritten(c, api)

	stop()
	w.nothingWrittenByANewProcess(c, api)
	api.set(func() { delete(api.nodes, "w1") })
	w.Eventually(func() int32 { return w.cluster(c.Name).Status.Nodes.Joined }).Should(gomega.Equal(int32(3)))
	w.unready(c, cluster.ReasonNodesNotReady)
	api.set(func() { api.nodes["w1"] = true })
	w.ready(c)
}

func TestAClusterThatIsWatchedIsNotWrittenAtRest(t *testing.T) {
	w, c, api, _, stop := newWatchedWorld(t)
	w.nothingWritten(c, api)
	api.set(api.server.CloseClientConnections)
	api.set(func() { api.broken = true })
	w.unready(c, cluster.ReasonAPIUnreachable)
	w.nothingWritten(c, api)
	stop()
	w.nothingWrittenByANewProcess(c, api)
}

func TestAnAPIThatIsAwayWhileAnOperationWorksShows(t *testing.T) {
	w, c, api, runner, _ := newWatchedWorld(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		close(began)
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return api.install(ctx, request)
	})
	w.retry("demo", "once more")
	<-began
	w.Eventually(func() string { return capi.Condition(w.cluster("demo"), v1alpha1.ReadyCondition).Reason }).
		Should(gomega.Equal(cluster.ReasonOperationRunning))
	api.set(func() { api.broken = true })
	w.Eventually(func(g gomega.Gomega) {
		now := w.cluster("demo")
		available := capi.Condition(now, v1alpha1.AvailableCondition)
		g.Expect(available.Status).To(gomega.Equal(metav1.ConditionFalse))
		g.Expect(available.Reason).To(gomega.Equal(cluster.ReasonAPIUnreachable))
		g.Expect(capi.Condition(now, v1alpha1.ReadyCondition).Reason).To(gomega.Equal(cluster.ReasonOperationRunning))
	}).Should(gomega.Succeed())

	api.set(func() { api.broken = false })
	close(goOn)
	w.ready(c)
	w.available(c, metav1.ConditionTrue, cluster.ReasonAPIReachable)
	w.Expect(w.operations()).To(gomega.HaveLen(2))
}

func TestAPausedClusterIsNotLookedAt(t *testing.T) {
	w, c, api, _, _ := newWatchedWorld(t)
	w.edit(c, func() { c.Spec.Paused = true })
	w.Eventually(func() int64 { return w.cluster("demo").Status.ObservedGeneration }).Should(gomega.Equal(c.Generation))
	from := api.looked()
	w.Consistently(api.looked, 10*often, glance).Should(gomega.BeNumerically("<=", from+1), "one look may have been under way")
}

func TestAKubeconfigThatIsDeletedIsMadeAnew(t *testing.T) {
	w, c, _, _, _ := newWatchedWorld(t)
	secret := &corev1.Secret{}
	w.get(secret, "demo-kubeconfig")
	w.delete(secret)
	w.Eventually(func() error {
		return env.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), &corev1.Secret{})
	}).Should(gomega.Succeed())
	w.available(c, metav1.ConditionTrue, cluster.ReasonAPIReachable)
	w.ready(c)
}
