package controllers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/provision"
)

const (
	version  = "v1.36.3"
	patience = 2 * time.Minute
	glance   = 20 * time.Millisecond
)

// world is a namespace with controllers at work in it.
type world struct {
	*gomega.WithT
	t         *testing.T
	namespace string
	roots     string
	state     string
	manifest  string
	options   controllers.Options
	// neighbours are other namespaces that the controllers work in.
	neighbours []*world
}

// newWorld makes a namespace, a bundle and its OfflineManifest. Controllers begin with start.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{WithT: gomega.NewWithT(t), t: t, roots: t.TempDir(), state: t.TempDir()}
	w.SetDefaultEventuallyTimeout(patience)
	w.SetDefaultEventuallyPollingInterval(glance)
	w.createNamespace()
	w.manifest = w.namespace
	t.Cleanup(w.dropManifest)
	return w
}

// neighbour is another namespace with the same controllers at work, whose Clusters take the same OfflineManifest.
func (w *world) neighbour() *world {
	w.t.Helper()
	n := &world{WithT: w.WithT, t: w.t, manifest: w.manifest}
	n.createNamespace()
	w.neighbours = append(w.neighbours, n)
	return n
}

// createNamespace makes the namespace, with credentials of hosts.
func (w *world) createNamespace() {
	w.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	w.Expect(env.Client.Create(w.t.Context(), namespace)).To(gomega.Succeed())
	w.namespace = namespace.Name
	w.create(&corev1.Secret{ObjectMeta: w.meta("ssh"), Type: v1alpha1.CredentialsMark, Data: map[string][]byte{v1alpha1.SSHPasswordKey: []byte("secret")}})
}

func (w *world) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	w.Expect(env.Client.Create(w.t.Context(), object)).To(gomega.Succeed())
}

func (w *world) get(object client.Object, name string) {
	w.t.Helper()
	w.Expect(env.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object)).To(gomega.Succeed())
}

// dropManifest takes the OfflineManifest away, which is in no namespace and would be looked at by the next test's controllers.
func (w *world) dropManifest() {
	manifest := &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: w.manifest}}
	ctx := context.Background()
	if env.Client.Get(ctx, client.ObjectKeyFromObject(manifest), manifest) != nil {
		return
	}
	w.Expect(client.IgnoreNotFound(env.Client.Delete(ctx, manifest))).To(gomega.Succeed())
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	w.Expect(client.IgnoreNotFound(env.Client.Patch(ctx, manifest, patch))).To(gomega.Succeed())
}

// start runs the controllers, as one process would, until stop is called or the test ends.
func (w *world) start(runner provision.Runner) (stop func()) {
	w.t.Helper()
	skip := true
	namespaces := map[string]cache.Config{w.namespace: {}}
	for _, n := range w.neighbours {
		namespaces[n.namespace] = cache.Config{}
	}
	mgr, err := ctrl.NewManager(env.Config, ctrl.Options{
		Scheme:     env.Scheme,
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
		Cache:      cache.Options{DefaultNamespaces: namespaces},
	})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	options := w.options
	options.Runner = runner
	options.Bundles = offlinemanifest.NewStore(w.state)
	options.BundleRoots = []string{w.roots}
	options.Addresses = addresses.Local() // API servers of tests are on this machine
	options.ProgressInterval = glance
	if options.HealthInterval == 0 {
		options.HealthInterval = time.Hour // the endpoints of most tests do not exist
	}
	w.Expect(controllers.Setup(mgr, options)).To(gomega.Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		w.Expect(<-ended).To(gomega.Succeed())
	}
	w.t.Cleanup(stop)
	return stop
}

// writeBundle writes a sound bundle with releases, each with a file, and returns its path and digest.
func (w *world) writeBundle(releases ...string) (string, digest.Digest) {
	w.t.Helper()
	content := []byte("helper of " + w.namespace)
	d, blob := bundle.BytesBlob(content)
	config := &bundle.Config{Name: "test", Created: time.Unix(1700000000, 0)}
	for _, release := range releases {
		config.Releases = append(config.Releases, bundle.Release{
			KubernetesVersion: release,
			Platforms:         []string{"linux/amd64"},
			Files: []bundle.File{{
				Name: "kubewright-host", Kind: bundle.FileHelper, Component: "kubewright", Version: "v0.1.0",
				Platform: "linux/amd64", Digest: d, Size: int64(len(content)), Mode: 0o755,
			}},
		})
	}
	path := filepath.Join(w.roots, strings.Join(releases, "-")+".bundle")
	root, err := bundle.Write(w.t.Context(), path, config, map[digest.Digest]bundle.Blob{d: blob})
	w.Expect(err).NotTo(gomega.HaveOccurred())
	return path, root
}

// createManifest makes the OfflineManifest that createCluster refers to, of a bundle with releases.
func (w *world) createManifest(releases ...string) {
	w.t.Helper()
	path, root := w.writeBundle(releases...)
	w.createManifestOf(path, root)
}

func (w *world) createManifestOf(path string, root digest.Digest) *v1alpha1.OfflineManifest {
	w.t.Helper()
	manifest := &v1alpha1.OfflineManifest{
		ObjectMeta: metav1.ObjectMeta{Name: w.manifest},
		Spec:       v1alpha1.OfflineManifestSpec{Source: "file://" + path, Digest: root.String()},
	}
	w.create(manifest)
	return manifest
}

func (w *world) createHost(name, address string) *v1alpha1.Host {
	w.t.Helper()
	host := &v1alpha1.Host{
		ObjectMeta: w.meta(name),
		Spec:       v1alpha1.HostSpec{Address: address, CredentialsRef: v1alpha1.LocalReference{Name: "ssh"}},
	}
	w.create(host)
	return host
}

// createHosts makes cp1, cp2, cp3 and w1.
func (w *world) createHosts() {
	w.t.Helper()
	for i, name := range []string{"cp1", "cp2", "cp3", "w1"} {
		w.createHost(name, fmt.Sprintf("192.0.2.%d", 11+i))
	}
}

// createCluster makes a Cluster over the given control planes, with w1 as worker when there are three.
func (w *world) createCluster(name string, change func(*v1alpha1.Cluster), controlPlanes ...string) *v1alpha1.Cluster {
	w.t.Helper()
	cluster := &v1alpha1.Cluster{
		ObjectMeta: w.meta(name),
		Spec: v1alpha1.ClusterSpec{
			Version:            version,
			OfflineManifestRef: v1alpha1.LocalReference{Name: w.manifest},
			ControlPlane:       v1alpha1.ControlPlane{Hosts: controlPlanes},
		},
	}
	if len(controlPlanes) == 3 {
		cluster.Spec.Workers = []v1alpha1.WorkerPool{{Name: "pool", Hosts: []string{"w1"}}}
	}
	if change != nil {
		change(cluster)
	}
	w.create(cluster)
	return cluster
}

func (w *world) cluster(name string) *v1alpha1.Cluster {
	w.t.Helper()
	cluster := &v1alpha1.Cluster{}
	w.get(cluster, name)
	return cluster
}

func (w *world) operation(name string) *v1alpha1.ClusterOperation {
	w.t.Helper()
	operation := &v1alpha1.ClusterOperation{}
	w.get(operation, name)
	return operation
}

func (w *world) operations() []v1alpha1.ClusterOperation {
	w.t.Helper()
	var list v1alpha1.ClusterOperationList
	w.Expect(env.Client.List(w.t.Context(), &list, client.InNamespace(w.namespace))).To(gomega.Succeed())
	return list.Items
}

func (w *world) host(name string) *v1alpha1.Host {
	w.t.Helper()
	host := &v1alpha1.Host{}
	w.get(host, name)
	return host
}

// edit changes an object until nobody else was faster.
func (w *world) edit(object client.Object, change func()) {
	w.t.Helper()
	w.Eventually(func() error {
		if err := env.Client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		change()
		return env.Client.Update(w.t.Context(), object)
	}).Should(gomega.Succeed())
}

// retry sets the retry annotation of a cluster.
func (w *world) retry(name, value string) {
	w.t.Helper()
	cluster := w.cluster(name)
	w.edit(cluster, func() {
		if cluster.Annotations == nil {
			cluster.Annotations = map[string]string{}
		}
		cluster.Annotations[v1alpha1.RetryAnnotation] = value
	})
}

// ready waits until an object has Ready=True for its present generation.
func (w *world) ready(object capi.Object) {
	w.t.Helper()
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
		g.Expect(capi.IsTrueNow(object, v1alpha1.ReadyCondition)).To(gomega.BeTrue(), "conditions: %v", object.GetConditions())
	}).Should(gomega.Succeed())
}

// stalled waits until an object is Stalled for a reason, and returns the message.
func (w *world) stalled(object capi.Object, reason string) string {
	w.t.Helper()
	message := ""
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
		condition := capi.Condition(object, v1alpha1.StalledCondition)
		g.Expect(condition).NotTo(gomega.BeNil())
		g.Expect(condition.Status).To(gomega.Equal(metav1.ConditionTrue), "conditions: %v", object.GetConditions())
		g.Expect(condition.Reason).To(gomega.Equal(reason), condition.Message)
		g.Expect(condition.ObservedGeneration).To(gomega.Equal(object.GetGeneration()))
		message = condition.Message
	}).Should(gomega.Succeed())
	return message
}

// gone waits until an object does not exist.
func (w *world) gone(object client.Object) {
	w.t.Helper()
	w.Eventually(func() bool {
		return apierrors.IsNotFound(env.Client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object))
	}).Should(gomega.BeTrue())
}

func (w *world) delete(object client.Object) {
	w.t.Helper()
	w.Expect(env.Client.Delete(w.t.Context(), object)).To(gomega.Succeed())
}

// flip inverts one byte of a file.
func (w *world) flip(path string, offset int64) {
	w.t.Helper()
	content, err := os.ReadFile(path)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	content[offset] ^= 0xff
	w.Expect(os.WriteFile(path, content, 0o600)).To(gomega.Succeed())
}
