package controllers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/operation"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

// hanging begins with a host and hears nothing of it again.
func hanging(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
	request.Sink.Emit(engine.Event{Step: "host/compare", Host: request.Hosts[0].Host.Name, State: engine.StateRunning, Try: 1, Advances: true})
	<-ctx.Done()
	request.Sink.Emit(engine.Event{Step: "host/compare", Host: request.Hosts[0].Host.Name, State: engine.StateFailed, Try: 1, Reason: engine.ReasonCancelled, Advances: true})
	return &provision.Outcome{}, ctx.Err()
}

// queued counts the operations of a namespace that wait for a slot.
func (w *world) queued() (n int) {
	w.t.Helper()
	for _, o := range w.operations() {
		if ready := capi.Condition(&o, v1alpha1.ReadyCondition); ready != nil && ready.Reason == operation.ReasonQueued {
			n++
		}
	}
	return n
}

func TestATenantWhoseHostsHangKeepsNobodyElseWaiting(t *testing.T) {
	const clusters = 30
	w := newWorld(t)
	other := w.neighbour()
	w.options.MaxConcurrentOperations = 5
	day := &clock{}
	w.options.Now = day.now
	w.createManifest(version)
	hold := make(chan struct{})
	began := make(chan provision.Request, 2*clusters)
	runner := newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		began <- request
		if request.Cluster.Namespace == w.namespace {
			return hanging(ctx, request)
		}
		select {
		case <-hold:
		case <-ctx.Done():
			return &provision.Outcome{}, ctx.Err()
		}
		return succeed(ctx, request)
	})
	w.start(runner)
	for i := range clusters {
		name := fmt.Sprintf("c%02d", i)
		w.createHost(name, fmt.Sprintf("192.0.2.%d", 10+i))
		w.createCluster(name, nil, name)
	}
	// One of the five slots is kept for others.
	w.Eventually(w.queued).Should(gomega.Equal(clusters - 4))
	w.Expect(began).To(gomega.HaveLen(4))
	for range 4 {
		w.Expect((<-began).Cluster.Namespace).To(gomega.Equal(w.namespace))
	}

	day.ahead.Add(int64(10 * time.Minute))
	var wanted []*v1alpha1.Cluster
	for i := range 3 {
		name := fmt.Sprintf("d%d", i)
		other.createHost(name, fmt.Sprintf("198.51.100.%d", 10+i))
		wanted = append(wanted, other.createCluster(name, nil, name))
	}
	w.Expect((<-began).Cluster.Namespace).To(gomega.Equal(other.namespace), "it need not wait at all")
	w.Eventually(other.queued).Should(gomega.Equal(2))

	day.ahead.Add(int64(6 * time.Minute))
	w.Expect((<-began).Cluster.Namespace).To(gomega.Equal(other.namespace), "it has its share first, which is two of the four that are not kept")
	for range 2 {
		w.Expect((<-began).Cluster.Namespace).To(gomega.Equal(w.namespace))
	}
	ended := 0
	w.Eventually(func() int {
		ended = 0
		for _, o := range w.operations() {
			ready := capi.Condition(&o, v1alpha1.StalledCondition)
			if o.Status.Phase != v1alpha1.OperationFailed {
				continue
			}
			ended++
			w.Expect(ready.Reason).To(gomega.Equal(operation.ReasonNoProgress))
			w.Expect(ready.Message).To(gomega.HavePrefix("it came no further for 15m0s and was ended, so that others can be carried out; step host/compare on host " + o.Spec.ClusterRef.Name))
		}
		return ended
	}).Should(gomega.Equal(4))
	close(hold)
	for _, c := range wanted {
		other.ready(c)
	}
	w.Expect(runner.mostAtOnce()).To(gomega.Equal(5))
}

func TestWhatOnlyLooksKeepsNothingElseWaiting(t *testing.T) {
	w := newWorld(t)
	w.options.MaxConcurrentOperations, w.options.MaxConcurrentComparisons = 1, 1
	w.createManifest(version)
	w.createHosts()
	runner := newRunner(nil)
	w.start(runner)
	for i, name := range []string{"a", "demo"} {
		w.ready(w.createCluster(name, nil, fmt.Sprintf("cp%d", i+1)))
	}
	holds := func(begins <-chan provision.Request, cluster string, kind v1alpha1.OperationType) {
		t.Helper()
		var request provision.Request
		w.Eventually(begins).Should(gomega.Receive(&request))
		w.Expect(request.Cluster.Name).To(gomega.Equal(cluster))
		w.Expect(request.Operation.Spec.Type).To(gomega.Equal(kind))
	}
	began := make(chan provision.Request, 10)
	runner.set(untilCancelled(began))
	w.retry("a", "hold the slot")
	holds(began, "a", v1alpha1.ConfigureOperation)
	w.createCluster("b", nil, "cp3")
	w.reaches("b-install-g1-1", v1alpha1.OperationPending)
	w.byHand("plan", v1alpha1.ClusterOperationSpec{Type: v1alpha1.ConfigureOperation, Mode: v1alpha1.PlanMode})
	holds(began, "demo", v1alpha1.ConfigureOperation)
	w.Eventually(func() string { return says(w.operation("b-install-g1-1")) }).Should(gomega.ContainSubstring("at place 1 of the queue: 1 operations"))
	w.create(&v1alpha1.ClusterOperation{ObjectMeta: w.meta("check"), Spec: v1alpha1.ClusterOperationSpec{
		ClusterRef: v1alpha1.LocalReference{Name: "b"}, Type: v1alpha1.CheckOperation,
	}})
	w.Eventually(func() string { return says(w.operation("check")) }).Should(gomega.ContainSubstring("waiting for operation b-install-g1-1"))

	w.annotate("a-configure-g1-2", v1alpha1.CancelAnnotation, "true")
	holds(began, "b", v1alpha1.InstallOperation)
	w.annotate("b-install-g1-1", v1alpha1.CancelAnnotation, "true")
	w.Eventually(func() string { return says(w.operation("check")) }).Should(gomega.ContainSubstring("at place 1 of the queue: 1 plans and comparisons"))
	w.annotate("plan", v1alpha1.CancelAnnotation, "true")
	holds(began, "b", v1alpha1.CheckOperation)
	w.Expect(runner.mostAtOnce()).To(gomega.Equal(2))
}
