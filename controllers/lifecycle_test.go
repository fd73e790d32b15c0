package controllers_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/controllers/host"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/provision"
)

// olderReleases is what bundles of these tests hold besides version.
const (
	oldVersion    = "v1.34.3"
	middleVersion = "v1.35.4"
)

// three makes hosts and a cluster of three control planes and a worker, and waits until it is ready.
func (w *world) three(runner *fakeRunner, change func(*v1alpha1.Cluster)) *v1alpha1.Cluster {
	w.t.Helper()
	w.createHosts()
	w.start(runner)
	c := w.createCluster("demo", change, "cp1", "cp2", "cp3")
	w.ready(c)
	return c
}

func TestAnUpgradeOverTwoMinorVersionsIsAChainOfOperations(t *testing.T) {
	w := newWorld(t)
	w.createManifest(oldVersion, "v1.35.2", middleVersion, version)
	runner := newRunner(nil)
	c := w.three(runner, func(c *v1alpha1.Cluster) { c.Spec.Version = oldVersion })
	hold := make(chan struct{})
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		<-hold
		return succeed(ctx, request)
	})
	w.edit(c, func() { c.Spec.Version = version })
	w.Eventually(func() string {
		return capi.Condition(w.cluster("demo"), v1alpha1.ReadyCondition).Message
	}).Should(gomega.ContainSubstring("hop 1 of 2, to " + middleVersion))
	w.Expect(w.operations()).To(gomega.HaveLen(2), "a part is created when the one before has ended")
	close(hold)
	w.ready(c)
	w.Expect(c.Status.Version).To(gomega.Equal(version))
	w.Expect(c.Status.InstalledGeneration).To(gomega.Equal(c.Generation))
	w.Expect(w.operations()).To(gomega.HaveLen(3))
	for name, want := range map[string][2]string{"demo-upgrade-g2-1": {middleVersion, "1 of 2"}, "demo-upgrade-g2-2": {version, "2 of 2"}} {
		o := w.operation(name)
		w.Expect(o.Spec.Type).To(gomega.Equal(v1alpha1.UpgradeOperation))
		w.Expect(o.Spec.Version).To(gomega.Equal(want[0]))
		w.Expect(o.Annotations).To(gomega.HaveKeyWithValue(v1alpha1.HopAnnotation, want[1]))
		w.Expect(o.Status.Phase).To(gomega.Equal(v1alpha1.OperationSucceeded))
	}
	w.Expect(runner.mostAtOnce()).To(gomega.Equal(1))
}

func TestAChainStopsAtThePartThatFailsAndGoesOnThere(t *testing.T) {
	w := newWorld(t)
	w.createManifest(oldVersion, middleVersion, version)
	runner := newRunner(nil)
	c := w.three(runner, func(c *v1alpha1.Cluster) { c.Spec.Version = oldVersion })
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		if request.Operation.Spec.Version == version {
			return &provision.Outcome{Initialized: true}, errors.New("w1 does not drain")
		}
		return succeed(ctx, request)
	})
	w.edit(c, func() { c.Spec.Version = version })
	w.Expect(w.stalled(c, cluster.ReasonOperationFailed)).To(gomega.ContainSubstring("w1 does not drain"))
	w.Expect(c.Status.Version).To(gomega.Equal(middleVersion))
	w.Expect(c.Status.InstalledGeneration).To(gomega.Equal(int64(1)))
	runner.set(succeed)
	w.retry("demo", "the budget was relaxed")
	w.ready(c)
	last := w.operation("demo-upgrade-g2-3")
	w.Expect(last.Spec.Version).To(gomega.Equal(version))
	w.Expect(last.Annotations).To(gomega.HaveKeyWithValue(v1alpha1.HopAnnotation, "2 of 2"))
}

func TestAChangeOfConfigurationIsAConfigure(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	c := w.three(newRunner(nil), nil)
	w.edit(c, func() { c.Spec.ControlPlane.CertSANs = []string{"api.example.com"} })
	w.ready(c)
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-configure-g2-1"))
	w.Expect(w.operation("demo-configure-g2-1").Spec.Version).To(gomega.BeEmpty())
}

func TestWhatBreaksARuleIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	for name, test := range map[string]struct {
		at     string
		change func(*v1alpha1.Cluster)
		reason string
		says   string
	}{
		"a minor version that the bundle lacks on the way": {oldVersion, func(c *v1alpha1.Cluster) { c.Spec.Version = version }, string(plan.RefusedSkippedMinor), "v1.35"},
		"an older patch": {version, func(c *v1alpha1.Cluster) { c.Spec.Version = "v1.36.1" }, string(plan.RefusedDowngrade), version},
		"a pool at a version the bundle lacks": {version, func(c *v1alpha1.Cluster) { c.Spec.Workers[0].Version = "v1.35.1" },
			cluster.ReasonVersionNotInBundle, "v1.35.1"},
		"a worker that becomes a control plane at once": {version, func(c *v1alpha1.Cluster) {
			c.Spec.Workers = nil
			c.Spec.ControlPlane.Hosts = []string{"cp1", "cp2", "w1"}
		}, cluster.ReasonRoleChangeUnsupported, "w1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.createManifest(oldVersion, "v1.36.1", version)
			runner := newRunner(nil)
			c := w.three(runner, func(c *v1alpha1.Cluster) { c.Spec.Version = test.at })
			w.edit(c, func() { test.change(c) })
			w.Expect(w.stalled(c, test.reason)).To(gomega.ContainSubstring(test.says))
			w.Consistently(func() int { return len(w.operations()) }, time.Second/2, glance).Should(gomega.Equal(1))
			w.Expect(runner.calls()).To(gomega.HaveLen(1))
			w.Expect(w.host("w1").Status.Claim).NotTo(gomega.BeNil())
		})
	}
}

func TestARuleThatTheRunnerFindsBrokenIsTheReasonOfTheOperation(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	runner.set(func(context.Context, provision.Request) (*provision.Outcome, error) {
		return &provision.Outcome{Initialized: true}, &plan.RefusedError{Reason: plan.RefusedQuorum, Message: "etcd would have 1 healthy member of 2"}
	})
	w.edit(c, func() { c.Spec.ControlPlane.Hosts = []string{"cp1"} })
	w.Expect(w.stalled(c, cluster.ReasonOperationFailed)).To(gomega.ContainSubstring("1 healthy member of 2"))
	o := w.operation("demo-scale-g2-1")
	w.Expect(w.stalled(o, string(plan.RefusedQuorum))).To(gomega.ContainSubstring("1 healthy member of 2"))
	w.Expect(w.host("cp2").Status.Claim).NotTo(gomega.BeNil(), "a host is given up when its node is gone")
}

func TestAHostThatLeftTheSpecIsHandedOverAndGivenUpWhenItIsClean(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	w.edit(c, func() { c.Spec.Workers[0].Hosts = nil })
	w.ready(c)
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-scale-g2-1"))
	w.Expect(c.Status.Nodes).To(gomega.Equal(v1alpha1.NodeCounts{Desired: 3, Joined: 3, Ready: 3}))
	request := runner.calls()[1]
	w.Expect(request.Leaving).To(gomega.Equal([]string{"w1"}))
	w.Expect(request.Hosts).To(gomega.HaveLen(4), "it is still reached")
	w.Expect(request.Hosts[3].Credentials).NotTo(gomega.BeEmpty())
	w1 := w.host("w1")
	w.Expect(w1.Status.Claim).To(gomega.BeNil())
	w.ready(w1)
	w.Expect(capi.IsTrue(w1, v1alpha1.HostQuarantinedCondition)).To(gomega.BeFalse())

	other := w.createCluster("other", nil, "w1")
	w.ready(other)
}

func TestAHostThatIsGoneForGoodNeedsNoCredentialsAndIsQuarantined(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	w1 := w.host("w1")
	w.create(&corev1.Secret{ObjectMeta: w.meta("lost"), Type: v1alpha1.CredentialsMark, Data: map[string][]byte{v1alpha1.SSHPasswordKey: []byte("x")}})
	w.edit(w1, func() {
		w1.Spec.OnRemoval = v1alpha1.OrphanOnRemoval
		w1.Spec.CredentialsRef.Name = "lost"
		w1.Spec.BastionRef = &v1alpha1.LocalReference{Name: "burnt"}
	})
	w.delete(&corev1.Secret{ObjectMeta: w.meta("lost")})
	w.edit(c, func() { c.Spec.Workers = nil })
	w.ready(c)
	request := runner.calls()[1]
	w.Expect(request.Leaving).To(gomega.Equal([]string{"w1"}))
	w.Expect(request.Hosts[3].Host.Name).To(gomega.Equal("w1"))
	w.Expect(request.Hosts[3].Credentials).To(gomega.BeEmpty())

	message := w.stalled(w1, host.ReasonQuarantined)
	w.Expect(message).To(gomega.ContainSubstring("left cluster demo"))
	w.Expect(message).To(gomega.ContainSubstring(v1alpha1.EndQuarantineAnnotation))
	w.Expect(w1.Status.Claim).To(gomega.BeNil())
}

func TestAQuarantinedHostIsTakenByNobodyUntilSomebodySaysThatItIsClean(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		outcome, err := succeed(ctx, request)
		for _, name := range request.Leaving {
			outcome.Removed[name] = provision.RemovedHost{Problem: "no route to host"}
		}
		return outcome, err
	})
	w.edit(c, func() { c.Spec.Workers = nil })
	w.ready(c)
	w1 := w.host("w1")
	w.Expect(w.stalled(w1, host.ReasonQuarantined)).To(gomega.ContainSubstring("no route to host"))

	other := w.createCluster("other", nil, "w1")
	w.Expect(w.stalled(other, cluster.ReasonHostQuarantined)).To(gomega.ContainSubstring("no route to host"))
	w.edit(c, func() { c.Spec.Workers = []v1alpha1.WorkerPool{{Name: "pool", Hosts: []string{"w1"}}} })
	w.stalled(c, cluster.ReasonHostQuarantined)
	w.Expect(w.host("w1").Status.Claim).To(gomega.BeNil())
	w.edit(c, func() { c.Spec.Workers = nil })
	w.ready(c)

	w.edit(w1, func() { metav1.SetMetaDataAnnotation(&w1.ObjectMeta, v1alpha1.EndQuarantineAnnotation, "true") })
	w.ready(other)
	w.Eventually(func() map[string]string { return w.host("w1").Annotations }).ShouldNot(gomega.HaveKey(v1alpha1.EndQuarantineAnnotation),
		"it ends one quarantine, not the next")
	w.Expect(capi.Condition(w.host("w1"), v1alpha1.HostQuarantinedCondition).Reason).To(gomega.Equal("EndedByHand"))
}

func TestAResetQuarantinesTheHostsItWasToLeaveAlone(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, func(c *v1alpha1.Cluster) { c.Spec.DeletionPolicy = v1alpha1.ResetOnDelete })
	w1 := w.host("w1")
	w.edit(w1, func() { w1.Spec.OnRemoval = v1alpha1.OrphanOnRemoval })
	w.delete(c)
	w.gone(c)
	w.stalled(w1, host.ReasonQuarantined)
	w.ready(w.host("cp1"))
}

// deleteFailing deletes a cluster of four hosts with policy Reset, which fails on w1.
func (w *world) deleteFailing(runner *fakeRunner) *v1alpha1.Cluster {
	w.t.Helper()
	w.createManifest(version)
	c := w.three(runner, func(c *v1alpha1.Cluster) { c.Spec.DeletionPolicy = v1alpha1.ResetOnDelete })
	runner.set(exceptOn("w1", "no route to host"))
	w.delete(c)
	w.Expect(w.stalled(c, cluster.ReasonResetFailed)).To(gomega.And(gomega.ContainSubstring("w1"), gomega.ContainSubstring("no route to host")))
	return c
}

func TestAResetThatFailsOnOneHostIsDoneWithTheOthersAndNeedsNoneThatIsGoneForGood(t *testing.T) {
	w := newWorld(t)
	runner := newRunner(nil)
	c := w.deleteFailing(runner)
	w.Expect(runner.calls()[1].Leaving).To(gomega.Equal([]string{"cp1", "cp2", "cp3", "w1"}))
	w.Expect(w.host("cp1").Status.Claim).To(gomega.BeNil(), "it is clean, whatever becomes of the others")
	w.ready(w.host("cp1"))
	w1 := w.host("w1")
	w.Expect(w1.Status.Claim).NotTo(gomega.BeNil())
	w.Expect(capi.IsTrue(w1, v1alpha1.HostQuarantinedCondition)).To(gomega.BeFalse(), "it may still be reset")

	w.edit(w1, func() { w1.Spec.OnRemoval = v1alpha1.OrphanOnRemoval })
	runner.set(succeed)
	w.retry("demo", "w1 is gone for good")
	w.gone(c)
	w.Expect(runner.calls()[2].Leaving).To(gomega.Equal([]string{"w1"}), "clean hosts are not asked again")
	w.Expect(w.stalled(w1, host.ReasonQuarantined)).To(gomega.ContainSubstring("spec.onRemoval is Orphan"))
	w.Expect(w1.Status.Claim).To(gomega.BeNil())
}

func TestAHostThatCouldNotBeResetIsQuarantinedWhenItsClusterIsForgotten(t *testing.T) {
	w := newWorld(t)
	runner := newRunner(nil)
	c := w.deleteFailing(runner)
	w.edit(c, func() { c.Spec.DeletionPolicy = v1alpha1.OrphanOnDelete })
	w.gone(c)
	w1 := w.host("w1")
	w.Expect(w.stalled(w1, host.ReasonQuarantined)).To(gomega.And(
		gomega.ContainSubstring("could not be reset"), gomega.ContainSubstring("no route to host"), gomega.ContainSubstring("demo-reset-1")))
	w.Expect(w1.Status.Claim).To(gomega.BeNil())
	w.ready(w.host("cp1"))
	w.Expect(runner.calls()).To(gomega.HaveLen(2))
}

func TestAResetGoesByWhatTheClusterHoldsAndNotByItsSpec(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, func(c *v1alpha1.Cluster) { c.Spec.DeletionPolicy = v1alpha1.ResetOnDelete })
	runner.set(failWith(errors.New("the node cannot be drained")))
	w.edit(c, func() { c.Spec.Workers = []v1alpha1.WorkerPool{{Name: "pool", Hosts: nil}} })
	w.stalled(c, cluster.ReasonOperationFailed)
	w.edit(c, func() { c.Spec.Workers = []v1alpha1.WorkerPool{{Name: "pool", Hosts: []string{"there-is-none"}}} })
	w.stalled(c, cluster.ReasonHostNotFound)
	w.delete(&corev1.Secret{ObjectMeta: w.meta("demo-ca")})
	runner.set(succeed)
	w.delete(c)
	w.gone(c)
	calls := runner.calls()
	reset := calls[len(calls)-1]
	w.Expect(reset.Operation.Spec.Type).To(gomega.Equal(v1alpha1.ResetOperation))
	w.Expect(reset.Leaving).To(gomega.Equal([]string{"cp1", "cp2", "cp3", "w1"}), "w1 left the spec and was never taken out")
	w.Expect(reset.Hosts).To(gomega.HaveLen(4))
	w.ready(w.host("w1"))
	w.Expect(w.host("w1").Status.Claim).To(gomega.BeNil())
}

func TestAResetOfAClusterThatStaysGivesNoHostUp(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	w.edit(c, func() { metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AllowResetAnnotation, "by-hand") })
	o := &v1alpha1.ClusterOperation{ObjectMeta: w.meta("by-hand"), Spec: v1alpha1.ClusterOperationSpec{
		ClusterRef: v1alpha1.LocalReference{Name: "demo"}, Type: v1alpha1.ResetOperation,
	}}
	w.create(o)
	w.ready(o)
	w.Expect(runner.calls()[1].Leaving).To(gomega.HaveLen(4))
	w.Expect(w.host("w1").Status.Claim).NotTo(gomega.BeNil())
}
