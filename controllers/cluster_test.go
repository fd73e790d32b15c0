package controllers_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/controllers/operation"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/provision"
)

func TestAClusterBecomesReadyAndHandsOutItsKubeconfig(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1", "cp2", "cp3")
	w.ready(c)

	w.Expect(c.Status.InstalledGeneration).To(gomega.Equal(c.Generation))
	w.Expect(c.Status.ObservedGeneration).To(gomega.Equal(c.Generation))
	w.Expect(c.Status.Initialized).To(gomega.BeTrue())
	w.Expect(c.Status.Version).To(gomega.Equal(version))
	w.Expect(c.Status.Nodes).To(gomega.Equal(v1alpha1.NodeCounts{Desired: 4, Joined: 4, Ready: 4}))
	w.Expect(c.Status.EtcdMembers).To(gomega.Equal(int32(3)))
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-install-g1-1"))
	w.Expect(c.Status.CACertificateHash).To(gomega.HavePrefix("sha256:"))
	w.Expect(capi.IsTrue(c, v1alpha1.HostsClaimedCondition)).To(gomega.BeTrue())
	w.Expect(capi.IsTrue(c, v1alpha1.AvailableCondition)).To(gomega.BeTrue())
	w.Expect(capi.IsTrue(c, v1alpha1.StalledCondition)).To(gomega.BeFalse())
	w.Expect(capi.IsTrue(c, v1alpha1.ReconcilingCondition)).To(gomega.BeFalse())

	operation := w.operation("demo-install-g1-1")
	w.Expect(operation.Status.Phase).To(gomega.Equal(v1alpha1.OperationSucceeded))
	w.Expect(operation.Status.Attempt).To(gomega.Equal(int32(1)))
	w.Expect(operation.Status.CompletedAt).NotTo(gomega.BeNil())
	w.Expect(operation.Status.Steps).To(gomega.HaveLen(1))
	w.Expect(operation.Status.Steps[0].Changed).To(gomega.Equal(int32(4)))
	w.Expect(operation.Status.Traffic.Requests).To(gomega.Equal(int64(3)))
	w.Expect(operation.Labels).To(gomega.HaveKeyWithValue(v1alpha1.ClusterNameLabel, "demo"))
	w.Expect(metav1.IsControlledBy(operation, c)).To(gomega.BeTrue())

	request := runner.calls()[0]
	w.Expect(request.Hosts).To(gomega.HaveLen(4))
	w.Expect(request.Hosts[0].Credentials).To(gomega.HaveKeyWithValue(v1alpha1.SSHPasswordKey, []byte("secret")))
	w.Expect(request.Authorities.Etcd.Key).NotTo(gomega.BeEmpty())
	w.Expect(request.Attempt).To(gomega.Equal(1))

	host := w.host("w1")
	w.Expect(host.Status.Claim.ClusterUID).To(gomega.Equal(string(c.UID)))
	w.Expect(host.Status.Claim.Role).To(gomega.Equal(v1alpha1.WorkerRole))
	w.Expect(host.Status.Claim.Pool).To(gomega.Equal("pool"))
	w.Expect(host.Status.Facts.Platform).To(gomega.Equal("linux/amd64"))
	w.Expect(capi.IsTrue(host, v1alpha1.HostReachableCondition)).To(gomega.BeTrue())
	w.Expect(host.Status.Step).To(gomega.Equal(&v1alpha1.HostStep{Operation: "demo-install-g1-1", Step: "node/ready", State: v1alpha1.StepChanged}))

	w.Eventually(func(g gomega.Gomega) {
		secret := &corev1.Secret{}
		g.Expect(env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "demo-kubeconfig"}, secret)).To(gomega.Succeed())
		g.Expect(string(secret.Type)).To(gomega.Equal("cluster.x-k8s.io/secret"))
		g.Expect(secret.Labels).To(gomega.HaveKeyWithValue("cluster.x-k8s.io/cluster-name", "demo"))
		config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data["value"])
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(config.Host).To(gomega.Equal("https://127.0.0.1:7443"))
		g.Expect(config.CAData).To(gomega.Equal(request.Authorities.Cluster.Cert))
		block, _ := pem.Decode(config.CertData)
		cert, err := x509.ParseCertificate(block.Bytes)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(time.Until(cert.NotAfter)).To(gomega.BeNumerically("~", 30*24*time.Hour, time.Hour))
		g.Expect(cert.Subject.Organization).To(gomega.Equal([]string{"kubeadm:cluster-admins"}), "a group that RBAC binds, and can unbind")
	}).Should(gomega.Succeed())
}

func TestNothingIsWrittenAtRest(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	stop := w.start(newRunner(nil))
	c := w.createCluster("demo", nil, "cp1", "cp2", "cp3")
	w.ready(c)
	w.Eventually(func() error {
		return env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "demo-kubeconfig"}, &corev1.Secret{})
	}).Should(gomega.Succeed())

	versions := func() map[string]string {
		manifest := &v1alpha1.OfflineManifest{}
		w.Expect(env.Client.Get(t.Context(), client.ObjectKey{Name: w.manifest}, manifest)).To(gomega.Succeed())
		out := map[string]string{
			"cluster": w.cluster("demo").ResourceVersion, "operation": w.operation("demo-install-g1-1").ResourceVersion,
			"manifest": manifest.ResourceVersion,
		}
		for _, name := range []string{"cp1", "cp2", "cp3", "w1"} {
			out[name] = w.host(name).ResourceVersion
		}
		for _, name := range []string{"demo-ca", "demo-etcd", "demo-proxy", "demo-sa", "demo-kubeconfig"} {
			secret := &corev1.Secret{}
			w.get(secret, name)
			out[name] = secret.ResourceVersion
		}
		return out
	}
	before := versions()
	w.Eventually(func() bool { // the last events of the installation settle
		last := before
		before = versions()
		return equal(last, before)
	}, patience, 2*time.Second).Should(gomega.BeTrue())
	w.Consistently(versions, 2*time.Second, 100*time.Millisecond).Should(gomega.Equal(before))

	// A new process looks at everything anew, opens the bundle again, and has nothing to say either.
	stop()
	runner := newRunner(nil)
	w.start(runner)
	w.Consistently(versions, 3*time.Second, 100*time.Millisecond).Should(gomega.Equal(before))
	w.Expect(runner.calls()).To(gomega.BeEmpty())
}

func equal(a, b map[string]string) bool {
	for key := range a {
		if a[key] != b[key] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestAFailedOperationStallsUntilARetryIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(failWith(errors.New("port 6443 is in use on cp1")))
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	message := w.stalled(c, cluster.ReasonOperationFailed)
	w.Expect(message).To(gomega.ContainSubstring("demo-install-g1-1"))
	w.Expect(message).To(gomega.ContainSubstring("port 6443 is in use on cp1"))
	w.Expect(message).To(gomega.ContainSubstring(v1alpha1.RetryAnnotation))
	failed := w.operation("demo-install-g1-1")
	w.Expect(failed.Status.Phase).To(gomega.Equal(v1alpha1.OperationFailed))
	w.Expect(failed.Status.Problems).To(gomega.HaveLen(1))
	w.Expect(failed.Status.Problems[0].Reason).To(gomega.Equal("PortInUse"))
	w.Consistently(func() int { return len(w.operations()) }, time.Second, glance).Should(gomega.Equal(1))

	runner.set(succeed)
	w.retry("demo", "once more")
	w.ready(c)
	w.Expect(w.operation("demo-install-g1-2").Status.Phase).To(gomega.Equal(v1alpha1.OperationSucceeded))
	w.Expect(w.operations()).To(gomega.HaveLen(2))
}

func TestARetryOfAnInstalledClusterRunsTheSameOnceMore(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.retry("demo", "again")
	w.Eventually(func() int { return len(runner.calls()) }).Should(gomega.Equal(2))
	w.Eventually(func() string { return w.cluster("demo").Status.LastOperation }).Should(gomega.Equal("demo-configure-g1-2"))
	w.ready(c)
	w.Consistently(func() int { return len(w.operations()) }, time.Second, glance).Should(gomega.Equal(2))
}

func TestAWorkerIsTakenInByAScale(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.edit(c, func() { c.Spec.Workers = []v1alpha1.WorkerPool{{Name: "pool", Hosts: []string{"w1"}}} })
	w.ready(c)
	w.Expect(c.Status.InstalledGeneration).To(gomega.Equal(int64(2)))
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-scale-g2-1"))
	w.Expect(c.Status.Nodes).To(gomega.Equal(v1alpha1.NodeCounts{Desired: 2, Joined: 2, Ready: 2}))
}

func TestAHostOfAnotherClusterIsRefused(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	runner := newRunner(nil)
	w.start(runner)
	first := w.createCluster("first", nil, "cp1")
	w.ready(first)
	second := w.createCluster("second", nil, "cp1", "cp2", "cp3")
	message := w.stalled(second, cluster.ReasonHostClaimedElsewhere)
	w.Expect(message).To(gomega.ContainSubstring("host cp1 is claimed by cluster first"))
	claimed := capi.Condition(second, v1alpha1.HostsClaimedCondition)
	w.Expect(claimed.Status).To(gomega.Equal(metav1.ConditionFalse))
	w.Expect(claimed.Reason).To(gomega.Equal(cluster.ReasonHostClaimedElsewhere))
	w.Expect(w.host("cp2").Status.Claim).To(gomega.BeNil(), "all hosts are claimed or none")
	w.Expect(runner.calls()).To(gomega.HaveLen(1))

	w.delete(first) // policy Orphan: the claim goes, and the second cluster notices by itself
	w.gone(first)
	w.ready(second)
	w.Expect(w.host("cp1").Status.Claim.ClusterName).To(gomega.Equal("second"))
}

func TestOfTwoClustersThatWantOneHostExactlyOneGetsIt(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	a := w.createCluster("a", nil, "cp1")
	b := w.createCluster("b", nil, "cp1")
	w.start(runner)
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(a), a)).To(gomega.Succeed())
		g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(gomega.Succeed())
		g.Expect(capi.IsTrue(a, v1alpha1.ReadyCondition)).NotTo(gomega.Equal(capi.IsTrue(b, v1alpha1.ReadyCondition)))
		g.Expect(capi.IsTrue(a, v1alpha1.StalledCondition)).NotTo(gomega.Equal(capi.IsTrue(b, v1alpha1.StalledCondition)))
	}).Should(gomega.Succeed())
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
}

func TestBadInputIsNamedAndNothingIsRun(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(w *world)
		change  func(*v1alpha1.Cluster)
		reason  string
		says    []string
	}{
		"two hosts with one address": {
			arrange: func(w *world) { w.createHost("twin", "192.0.2.11") },
			reason:  cluster.ReasonDuplicateAddress, says: []string{"cp1", "twin", "192.0.2.11:22"},
		},
		"a host that does not exist": {
			change: func(c *v1alpha1.Cluster) { c.Spec.ControlPlane.Hosts = []string{"cp9"} },
			reason: cluster.ReasonHostNotFound, says: []string{"cp9"},
		},
		"a version that is not in the bundle": {
			change: func(c *v1alpha1.Cluster) { c.Spec.Version = "v1.36.9" },
			reason: cluster.ReasonVersionNotInBundle, says: []string{"v1.36.9", version},
		},
		"an OfflineManifest that does not exist": {
			change: func(c *v1alpha1.Cluster) { c.Spec.OfflineManifestRef.Name = "nothing-of-the-kind" },
			reason: cluster.ReasonManifestNotFound, says: []string{"nothing-of-the-kind"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.createManifest(version)
			w.createHost("cp1", "192.0.2.11")
			if test.arrange != nil {
				test.arrange(w)
			}
			runner := newRunner(nil)
			w.start(runner)
			c := w.createCluster("demo", test.change, "cp1")
			message := w.stalled(c, test.reason)
			for _, part := range test.says {
				w.Expect(message).To(gomega.ContainSubstring(part))
			}
			w.Consistently(func() int { return len(w.operations()) + len(runner.calls()) }, time.Second/2, glance).Should(gomega.BeZero())
			secrets := &corev1.SecretList{}
			w.Expect(env.Client.List(t.Context(), secrets, client.InNamespace(w.namespace))).To(gomega.Succeed())
			w.Expect(secrets.Items).To(gomega.HaveLen(1), "no authorities for a cluster that cannot begin")
		})
	}
}

func TestADuplicateThatGoesAwayLetsTheClusterBegin(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	twin := w.createHost("twin", "192.0.2.11")
	w.start(newRunner(nil))
	c := w.createCluster("demo", nil, "cp1")
	w.stalled(c, cluster.ReasonDuplicateAddress)
	w.delete(twin)
	w.ready(c)
}

func TestAuthoritiesAreMadeOnce(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	ca := &corev1.Secret{}
	w.get(ca, "demo-ca")
	w.Expect(metav1.IsControlledBy(ca, c)).To(gomega.BeTrue())

	w.edit(c, func() { c.Spec.Workers = []v1alpha1.WorkerPool{{Name: "pool", Hosts: []string{"w1"}}} })
	w.ready(c)
	w.Expect(runner.calls()[1].Authorities).To(gomega.Equal(runner.calls()[0].Authorities))

	w.delete(ca)
	w.retry("demo", "without a CA")
	message := w.stalled(c, cluster.ReasonAuthoritiesMissing)
	w.Expect(message).To(gomega.ContainSubstring("demo-ca"))
	w.Consistently(func() error {
		return client.IgnoreNotFound(env.Client.Get(t.Context(), client.ObjectKeyFromObject(ca), &corev1.Secret{}))
	}, time.Second, glance).Should(gomega.Succeed())
	w.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(ca), &corev1.Secret{})).NotTo(gomega.Succeed())
	w.Expect(runner.calls()).To(gomega.HaveLen(2))
}

func TestAuthoritiesOfTheUserAreTaken(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	given := &corev1.Secret{ObjectMeta: w.meta("demo-sa"), Data: map[string][]byte{"tls.crt": []byte("public"), "tls.key": []byte("private")}}
	given.Annotations = map[string]string{v1alpha1.AdoptAnnotation: "demo"}
	w.create(given)
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.Expect(runner.calls()[0].Authorities.ServiceAccount.Key).To(gomega.Equal([]byte("private")))
	w.Expect(runner.calls()[0].Authorities.Cluster.Key).NotTo(gomega.BeEmpty())
}

func TestAHostThatWasNeverReachedCanBeReplaced(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	runner := newRunner(failWith(errors.New("cp1 does not answer")))
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.stalled(c, cluster.ReasonOperationFailed)
	runner.set(succeed)
	w.edit(c, func() { c.Spec.ControlPlane.Hosts = []string{"cp2"} })
	w.ready(c)
	w.Eventually(func() *v1alpha1.HostClaim { return w.host("cp1").Status.Claim }).Should(gomega.BeNil())
}

func TestAPausedClusterWaits(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", func(c *v1alpha1.Cluster) { c.Spec.Paused = true }, "cp1")
	w.Eventually(func() string {
		if ready := capi.Condition(w.cluster("demo"), v1alpha1.ReadyCondition); ready != nil {
			return ready.Reason
		}
		return ""
	}).Should(gomega.Equal(cluster.ReasonPaused))
	w.Consistently(func() int { return len(w.operations()) }, time.Second/2, glance).Should(gomega.BeZero())
	w.edit(c, func() { c.Spec.Paused = false })
	w.ready(c)
}

func TestDeletionWithPolicyOrphanForgetsTheClusterAndTouchesNothing(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.delete(c)
	w.gone(c)
	w.Expect(w.host("cp1").Status.Claim).To(gomega.BeNil())
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
	w.get(&corev1.Secret{}, "demo-ca")
}

func TestDeletionWithPolicyResetResetsTheHostsFirst(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", func(c *v1alpha1.Cluster) { c.Spec.DeletionPolicy = v1alpha1.ResetOnDelete }, "cp1", "cp2", "cp3")
	w.ready(c)
	runner.set(failWith(errors.New("cp2 does not answer")))
	w.delete(c)
	message := w.stalled(c, cluster.ReasonResetFailed)
	w.Expect(message).To(gomega.ContainSubstring("cp2 does not answer"))
	w.Expect(w.host("cp1").Status.Claim).NotTo(gomega.BeNil())
	reset := runner.calls()[1]
	w.Expect(reset.Operation.Spec.Type).To(gomega.Equal(v1alpha1.ResetOperation))
	w.Expect(reset.Hosts).To(gomega.HaveLen(4))

	runner.set(succeed)
	w.retry("demo", "cp2 is back")
	w.gone(c)
	w.Expect(w.host("cp1").Status.Claim).To(gomega.BeNil())
	w.gone(&corev1.Secret{ObjectMeta: w.meta("demo-ca")})
	w.Expect(runner.calls()).To(gomega.HaveLen(3))
}

func TestAResetWhoseBundleCannotBeUsedSaysWhyAndGoesOnWhenItCan(t *testing.T) {
	w := newWorld(t)
	path, root := w.writeBundle(version)
	manifest := w.createManifestOf(path, root)
	w.createHosts()
	runner := newRunner(nil)
	stop := w.start(runner)
	c := w.createCluster("demo", func(c *v1alpha1.Cluster) { c.Spec.DeletionPolicy = v1alpha1.ResetOnDelete }, "cp1")
	w.ready(c)
	stop()
	w.Expect(os.Rename(path, path+".away")).To(gomega.Succeed())
	w.delete(c)
	w.start(runner)
	w.Eventually(func() string {
		for _, o := range w.operations() {
			if stalled := capi.Condition(&o, v1alpha1.StalledCondition); o.Spec.Type == v1alpha1.ResetOperation && stalled != nil && stalled.Status == metav1.ConditionTrue {
				return stalled.Reason + ": " + stalled.Message
			}
		}
		return ""
	}).Should(gomega.And(gomega.HavePrefix(operation.ReasonWaitingForBundle), gomega.ContainSubstring(manifest.Name), gomega.ContainSubstring("there is no file "+path)))
	w.Expect(os.Rename(path+".away", path)).To(gomega.Succeed())
	w.edit(manifest, func() { manifest.Labels = map[string]string{"look": "again"} })
	w.gone(c)
}

func TestDeletionStopsTheOperationUnderWayFirst(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	began := make(chan provision.Request, 10)
	runner := newRunner(untilCancelled(began))
	w.start(runner)
	c := w.createCluster("demo", func(c *v1alpha1.Cluster) { c.Spec.DeletionPolicy = v1alpha1.ResetOnDelete }, "cp1")
	install := <-began
	runner.set(succeed)
	w.delete(c)
	w.gone(c)
	w.gone(&v1alpha1.ClusterOperation{ObjectMeta: w.meta(install.Operation.Name)})
	calls := runner.calls()
	w.Expect(calls).To(gomega.HaveLen(2))
	w.Expect(calls[1].Operation.Spec.Type).To(gomega.Equal(v1alpha1.ResetOperation))
	w.Expect(runner.mostAtOnce()).To(gomega.Equal(1))
}

func TestTheKubeconfigIsRenewedWhenAThirdOfItsLifeIsLeft(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	stop := w.start(newRunner(nil))
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	read := func() string {
		secret := &corev1.Secret{}
		if env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "demo-kubeconfig"}, secret) != nil {
			return ""
		}
		return string(secret.Data["value"])
	}
	w.Eventually(read).ShouldNot(gomega.BeEmpty())
	first := read()
	stop()

	w.options.Now = func() time.Time { return time.Now().Add(15 * 24 * time.Hour) }
	stop = w.start(newRunner(nil))
	w.Consistently(read, time.Second, glance).Should(gomega.Equal(first))
	stop()

	w.options.Now = func() time.Time { return time.Now().Add(21 * 24 * time.Hour) }
	w.start(newRunner(nil))
	w.Eventually(read).ShouldNot(gomega.Equal(first))
}
