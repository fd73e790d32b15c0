package operation

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/controllers/operation/internal/slots"
	"github.com/kubewright/kubewright/pkg/provision"
)

type runnerFunc func(context.Context, provision.Request) (*provision.Outcome, error)

func (f runnerFunc) Run(ctx context.Context, r provision.Request) (*provision.Outcome, error) {
	return f(ctx, r)
}

func TestAnExecutionThatTheEndOfTheProcessCutOffHasNoResult(t *testing.T) {
	g := gomega.NewWithT(t)
	key := client.ObjectKey{Namespace: "default", Name: "demo-install-g1-1"}
	began := make(chan struct{})
	e := newExecutor(&Reconciler{MaxConcurrent: 1, MaxComparisons: 1, ProgressInterval: time.Hour, Now: time.Now, Runner: runnerFunc(func(ctx context.Context, _ provision.Request) (*provision.Outcome, error) {
		close(began)
		<-ctx.Done()
		return &provision.Outcome{Initialized: true}, ctx.Err()
	})}, wake.New())
	slot, _ := e.reserve(slots.Claim{NamespacedName: key}, false)
	g.Expect(slot).NotTo(gomega.BeNil())
	released := false
	e.start(slot, provision.Request{Operation: v1alpha1.ClusterOperation{}, Attempt: 1}, false, func() { released = true })
	<-began
	other := slots.Claim{NamespacedName: client.ObjectKey{Namespace: "default", Name: "other"}}
	free, waitsFor := e.reserve(other, false)
	g.Expect(free).To(gomega.BeNil())
	g.Expect(waitsFor).To(gomega.ContainSubstring("at place 1 of the queue: 1 operations"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Expect(e.Start(ctx)).To(gomega.Succeed())
	g.Expect(e.find(key).finished()).To(gomega.BeFalse(), "a reconcile on its way must not take it for failed")
	g.Expect(released).To(gomega.BeTrue())
	free, _ = e.reserve(other, false)
	g.Expect(free).NotTo(gomega.BeNil())
}
