package controllers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/controllers/operation"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
	"github.com/kubewright/kubewright/pkg/ssh"
)

func TestARestartInTheMiddleBeginsTheNextAttempt(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	began := make(chan provision.Request, 10)
	stop := w.start(newRunner(untilCancelled(began)))
	c := w.createCluster("demo", nil, "cp1")
	first := <-began
	w.Expect(first.Attempt).To(gomega.Equal(1))
	w.Eventually(func() v1alpha1.OperationPhase { return w.operation("demo-install-g1-1").Status.Phase }).Should(gomega.Equal(v1alpha1.OperationRunning))
	stop()
	interrupted := w.operation("demo-install-g1-1")
	w.Expect(interrupted.Status.Phase).To(gomega.Equal(v1alpha1.OperationRunning), "what was cut off has not failed")
	w.Expect(interrupted.Status.Attempt).To(gomega.Equal(int32(1)))

	runner := newRunner(nil)
	w.start(runner)
	w.ready(c)
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
	w.Expect(runner.calls()[0].Attempt).To(gomega.Equal(2))
	w.Expect(runner.calls()[0].Authorities).To(gomega.Equal(first.Authorities))
	ended := w.operation("demo-install-g1-1")
	w.Expect(ended.Status.Phase).To(gomega.Equal(v1alpha1.OperationSucceeded))
	w.Expect(ended.Status.Attempt).To(gomega.Equal(int32(2)))
	w.Expect(w.operations()).To(gomega.HaveLen(1))
}

func TestARetryAskedForInTheMiddleIsAnsweredByTheOperationUnderWay(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	began := make(chan provision.Request, 10)
	stop := w.start(newRunner(untilCancelled(began)))
	c := w.createCluster("demo", nil, "cp1")
	<-began
	stop()
	w.retry("demo", "the same command again")
	hold := make(chan struct{})
	runner := newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		<-hold
		return succeed(ctx, request)
	})
	w.start(runner)
	w.Eventually(func() string {
		return w.operation("demo-install-g1-1").Annotations[v1alpha1.RetryAnnotation]
	}).Should(gomega.Equal("the same command again"))
	close(hold)
	w.ready(c)
	w.Consistently(func() int { return len(w.operations()) }, time.Second, glance).Should(gomega.Equal(1))
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
}

func TestOneOperationRunsAtATimeUponACluster(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	hold := make(chan struct{})
	runner.set(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return succeed(ctx, request)
	})
	for i := range 3 {
		w.create(&v1alpha1.ClusterOperation{ObjectMeta: w.meta(fmt.Sprintf("check-%d", i)), Spec: v1alpha1.ClusterOperationSpec{
			ClusterRef: v1alpha1.LocalReference{Name: "demo"}, Type: v1alpha1.CheckOperation,
		}})
	}
	w.retry("demo", "and an install")
	w.Eventually(func() int { return len(runner.calls()) }).Should(gomega.Equal(2))
	w.Consistently(func() int { return len(runner.calls()) }, time.Second, glance).Should(gomega.Equal(2))
	waiting := 0
	for _, o := range w.operations() {
		if ready := capi.Condition(&o, v1alpha1.ReadyCondition); ready != nil && ready.Reason == operation.ReasonQueued {
			waiting++
		}
	}
	w.Expect(waiting).To(gomega.Equal(2))
	close(hold)
	w.Eventually(func() int { return len(runner.calls()) }).Should(gomega.Equal(5))
	w.ready(c)
	w.Expect(runner.mostAtOnce()).To(gomega.Equal(1))
}

func TestTheLimitOnOperationsHolds(t *testing.T) {
	w := newWorld(t)
	w.options.MaxConcurrentOperations = 1
	w.createManifest(version)
	w.createHosts()
	began := make(chan provision.Request, 10)
	hold := make(chan struct{})
	runner := newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		began <- request
		<-hold
		return succeed(ctx, request)
	})
	w.start(runner)
	a := w.createCluster("a", nil, "cp1")
	<-began
	b := w.createCluster("b", nil, "cp2")
	place := func(name string) func() string {
		return func() string { return says(w.operation(name)) }
	}
	w.reaches("b-install-g1-1", v1alpha1.OperationPending)
	c := w.createCluster("c", nil, "cp3")
	w.reaches("c-install-g1-1", v1alpha1.OperationPending)
	w.Eventually(place("b-install-g1-1")).Should(gomega.Equal("waiting at place 1 of the queue: 1 operations are carried out at a time, and namespaces take turns"))
	w.Eventually(place("c-install-g1-1")).Should(gomega.ContainSubstring("at place 2 of the queue"))
	w.Expect(runner.calls()).To(gomega.HaveLen(1))
	hold <- struct{}{}
	w.Expect((<-began).Cluster.Name).To(gomega.Equal("b"))
	w.Eventually(place("c-install-g1-1")).Should(gomega.ContainSubstring("at place 1 of the queue"))
	close(hold)
	w.ready(a)
	w.ready(b)
	w.ready(c)
	w.Expect(runner.mostAtOnce()).To(gomega.Equal(1))
}

func TestProgressIsVisibleWhileAnOperationRuns(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	hold := make(chan struct{})
	w.start(newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		request.Sink.Emit(engine.Event{Step: "content", Host: "cp1", State: engine.StateDone, Try: 1, At: time.Now()})
		request.Sink.Emit(engine.Event{Step: "control-plane/init", Host: "cp1", State: engine.StateRunning, Try: 1, Message: "waiting for etcd", At: time.Now()})
		request.Sink.Emit(engine.Event{Step: "content", Host: "w1", State: engine.StateRetrying, Try: 2, Reason: "ConnectionLost", Message: "lost", At: time.Now()})
		<-hold
		request.Sink.Emit(engine.Event{Step: "control-plane/init", Host: "cp1", State: engine.StateChanged, Try: 1, At: time.Now()})
		return succeed(ctx, request)
	}))
	c := w.createCluster("demo", nil, "cp1", "cp2", "cp3")
	w.Eventually(func(g gomega.Gomega) {
		o := &v1alpha1.ClusterOperation{}
		g.Expect(env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "demo-install-g1-1"}, o)).To(gomega.Succeed())
		g.Expect(o.Status.Steps).To(gomega.HaveLen(2))
		g.Expect(o.Status.Steps[1].ID).To(gomega.Equal("control-plane/init"))
		g.Expect(o.Status.Steps[1].State).To(gomega.Equal(v1alpha1.StepRunning))
		g.Expect(o.Status.Problems).To(gomega.HaveLen(1))
		g.Expect(w.host("cp1").Status.Step).To(gomega.Equal(&v1alpha1.HostStep{
			Operation: "demo-install-g1-1", Step: "control-plane/init", State: v1alpha1.StepRunning, Message: "waiting for etcd"}))
		ready := capi.Condition(w.cluster("demo"), v1alpha1.ReadyCondition)
		g.Expect(ready.Reason).To(gomega.Equal(cluster.ReasonOperationRunning))
		g.Expect(ready.Message).To(gomega.ContainSubstring("demo-install-g1-1, attempt 1: 0 of 2 steps done"))
		g.Expect(capi.IsTrue(w.cluster("demo"), v1alpha1.ReconcilingCondition)).To(gomega.BeTrue())
	}).Should(gomega.Succeed())
	close(hold)
	w.ready(c)
	w.Expect(w.host("cp1").Status.Step.Message).To(gomega.BeEmpty(), "a message goes with its step")
}

func TestAStepThatBeganSaysHowLongItTook(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	begin := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	w.start(newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		at := func(step, host string, state engine.State, try int, after time.Duration) {
			request.Sink.Emit(engine.Event{Step: step, Host: host, State: state, Try: try, At: begin.Add(after)})
		}
		at("content/blobs", "cp1", engine.StateRunning, 1, 0)
		at("content/blobs", "w1", engine.StateRunning, 1, time.Second)
		at("content/blobs", "cp1", engine.StateChanged, 1, 2*time.Second)
		at("content/blobs", "w1", engine.StateRetrying, 1, 3*time.Second)
		at("content/blobs", "w1", engine.StateDone, 2, 4500*time.Millisecond)
		at("cluster/metrics", "cp1", engine.StateSkipped, 0, 5*time.Second)
		return succeed(ctx, request)
	}))
	w.ready(w.createCluster("demo", nil, "cp1", "cp2", "cp3"))
	steps := map[string]v1alpha1.OperationStep{}
	for _, step := range w.operation("demo-install-g1-1").Status.Steps {
		steps[step.ID] = step
	}
	w.Expect(steps["content/blobs"].Duration).To(gomega.Equal(&v1alpha1.Duration{Duration: 4500 * time.Millisecond}), "from the first host's begin to the last one's end")
	w.Expect(steps["content/blobs"].StartedAt.UTC()).To(gomega.Equal(begin))
	w.Expect(steps["cluster/metrics"].State).To(gomega.Equal(v1alpha1.StepSkipped))
	w.Expect(steps["cluster/metrics"].Duration).To(gomega.BeNil(), "it never began")
}

func TestThatAClusterExistsIsKnownBeforeTheOperationEnds(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	began := make(chan provision.Request, 10)
	stop := w.start(newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		request.Sink.Emit(engine.Event{Step: "control-plane/init", Host: "cp1", State: engine.StateRunning, Try: 1, At: time.Now()})
		began <- request
		<-ctx.Done()
		return &provision.Outcome{}, ctx.Err()
	}))
	w.createCluster("demo", nil, "cp1")
	request := <-began
	w.Eventually(func() []v1alpha1.OperationStep { return w.operation("demo-install-g1-1").Status.Steps }).ShouldNot(gomega.BeEmpty())
	w.Expect(w.cluster("demo").Status.Initialized).To(gomega.BeFalse(), "it may still fail")
	request.Sink.Emit(engine.Event{Step: "control-plane/init", Host: "cp1", State: engine.StateChanged, Try: 1, At: time.Now()})
	w.Eventually(func() bool { return w.cluster("demo").Status.Initialized }).Should(gomega.BeTrue())
	w.Expect(w.operation("demo-install-g1-1").Status.Phase).To(gomega.Equal(v1alpha1.OperationRunning))
	stop()
	w.Expect(w.cluster("demo").Status.Initialized).To(gomega.BeTrue(), "a process that is cut off has told it")
}

func TestTheStatusOfAnOperationIsBounded(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	w.start(newRunner(func(_ context.Context, request provision.Request) (*provision.Outcome, error) {
		for i := range 400 {
			request.Sink.Emit(engine.Event{Step: "preflight", Host: fmt.Sprintf("h%03d", i), State: engine.StateFailed, Try: 1,
				Message: strings.Repeat("m", 5000), Output: strings.Repeat("o", 100_000)})
		}
		return &provision.Outcome{}, errors.New(strings.Repeat("everything is wrong ", 10_000))
	}))
	c := w.createCluster("demo", nil, "cp1")
	w.Expect(len(w.stalled(c, cluster.ReasonOperationFailed))).To(gomega.BeNumerically("<", 4096))
	o := w.operation("demo-install-g1-1")
	w.Expect(o.Status.Problems).To(gomega.HaveLen(50))
	w.Expect(o.Status.ProblemsLeftOut).To(gomega.Equal(int32(350)))
	content, err := json.Marshal(o)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(len(content)).To(gomega.BeNumerically("<", 256<<10))
}

func TestWhyAHostCannotBeUsedStandsInItsCondition(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHosts()
	at := ssh.Endpoint{Host: "cp2", Address: "192.0.2.12:22"}
	runner := newRunner(func(_ context.Context, request provision.Request) (*provision.Outcome, error) {
		err := fmt.Errorf("connect: %w", &ssh.HostKeyChangedError{Endpoint: at, Want: []string{"ssh-ed25519 SHA256:old"}, Got: "ssh-ed25519 SHA256:new"})
		return &provision.Outcome{Hosts: map[string]provision.HostOutcome{
			"cp1": {Facts: &v1alpha1.HostFacts{Platform: "linux/amd64"}},
			"cp2": {Err: err},
			"cp3": {Err: &ssh.SudoError{Endpoint: at, User: "admin", Reason: ssh.WrongPassword}},
		}}, err
	})
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1", "cp2", "cp3")
	w.stalled(c, cluster.ReasonOperationFailed)
	message := w.stalled(w.host("cp2"), operation.ReasonHostKeyChanged)
	w.Expect(message).To(gomega.ContainSubstring("SHA256:new"))
	w.Expect(message).To(gomega.ContainSubstring("status.hostKey"))
	w.stalled(w.host("cp3"), "SudoWrongPassword")
	w.ready(w.host("cp1"))
	problems := w.operation("demo-install-g1-1").Status.Problems
	w.Expect(problems).To(gomega.HaveLen(2))
	w.Expect(problems[0].Host).To(gomega.Equal("cp2"))
	w.Expect(problems[0].Reason).To(gomega.Equal(operation.ReasonHostKeyChanged))

	runner.set(succeed)
	w.retry("demo", "the machine was reinstalled")
	w.ready(c)
	w.ready(w.host("cp2"))
}

func TestAHostKeyIsRecordedOnceAndNeverReplaced(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxvbmcgZW5vdWdoIHRvIGJlIGEga2V5IG9mIDMyIGI="
	results := make(chan error, 3)
	w.start(newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		results <- request.RecordHostKey(ctx, "cp1", key)
		results <- request.RecordHostKey(ctx, "cp1", key)
		results <- request.RecordHostKey(ctx, "cp1", key+"x")
		return succeed(ctx, request)
	}))
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.Expect(<-results).To(gomega.Succeed())
	w.Expect(<-results).To(gomega.Succeed())
	var other *ssh.OtherKeyError
	w.Expect(errors.As(<-results, &other)).To(gomega.BeTrue())
	w.Expect(other.Recorded).To(gomega.Equal(key))
	w.Expect(w.host("cp1").Status.HostKey).To(gomega.Equal(key))
}

func TestMissingCredentialsAreNamed(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	w.delete(&corev1.Secret{ObjectMeta: w.meta("ssh")})
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	message := w.stalled(c, cluster.ReasonOperationFailed)
	w.Expect(message).To(gomega.ContainSubstring("host cp1: the Secret ssh does not exist"))
	w.Expect(runner.calls()).To(gomega.BeEmpty())
	w.Expect(w.operation("demo-install-g1-1").Status.Problems[0].Reason).To(gomega.Equal(operation.ReasonCredentialsMissing))
}

func TestBastionsComeWithTheHosts(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("gate", "192.0.2.1")
	host := w.createHost("cp1", "192.0.2.11")
	w.edit(host, func() { host.Spec.BastionRef = &v1alpha1.LocalReference{Name: "gate"} })
	runner := newRunner(nil)
	w.start(runner)
	w.ready(w.createCluster("demo", nil, "cp1"))
	var names []string
	for _, access := range runner.calls()[0].Hosts {
		names = append(names, access.Host.Name)
	}
	w.Expect(names).To(gomega.Equal([]string{"cp1", "gate"}))
	w.Expect(w.host("gate").Status.Claim).To(gomega.BeNil())
}

func TestAnOperationOnlyTouchesHostsOfItsCluster(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	w.start(runner)
	w.createCluster("demo", func(c *v1alpha1.Cluster) { c.Spec.Paused = true }, "missing")
	o := &v1alpha1.ClusterOperation{ObjectMeta: w.meta("by-hand"), Spec: v1alpha1.ClusterOperationSpec{
		ClusterRef: v1alpha1.LocalReference{Name: "demo"}, Type: v1alpha1.InstallOperation,
	}}
	w.create(o)
	w.stalled(o, operation.ReasonHostNotFound)
	w.Expect(o.Status.Phase).To(gomega.Equal(v1alpha1.OperationFailed))
	w.Expect(runner.calls()).To(gomega.BeEmpty())
}

func TestADeletedOperationIsCancelledAndThenGoes(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	began := make(chan provision.Request, 10)
	release := make(chan struct{})
	runner.set(func(ctx context.Context, _ provision.Request) (*provision.Outcome, error) {
		began <- provision.Request{}
		<-ctx.Done()
		<-release // the safe point comes later
		return &provision.Outcome{}, ctx.Err()
	})
	o := &v1alpha1.ClusterOperation{ObjectMeta: w.meta("check"), Spec: v1alpha1.ClusterOperationSpec{
		ClusterRef: v1alpha1.LocalReference{Name: "demo"}, Type: v1alpha1.CheckOperation,
	}}
	w.create(o)
	<-began
	w.delete(o)
	w.Consistently(func() error {
		return env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o)
	}, time.Second/2, glance).Should(gomega.Succeed())
	close(release)
	w.gone(o)
}

func TestReasonsForUnusableHosts(t *testing.T) {
	at := ssh.Endpoint{Host: "cp1", Address: "192.0.2.11:22"}
	for name, test := range map[string]struct {
		err    error
		reason string
	}{
		"no error":                    {nil, ""},
		"a cancelled operation":       {fmt.Errorf("connect: %w", context.Canceled), ""},
		"a cancelled dial":            {&ssh.UnreachableError{Endpoint: at, Err: context.Canceled}, ""},
		"a changed key":               {&ssh.HostKeyChangedError{Endpoint: at}, operation.ReasonHostKeyChanged},
		"a changed key of a bastion":  {&ssh.UnreachableError{Endpoint: at, Phase: ssh.PhaseBastion, Err: &ssh.HostKeyChangedError{Endpoint: at}}, operation.ReasonHostKeyChanged},
		"an unknown key":              {&ssh.UnknownHostKeyError{Endpoint: at}, operation.ReasonHostKeyUnknown},
		"a key that was not recorded": {&ssh.HostKeyRecordError{Endpoint: at, Err: errors.New("conflict")}, operation.ReasonHostKeyNotRecorded},
		"a refused login":             {&ssh.AuthError{Endpoint: at, Err: errors.New("refused")}, operation.ReasonAuthenticationFailed},
		"no answer":                   {&ssh.UnreachableError{Endpoint: at, Phase: ssh.PhaseTCP, Err: errors.New("timeout")}, operation.ReasonUnreachable},
		"a bastion without answer":    {&ssh.UnreachableError{Endpoint: at, Phase: ssh.PhaseBastion, Err: &ssh.UnreachableError{Endpoint: at, Phase: ssh.PhaseTCP, Err: errors.New("timeout")}}, operation.ReasonBastionFailed},
		"a lost connection":           {&ssh.ConnectionLostError{Endpoint: at, Err: errors.New("reset")}, operation.ReasonConnectionLost},
		"a wrong sudo password":       {&ssh.SudoError{Endpoint: at, Reason: ssh.WrongPassword}, "SudoWrongPassword"},
		"a field that is wrong":       {&ssh.TargetError{Endpoint: at, Field: "user", Reason: "is empty"}, operation.ReasonInvalidAccess},
		"a session that was refused":  {&ssh.SessionError{Endpoint: at, Err: errors.New("no")}, operation.ReasonSessionRefused},
		"anything else":               {errors.New("disk too small"), operation.ReasonCheckFailed},
	} {
		t.Run(name, func(t *testing.T) {
			gomega.NewWithT(t).Expect(operation.HostReason(test.err)).To(gomega.Equal(test.reason))
		})
	}
}
