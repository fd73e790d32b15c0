package controllers_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/controllers/operation"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

func manual(c *v1alpha1.Cluster) { c.Spec.OperationPolicy = v1alpha1.ManualOperations }

// oneHost makes a world with a cluster of one host, without waiting for it. stop ends its controllers.
func oneHost(t *testing.T, runner *fakeRunner, change func(*v1alpha1.Cluster)) (w *world, c *v1alpha1.Cluster, stop func()) {
	t.Helper()
	w = newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	stop = w.start(runner)
	return w, w.createCluster("demo", change, "cp1"), stop
}

// byHand creates an operation as a person would.
func (w *world) byHand(name string, spec v1alpha1.ClusterOperationSpec) {
	w.t.Helper()
	spec.ClusterRef.Name = "demo"
	w.create(&v1alpha1.ClusterOperation{ObjectMeta: w.meta(name), Spec: spec})
}

// annotate sets an annotation of an operation.
func (w *world) annotate(name, key, value string) {
	w.t.Helper()
	o := w.operation(name)
	w.edit(o, func() { metav1.SetMetaDataAnnotation(&o.ObjectMeta, key, value) })
}

// reaches waits until an operation is in a phase, and returns it.
func (w *world) reaches(name string, phase v1alpha1.OperationPhase) *v1alpha1.ClusterOperation {
	w.t.Helper()
	o := &v1alpha1.ClusterOperation{}
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(env.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, o)).To(gomega.Succeed())
		g.Expect(o.Status.Phase).To(gomega.Equal(phase), "conditions: %v", o.Status.Conditions)
	}).Should(gomega.Succeed())
	return o
}

// says is the message of an object's Ready condition.
func says(object capi.Object) string {
	if ready := capi.Condition(object, v1alpha1.ReadyCondition); ready != nil {
		return ready.Message
	}
	return ""
}

func TestAManualOperationShowsItsPlanAndWaitsUntilExactlyThatIsApproved(t *testing.T) {
	runner := newRunner(planned("kubelet is missing"))
	w, c, _ := oneHost(t, runner, manual)
	o := w.reaches("demo-install-g1-1", v1alpha1.OperationAwaitingApproval)
	w.Expect(o.Spec.Approval).To(gomega.Equal(v1alpha1.ApprovalRequired))
	w.Expect(o.Status.Plan).To(gomega.Equal([]v1alpha1.PlannedChange{{Step: "node/ready", Host: "cp1", Why: "kubelet is missing"}}))
	w.Expect(o.Status.PlanDigest).To(gomega.HavePrefix("sha256:"))
	w.Expect(says(o)).To(gomega.ContainSubstring("kubewright approve demo-install-g1-1"))
	w.Expect(capi.Condition(o, v1alpha1.ReadyCondition).Reason).To(gomega.Equal(operation.ReasonAwaitingApproval))
	w.Eventually(func() string { return capi.Condition(w.cluster("demo"), v1alpha1.ReadyCondition).Reason }).Should(gomega.Equal(cluster.ReasonAwaitingApproval))
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
	w.Expect(runner.calls()[0].Operation.Spec.Mode).To(gomega.Equal(v1alpha1.PlanMode))
	w.Expect(w.host("cp1").Status.Step).To(gomega.BeNil(), "a plan leaves no trace on hosts")

	w.annotate(o.Name, v1alpha1.ApproveAnnotation, "yes")
	w.Eventually(func() string { return says(w.operation(o.Name)) }).Should(gomega.ContainSubstring("what was approved (yes) is not"))
	w.Expect(runner.calls()).To(gomega.HaveLen(1))

	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.ready(c)
	last := runner.calls()[1]
	w.Expect(last.Operation.Spec.Mode).To(gomega.Equal(v1alpha1.ApplyMode))
	w.Expect(last.ApprovedPlan).To(gomega.Equal(o.Status.PlanDigest))
	w.Expect(last.Attempt).To(gomega.Equal(2))
	w.Expect(w.operation(o.Name).Status.Plan).NotTo(gomega.BeEmpty(), "the record keeps what was approved")
}

func TestWhileAnOperationOnlyPlansHostsSayWhichOneChangedThem(t *testing.T) {
	runner := newRunner(nil)
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	runner.set(planned("kubelet is missing"))
	w.edit(c, func() { manual(c) })
	w.reaches("demo-configure-g2-1", v1alpha1.OperationAwaitingApproval)
	row := w.printed("hosts", "cp1")
	w.Expect(row).To(gomega.HaveKeyWithValue("Operation", "demo-install-g1-1"))
	w.Expect(row).To(gomega.HaveKeyWithValue("State", "Changed"))
}

// printed is what kubectl shows of an object, by column.
func (w *world) printed(resource, name string) map[string]any {
	w.t.Helper()
	http, err := rest.HTTPClientFor(env.Config)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	config := rest.CopyConfig(env.Config)
	config.GroupVersion, config.APIPath, config.NegotiatedSerializer = &v1alpha1.GroupVersion, "/apis", serializer.NewCodecFactory(env.Scheme).WithoutConversion()
	api, err := rest.RESTClientForConfigAndClient(config, http)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	data, err := api.Get().Namespace(w.namespace).Resource(resource).Name(name).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(w.t.Context()).Raw()
	w.Expect(err).NotTo(gomega.HaveOccurred())
	table := metav1.Table{}
	w.Expect(json.Unmarshal(data, &table)).To(gomega.Succeed())
	w.Expect(table.Rows).To(gomega.HaveLen(1))
	row := map[string]any{}
	for i, column := range table.ColumnDefinitions {
		row[column.Name] = table.Rows[0].Cells[i]
	}
	return row
}

func TestAPlanThatChangedIsShownAgain(t *testing.T) {
	runner := newRunner(planned("kubelet is missing"))
	w, c, _ := oneHost(t, runner, manual)
	o := w.reaches("demo-install-g1-1", v1alpha1.OperationAwaitingApproval)
	runner.set(planned("everything is missing"))
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.Eventually(func(g gomega.Gomega) {
		now := &v1alpha1.ClusterOperation{}
		g.Expect(env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), now)).To(gomega.Succeed())
		g.Expect(now.Status.Phase).To(gomega.Equal(v1alpha1.OperationAwaitingApproval))
		g.Expect(now.Status.PlanDigest).NotTo(gomega.Equal(o.Status.PlanDigest))
		g.Expect(now.Status.Plan[0].Why).To(gomega.Equal("everything is missing"))
		g.Expect(says(now)).To(gomega.ContainSubstring("not any more, what would be done"))
	}).Should(gomega.Succeed())
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, w.operation(o.Name).Status.PlanDigest)
	w.ready(c)
	w.Expect(runner.calls()).To(gomega.HaveLen(4))
}

func TestAnEmptyPlanNeedsNoApproval(t *testing.T) {
	runner := newRunner(nil)
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	runner.set(func(context.Context, provision.Request) (*provision.Outcome, error) {
		return &provision.Outcome{Initialized: true, PlanDigest: "sha256:0"}, nil
	})
	w.edit(c, func() { manual(c) })
	w.ready(c)
	w.Expect(runner.calls()).To(gomega.HaveLen(2))
	w.Expect(says(w.operation("demo-configure-g2-1"))).To(gomega.ContainSubstring("nothing had to be changed"))
}

func TestARestartLeavesAnOperationWaitingForItsApproval(t *testing.T) {
	w, c, stop := oneHost(t, newRunner(planned("kubelet is missing")), manual)
	o := w.reaches("demo-install-g1-1", v1alpha1.OperationAwaitingApproval)
	stop()
	runner := newRunner(planned("kubelet is missing"))
	w.start(runner)
	w.Consistently(func() int { return len(runner.calls()) }, time.Second, glance).Should(gomega.BeZero())
	w.Expect(w.operation(o.Name).Status.Phase).To(gomega.Equal(v1alpha1.OperationAwaitingApproval))
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.ready(c)
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
}

func TestAnotherLeaderMakesThePlanAgainThatTheLastOneLeftUnfinished(t *testing.T) {
	began := make(chan provision.Request, 10)
	w, c, stop := oneHost(t, newRunner(untilCancelled(began)), manual)
	w.Expect((<-began).Operation.Spec.Mode).To(gomega.Equal(v1alpha1.PlanMode))
	stop()
	w.Expect(w.operation("demo-install-g1-1").Status.Phase).To(gomega.Equal(v1alpha1.OperationRunning))
	w.start(newRunner(planned("kubelet is missing")))
	o := w.reaches("demo-install-g1-1", v1alpha1.OperationAwaitingApproval)
	w.Expect(o.Status.Attempt).To(gomega.Equal(int32(2)))
	w.Expect(o.Status.StartedAt).To(gomega.BeNil(), "nothing was begun yet")
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.ready(c)
}

func TestAnApprovedOperationThatWasInterruptedGoesOnWithoutAnotherApproval(t *testing.T) {
	began := make(chan provision.Request, 10)
	runner := newRunner(planned("kubelet is missing"))
	w, c, stop := oneHost(t, runner, manual)
	o := w.reaches("demo-install-g1-1", v1alpha1.OperationAwaitingApproval)

	// Cut off before anything was changed: what was approved still has to be what is done.
	runner.set(untilCancelled(began))
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.Expect((<-began).ApprovedPlan).To(gomega.Equal(o.Status.PlanDigest))
	stop()
	runner = newRunner(untilStopped(began, nil))
	stop = w.start(runner)
	w.Expect((<-began).ApprovedPlan).To(gomega.Equal(o.Status.PlanDigest))

	// Cut off in the middle of it: the rest has another digest and was approved with the whole.
	w.Eventually(func() int {
		steps := w.operation(o.Name).Status.Steps
		if len(steps) == 0 {
			return 0
		}
		return int(steps[0].Changed)
	}).Should(gomega.Equal(1))
	stop()
	runner = newRunner(succeed)
	w.start(runner)
	w.ready(c)
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
	w.Expect(runner.calls()[0].ApprovedPlan).To(gomega.BeEmpty())
	w.Expect(runner.calls()[0].Operation.Spec.Mode).To(gomega.Equal(v1alpha1.ApplyMode))
}

func TestAChangedSpecSupersedesAnOperationThatWaitsForApproval(t *testing.T) {
	runner := newRunner(planned("kubelet is missing"))
	w, c, _ := oneHost(t, runner, manual)
	first := w.reaches("demo-install-g1-1", v1alpha1.OperationAwaitingApproval)
	w.edit(c, func() { c.Spec.ControlPlane.CertSANs = []string{"api.example.com"} })
	w.Eventually(func() string { return capi.Condition(w.operation(first.Name), v1alpha1.StalledCondition).Reason }).Should(gomega.Equal(operation.ReasonSuperseded))
	w.Expect(w.operation(first.Name).Status.Phase).To(gomega.Equal(v1alpha1.OperationCancelled))
	second := w.reaches("demo-install-g2-1", v1alpha1.OperationAwaitingApproval)
	w.annotate(second.Name, v1alpha1.ApproveAnnotation, second.Status.PlanDigest)
	w.ready(c)
}

func TestAnOperationThatWaitsForApprovalLetsOthersGoFirstAndCanBeCancelled(t *testing.T) {
	runner := newRunner(nil)
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	runner.set(planned("labels differ"))
	w.edit(c, func() { manual(c) })
	o := w.reaches("demo-configure-g2-1", v1alpha1.OperationAwaitingApproval)
	w.byHand("snapshot", v1alpha1.ClusterOperationSpec{Type: v1alpha1.BackupEtcdOperation})
	w.reaches("snapshot", v1alpha1.OperationSucceeded)
	w.Expect(w.operation(o.Name).Status.Phase).To(gomega.Equal(v1alpha1.OperationAwaitingApproval))

	w.annotate(o.Name, v1alpha1.CancelAnnotation, "no")
	w.reaches(o.Name, v1alpha1.OperationCancelled)
	w.Expect(w.stalled(c, cluster.ReasonOperationCancelled)).To(gomega.ContainSubstring(v1alpha1.RetryAnnotation))
	w.Consistently(func() int { return len(w.operations()) }, time.Second/2, glance).Should(gomega.Equal(3))
	w.retry("demo", "after all")
	w.reaches("demo-configure-g2-2", v1alpha1.OperationAwaitingApproval)
}

func TestAnOperationOfAPersonMayNeedApprovalToo(t *testing.T) {
	runner := newRunner(nil)
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	runner.set(planned("a snapshot is wanted"))
	w.byHand("by-hand", v1alpha1.ClusterOperationSpec{Type: v1alpha1.ConfigureOperation, Approval: v1alpha1.ApprovalRequired})
	o := w.reaches("by-hand", v1alpha1.OperationAwaitingApproval)
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.reaches("by-hand", v1alpha1.OperationSucceeded)
}

func TestAHostIsNotGivenUpForAPlanInWhichItHasLeft(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		outcome, err := planned("its node is there")(ctx, request)
		outcome.Removed = map[string]provision.RemovedHost{"w1": {Cleaned: true}}
		return outcome, err
	})
	w.edit(c, func() {
		manual(c)
		c.Spec.Workers = nil
	})
	o := w.reaches("demo-scale-g2-1", v1alpha1.OperationAwaitingApproval)
	w.Expect(w.host("w1").Status.Claim).NotTo(gomega.BeNil())
	w.annotate(o.Name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	w.ready(c)
	w.Expect(w.host("w1").Status.Claim).To(gomega.BeNil())
}

func TestAPlanThatCannotBeMadeFailsTheOperation(t *testing.T) {
	w, c, _ := oneHost(t, newRunner(failWith(errors.New("cp1 does not answer"))), manual)
	w.Expect(w.stalled(c, cluster.ReasonOperationFailed)).To(gomega.ContainSubstring("cp1 does not answer"))
}

func TestAnOperationInModePlanTouchesNothingAndHasADigest(t *testing.T) {
	runner := newRunner(nil)
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	runner.set(planned("labels differ"))
	w.byHand("what-if", v1alpha1.ClusterOperationSpec{Type: v1alpha1.ConfigureOperation, Mode: v1alpha1.PlanMode})
	o := w.reaches("what-if", v1alpha1.OperationSucceeded)
	w.Expect(o.Status.PlanDigest).To(gomega.HavePrefix("sha256:"))
	w.Expect(o.Status.Plan).To(gomega.HaveLen(1))
	w.Expect(says(o)).To(gomega.ContainSubstring("1 changes would be made"))
	w.Expect(w.host("cp1").Status.Step.Operation).To(gomega.Equal("demo-install-g1-1"))
	w.ready(c)
}

func TestACancelledOperationStopsAtASafePointAndIsNotBegunAgainByItself(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	began, let := make(chan provision.Request, 10), make(chan struct{})
	runner.set(untilStopped(began, let))
	w.edit(c, func() { c.Spec.ControlPlane.CertSANs = []string{"api.example.com"} })
	<-began
	w.annotate("demo-configure-g2-1", v1alpha1.CancelAnnotation, "true")
	w.Eventually(func() string {
		return capi.Condition(w.operation("demo-configure-g2-1"), v1alpha1.ReadyCondition).Reason
	}).Should(gomega.Equal(operation.ReasonCancelling))
	w.Expect(w.operation("demo-configure-g2-1").Status.Phase).To(gomega.Equal(v1alpha1.OperationRunning))
	close(let)
	o := w.reaches("demo-configure-g2-1", v1alpha1.OperationCancelled)
	w.Expect(says(o)).To(gomega.Equal("stopped at a safe point after 0 of 1 steps, node/ready on 1 of 4 hosts"))
	w.Expect(w.stalled(c, cluster.ReasonOperationCancelled)).To(gomega.ContainSubstring("stopped at a safe point"))
	w.Consistently(func() int { return len(w.operations()) }, time.Second/2, glance).Should(gomega.Equal(2))

	runner.set(succeed)
	w.retry("demo", "go on")
	w.ready(c)
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-configure-g2-2"))
}

func TestARestartWhileACancelledOperationStopsBringsItToASafePointFirst(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	w.createHosts()
	stop := w.start(runner)
	c := w.createCluster("demo", nil, "cp1", "cp2", "cp3")
	w.ready(c)
	began := make(chan provision.Request, 10)
	runner.set(untilStopped(began, nil))
	w.edit(c, func() { c.Spec.ControlPlane.CertSANs = []string{"api.example.com"} })
	<-began
	w.annotate("demo-configure-g2-1", v1alpha1.CancelAnnotation, "true")
	w.Eventually(func() string {
		return capi.Condition(w.operation("demo-configure-g2-1"), v1alpha1.ReadyCondition).Reason
	}).Should(gomega.Equal(operation.ReasonCancelling))
	stop()
	runner = newRunner(func(_ context.Context, request provision.Request) (*provision.Outcome, error) {
		select {
		case <-request.Stop:
			return &provision.Outcome{Initialized: true}, engine.ErrStopped
		default:
			return &provision.Outcome{Initialized: true}, errors.New("something new would have been begun")
		}
	})
	w.start(runner)
	w.reaches("demo-configure-g2-1", v1alpha1.OperationCancelled)
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
	w.Expect(runner.calls()[0].Attempt).To(gomega.Equal(2))
}

func TestAnOperationThatEndsWellAlthoughItWasCancelledHasSucceeded(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	began := make(chan struct{})
	w.start(newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		close(began)
		<-request.Stop
		return succeed(ctx, request)
	}))
	c := w.createCluster("demo", nil, "cp1")
	<-began
	w.annotate("demo-install-g1-1", v1alpha1.CancelAnnotation, "true")
	w.ready(c)
}

func TestAQueuedOperationSaysItsPlaceAndIsCancelledAtOnce(t *testing.T) {
	runner := newRunner(nil)
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	hold := make(chan struct{})
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		<-hold
		return succeed(ctx, request)
	})
	for _, name := range []string{"a", "b", "c"} {
		w.byHand(name, v1alpha1.ClusterOperationSpec{Type: v1alpha1.BackupEtcdOperation})
		if name == "a" {
			w.reaches("a", v1alpha1.OperationRunning)
		}
	}
	w.Eventually(func() string { return says(w.operation("c")) }).Should(gomega.ContainSubstring("waiting for operation a to end, at place 2 of the queue"))
	w.annotate("b", v1alpha1.CancelAnnotation, "true")
	w.Expect(says(w.reaches("b", v1alpha1.OperationCancelled))).To(gomega.ContainSubstring("before anything was done"))
	w.Eventually(func() string { return says(w.operation("c")) }).Should(gomega.ContainSubstring("at place 1 of the queue"))
	close(hold)
	w.reaches("c", v1alpha1.OperationSucceeded)
	w.ready(c)
	w.Expect(runner.calls()).To(gomega.HaveLen(3))
}

func TestADeletedOperationGoesWhenItHasComeToASafePoint(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	runner := newRunner(nil)
	c := w.three(runner, nil)
	began, let := make(chan provision.Request, 10), make(chan struct{})
	runner.set(untilStopped(began, let))
	w.byHand("by-hand", v1alpha1.ClusterOperationSpec{Type: v1alpha1.ConfigureOperation})
	request := <-began
	o := w.operation("by-hand")
	w.delete(o)
	w.Eventually(request.Stop).Should(gomega.BeClosed())
	w.Consistently(func() error {
		return env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o)
	}, time.Second/2, glance).Should(gomega.Succeed())
	close(let)
	w.gone(o)
	w.ready(c)
}
