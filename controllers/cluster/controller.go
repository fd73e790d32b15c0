package cluster

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster/health"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/capi"
)

// +kubebuilder:rbac:groups=kubewright.io,resources=clusters,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=clusters/status,verbs=get;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=clusters/finalizers,verbs=update
// +kubebuilder:rbac:groups=kubewright.io,resources=clusteroperations,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=kubewright.io,resources=hosts,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubewright.io,resources=hosts/status,verbs=get;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=offlinemanifests,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create;update;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler brings Clusters about.
type Reconciler struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Live reads from the API server. Secrets are read only through it, so that no cache holds them.
	Live client.Reader
	// Events tells people what was begun.
	Events events.EventRecorder
	// Health looks at clusters at rest.
	Health *health.Monitor
	// Wake asks for a reconcile when Health found something new.
	Wake *wake.Waker
	// Now is the time of day.
	Now func() time.Time

	// started is when this process began.
	started time.Time
}

// scope is what the phases of one reconcile share.
type scope struct {
	*Reconciler
	cluster *v1alpha1.Cluster
	// operations upon this cluster, as the cache has them; operate replaces them by a live list before it decides.
	operations []v1alpha1.ClusterOperation
	// authorities are known once ensureAuthorities has run.
	authorities *authorities
	// resting is set by operate when nothing has to be done.
	resting bool
	// moving is set by releaseHosts when hosts have to be taken into the cluster or out of it.
	moving bool
	// neighbours are the operations upon all clusters of the namespace, once they were listed live.
	neighbours []v1alpha1.ClusterOperation
	// available lists the releases of the bundle, once checkBundle has run.
	available []string
	// found is what Health knows, once takeHealth has run.
	found health.Record
	// standing is the verdict so far.
	standing phase.Standing
	// gone is set when the finalizer was dropped: there is nothing left to write to.
	gone bool
}

// Reconcile looks at one Cluster.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (result ctrl.Result, err error) {
	cluster := &v1alpha1.Cluster{}
	if err := r.Client.Get(ctx, request.NamespacedName, cluster); err != nil {
		if apierrors.IsNotFound(err) {
			r.Health.Drop(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := capi.EnsureFinalizer(ctx, r.Client, cluster, v1alpha1.ClusterFinalizer); err != nil {
		return phase.Settle(result, err)
	}
	patcher := capi.NewPatcher(cluster, r.Client)
	s := &scope{Reconciler: r, cluster: cluster}
	phases := keep()
	if !cluster.DeletionTimestamp.IsZero() {
		phases = remove()
		r.Health.Drop(request.NamespacedName)
	}
	result, err = phase.Run(ctx, s, phases...)
	if s.gone {
		return result, nil
	}
	s.standing.Failing(err).Put(cluster)
	s.putOthers()
	cluster.Status.ObservedGeneration = cluster.Generation
	if patchErr := patcher.Patch(ctx, cluster); patchErr != nil {
		err = errors.Join(err, patchErr)
	}
	return phase.Settle(result, err)
}

// keep lists the phases of a Cluster that is wanted. An operation that runs is followed before anything else is judged: it works
// from the spec it began with, and what changed meanwhile is looked at when it has ended.
func keep() []phase.Phase[*scope] {
	return []phase.Phase[*scope]{
		load,
		follow,
		conclude,
		takeDrift,
		takeHealth,
		handOutKubeconfig,
		claimHosts,
		releaseHosts,
		checkBundle,
		ensureAuthorities,
		ensureBackupKey,
		operate,
		watchDrift,
		prune,
	}
}

// remove lists the phases of a Cluster that is being deleted.
func remove() []phase.Phase[*scope] {
	return []phase.Phase[*scope]{
		load,
		cancelOperations,
		resetHosts,
		releaseClaims,
		dropSecrets,
		finish,
	}
}

// load reads the operations upon the cluster.
func load(ctx context.Context, s *scope) (phase.Next, error) {
	operations, err := s.listOperations(ctx)
	if err != nil {
		return phase.Stop(), err
	}
	s.operations = operations
	s.cluster.Status.Nodes.Desired = int32(len(wantedHosts(s.cluster)))
	return phase.Continue(), nil
}
