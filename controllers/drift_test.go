package controllers_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/provision"
)

// clock is the time of day, moved on by the test.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// moveOn lets time pass and has the cluster looked at, as its timer would.
func (c *clock) moveOn(w *world, d time.Duration) {
	w.t.Helper()
	c.ahead.Add(int64(d))
	demo := w.cluster("demo")
	w.edit(demo, func() { metav1.SetMetaDataAnnotation(&demo.ObjectMeta, "test.example/time", c.now().String()) })
}

// drifting answers comparisons as found says, and everything else by succeeding.
func drifting(found func() (*provision.Outcome, error)) func(context.Context, provision.Request) (*provision.Outcome, error) {
	return func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		if request.Operation.Spec.Type == v1alpha1.CheckOperation {
			return found()
		}
		return succeed(ctx, request)
	}
}

func inSync() (*provision.Outcome, error) { return &provision.Outcome{Initialized: true}, nil }

func differs() (*provision.Outcome, error) {
	return &provision.Outcome{Initialized: true, Changed: true, Plan: []v1alpha1.PlannedChange{
		{Host: "w1", Step: "kubelet/config", Why: "maxPods is 110, want 60"},
	}}, nil
}

// syncs waits until the condition InSync has a reason, and returns its message.
func (w *world) syncs(reason string) string {
	w.t.Helper()
	message := ""
	w.Eventually(func(g gomega.Gomega) {
		condition := capi.Condition(w.cluster("demo"), v1alpha1.InSyncCondition)
		g.Expect(condition).NotTo(gomega.BeNil())
		g.Expect(condition.Reason).To(gomega.Equal(reason), condition.Message)
		message = condition.Message
	}).Should(gomega.Succeed())
	return message
}

func TestDriftIsDetectedAndShownAndNothingElseIsWritten(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	day := &clock{}
	w.options.Now = day.now
	runner := newRunner(drifting(inSync))
	c := w.three(runner, nil)
	w.syncs(cluster.ReasonObservedByOperation)
	hosts := func() string {
		var versions []string
		for _, name := range []string{"cp1", "cp2", "cp3", "w1"} {
			versions = append(versions, w.host(name).ResourceVersion)
		}
		return strings.Join(versions, " ")
	}
	before := hosts()

	day.moveOn(w, 2*time.Hour)
	w.syncs(cluster.ReasonCompared)
	check := w.operation("demo-check-1")
	w.Expect(check.Spec.Type).To(gomega.Equal(v1alpha1.CheckOperation))
	w.Expect(check.Spec.Approval).NotTo(gomega.Equal(v1alpha1.ApprovalRequired))
	w.ready(c)
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-install-g1-1"))

	runner.set(drifting(differs))
	day.moveOn(w, 2*time.Hour)
	w.Expect(w.syncs(cluster.ReasonDrifted)).To(gomega.Equal("1 differences on 1 hosts: w1: kubelet/config: maxPods is 110, want 60"))
	w.ready(c)
	status := c.Status.DeepCopy()
	for n, name := range []string{"demo-check-3", "demo-check-4"} {
		day.moveOn(w, 2*time.Hour)
		w.reaches(name, v1alpha1.OperationSucceeded)
		w.Eventually(func() int { return len(w.operations()) }).Should(gomega.Equal(3), "the installation and two comparisons are kept, after %d more", n+1)
	}
	w.Expect(w.cluster("demo").Status).To(gomega.Equal(*status), "what was found again is not written again")
	w.Expect(hosts()).To(gomega.Equal(before), "a comparison leaves no trace on hosts")

	runner.set(drifting(func() (*provision.Outcome, error) { return &provision.Outcome{}, errors.New("w1 does not answer") }))
	day.moveOn(w, 2*time.Hour)
	w.Expect(w.syncs(cluster.ReasonNotCompared)).To(gomega.ContainSubstring("w1 does not answer"))
	w.ready(c)
	w.Expect(runner.calls()[1].Operation.Spec.ClusterGeneration).To(gomega.Equal(c.Generation))
}

func TestDriftIsCorrectedWhenThePolicySaysSo(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	day := &clock{}
	w.options.Now = day.now
	runner := newRunner(drifting(differs))
	c := w.three(runner, func(c *v1alpha1.Cluster) { c.Spec.Drift.Mode = v1alpha1.CorrectDrift })
	day.moveOn(w, 2*time.Hour)
	w.reaches("demo-configure-g1-2", v1alpha1.OperationSucceeded)
	w.syncs(cluster.ReasonObservedByOperation)
	w.ready(c)
	w.Consistently(func() int { return len(w.operations()) }, "1s", glance).Should(gomega.Equal(3), "differences are corrected once")
	w.Expect(runner.calls()).To(gomega.HaveLen(3))
}

func TestACorrectionWaitsForApprovalWhereOperationsDo(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	day := &clock{}
	w.options.Now = day.now
	runner := newRunner(nil)
	c := w.three(runner, nil)
	runner.set(func(context.Context, provision.Request) (*provision.Outcome, error) { return inSync() })
	w.edit(c, func() {
		manual(c)
		c.Spec.Drift.Mode = v1alpha1.CorrectDrift
	})
	w.ready(c)
	runner.set(planned("maxPods is 110, want 60"))
	day.moveOn(w, 2*time.Hour)
	o := w.reaches("demo-configure-g2-2", v1alpha1.OperationAwaitingApproval)
	w.syncs(cluster.ReasonDrifted)
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.syncs(cluster.ReasonObservedByOperation)
	w.ready(c)
}

func TestAWantedOperationDoesNotWaitForAComparison(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	day := &clock{}
	w.options.Now = day.now
	runner := newRunner(nil)
	c := w.three(runner, nil)
	began := make(chan provision.Request, 1)
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		if request.Operation.Spec.Type == v1alpha1.CheckOperation {
			return untilCancelled(began)(ctx, request)
		}
		return succeed(ctx, request)
	})
	day.moveOn(w, 2*time.Hour)
	<-began
	w.edit(c, func() { c.Spec.ControlPlane.CertSANs = []string{"api.example.com"} })
	w.ready(c)
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-configure-g2-1"))
	w.Expect(w.operation("demo-check-1").Status.Phase).To(gomega.Equal(v1alpha1.OperationCancelled))
	w.syncs(cluster.ReasonObservedByOperation)
	w.Expect(runner.mostAtOnce()).To(gomega.Equal(1))
}

func TestNobodyLooksForDriftWherePolicyOrPauseForbid(t *testing.T) {
	for name, forbid := range map[string]func(*v1alpha1.Cluster){
		"policy": func(c *v1alpha1.Cluster) { c.Spec.Drift.Mode = v1alpha1.IgnoreDrift },
		"pause": func(c *v1alpha1.Cluster) {
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, "cluster.x-k8s.io/paused", "true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.createManifest(version)
			w.createHost("cp1", "192.0.2.11")
			day := &clock{}
			w.options.Now = day.now
			stop := w.start(newRunner(nil))
			c := w.createCluster("demo", nil, "cp1")
			w.ready(c)
			w.edit(c, func() { forbid(c) })
			w.ready(c)
			before := len(w.operations())
			stop()
			w.start(newRunner(nil))
			day.moveOn(w, 2*time.Hour)
			w.Consistently(func() int { return len(w.operations()) }, "1s", glance).Should(gomega.Equal(before))
		})
	}
}

func TestTheKeyOfBackupsIsMadeOnceAndHandedOverWithoutItsSecret(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	secret := &corev1.Secret{}
	w.get(secret, "demo-backup")
	w.Expect(string(secret.Type)).To(gomega.Equal("cluster.x-k8s.io/secret"))
	w.Expect(metav1.IsControlledBy(secret, c)).To(gomega.BeTrue())
	recipient := string(secret.Data[capi.BackupRecipientName])
	w.Expect(recipient).To(gomega.HavePrefix("age1"))
	w.Expect(runner.calls()[0].BackupRecipient).To(gomega.Equal(recipient))

	// Kept without what reads snapshots it serves as well; broken it stops everything; and a lost one is made anew.
	w.edit(secret, func() { delete(secret.Data, capi.BackupIdentityName) })
	w.retry("demo", "again")
	w.reaches("demo-configure-g1-2", v1alpha1.OperationSucceeded)
	w.ready(c)
	w.edit(secret, func() { secret.Data[capi.BackupRecipientName] = []byte("nobody") })
	w.retry("demo", "with a broken key")
	w.Expect(w.stalled(c, cluster.ReasonBackupKeyBroken)).To(gomega.ContainSubstring("demo-backup"))
	w.Expect(runner.calls()).To(gomega.HaveLen(2))
	w.delete(secret)
	w.retry("demo", "without a key")
	w.ready(c)
	w.Eventually(func() int { return len(runner.calls()) }).Should(gomega.Equal(3))
	w.Expect(runner.calls()[2].BackupRecipient).NotTo(gomega.Equal(recipient))
}
