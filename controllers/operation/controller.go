package operation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/provision"
)

// +kubebuilder:rbac:groups=kubewright.io,resources=clusteroperations,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=clusteroperations/status,verbs=get;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=clusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubewright.io,resources=clusters/status,verbs=get;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=hosts,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubewright.io,resources=hosts/status,verbs=get;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Finalizer keeps a ClusterOperation until its execution has stopped.
const Finalizer = "kubewright.io/clusteroperation"

// Bundles hands out verified bundles by the name of their OfflineManifest.
type Bundles interface {
	// Acquire returns the bundle; false while it is not open in this process.
	Acquire(name string) (*offlinemanifest.Lease, bool)
	// OnOpen has f called whenever a bundle becomes available.
	OnOpen(f func(name string))
}

// Reconciler has ClusterOperations carried out.
type Reconciler struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Live reads from the API server. Everything an execution begins from is read through it.
	Live client.Reader
	// Runner carries operations out.
	Runner provision.Runner
	// Bundles to take content from.
	Bundles Bundles
	// Addresses that hosts may have.
	Addresses addresses.Policy
	// MaxConcurrent attempts that may change something, and MaxComparisons that change nothing, over all clusters.
	MaxConcurrent, MaxComparisons int
	// ProgressInterval is how often a status under way is written at most.
	ProgressInterval time.Duration
	// Events tells people of begin and end.
	Events events.EventRecorder
	// Now is the time of day.
	Now func() time.Time

	executor      *executor
	bundleWaiters *bundleWaiters
}

// scope is what the phases of one reconcile share.
type scope struct {
	*Reconciler
	operation *v1alpha1.ClusterOperation
	cluster   *v1alpha1.Cluster
	standing  phase.Standing
	// written runs once the status has been written: an attempt begins, and an end is announced, when it is recorded. unwritten
	// runs instead when it could not be.
	written, unwritten []func()
	// asked is set when the operation asked for a slot.
	asked bool
	// gone is set when the finalizer was dropped: there is nothing left to write to.
	gone bool
}

// Reconcile looks at one ClusterOperation.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (result ctrl.Result, err error) {
	operation := &v1alpha1.ClusterOperation{}
	s := &scope{Reconciler: r, operation: operation}
	defer func() {
		if !s.asked {
			r.executor.withdraw(request.NamespacedName) // something else is in the way now, and a slot may be offered to it
		}
	}()
	if err := r.Client.Get(ctx, request.NamespacedName, operation); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.executor.cancel(request.NamespacedName) // its finalizer was taken away by force
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := capi.EnsureFinalizer(ctx, r.Client, operation, Finalizer); err != nil {
		return phase.Settle(result, err)
	}
	patcher := capi.NewPatcher(operation, r.Client)
	phases := []phase.Phase[*scope]{skipEnded, followExecution, cancelWaiting, findCluster, awaitApproval, waitForTurn, begin}
	if !operation.DeletionTimestamp.IsZero() {
		phases = []phase.Phase[*scope]{stopExecution}
	}
	result, err = phase.Run(ctx, s, phases...)
	if s.gone {
		return result, nil
	}
	s.standing.Failing(err).Put(operation)
	if operation.Status.Phase == "" {
		operation.Status.Phase = v1alpha1.OperationPending
	}
	operation.Status.ObservedGeneration = operation.Generation
	if patchErr := patcher.Patch(ctx, operation); patchErr != nil {
		for _, undo := range s.unwritten {
			undo()
		}
		return phase.Settle(result, errors.Join(err, patchErr))
	}
	for _, do := range s.written {
		do()
	}
	return phase.Settle(result, err)
}

// skipEnded leaves records of the past alone.
func skipEnded(_ context.Context, s *scope) (phase.Next, error) {
	if !s.operation.Status.Phase.Ended() {
		return phase.Continue(), nil
	}
	s.executor.forget(client.ObjectKeyFromObject(s.operation))
	return phase.Stop(), nil
}

// stopExecution asks an execution to stop and lets the object go once it has come to a safe point.
func stopExecution(ctx context.Context, s *scope) (phase.Next, error) {
	key := client.ObjectKeyFromObject(s.operation)
	s.executor.stop(key)
	if running := s.executor.find(key); running != nil && !running.finished() {
		s.standing = phase.Working(ReasonCancelling, "waiting for a safe point to stop at")
		return phase.Stop(), nil
	}
	s.executor.forget(key)
	if err := capi.DropFinalizer(ctx, s.Client, s.operation, Finalizer); err != nil {
		return phase.Stop(), fmt.Errorf("let the operation go: %w", err)
	}
	s.gone = true
	return phase.Stop(), nil
}
