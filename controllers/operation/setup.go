package operation

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/wake"
)

// Setup registers the controller and its executor. The indexes of package index must be installed.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	waker := wake.New()
	r.executor = newExecutor(r.Runner, &reporter{client: r.Client, live: r.Live}, waker, r.MaxConcurrent, r.ProgressInterval)
	if err := mgr.Add(r.executor); err != nil {
		return fmt.Errorf("add the executor of operations: %w", err)
	}
	r.bundleWaiters = newBundleWaiters(waker)
	r.Bundles.OnOpen(r.bundleWaiters.opened)
	return ctrl.NewControllerManagedBy(mgr).
		Named("clusteroperation").
		For(&v1alpha1.ClusterOperation{}).
		Watches(&v1alpha1.ClusterOperation{}, handler.EnqueueRequestsFromMapFunc(r.waitingBehind), builder.WithPredicates(endsTurn())).
		WatchesRawSource(waker.Source()).
		Complete(r)
}

// waitingBehind finds the operations that may have waited for this one to end.
func (r *Reconciler) waitingBehind(ctx context.Context, object client.Object) []reconcile.Request {
	operation := object.(*v1alpha1.ClusterOperation)
	var list v1alpha1.ClusterOperationList
	if err := r.Client.List(ctx, &list, client.InNamespace(operation.Namespace),
		client.MatchingFields{index.OperationsByCluster: operation.Spec.ClusterRef.Name}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list operations that wait")
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if other := &list.Items[i]; other.Name != operation.Name && !other.Status.Phase.Ended() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(other)})
		}
	}
	return requests
}

// endsTurn lets only the end of an operation through.
func endsTurn() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !e.ObjectOld.(*v1alpha1.ClusterOperation).Status.Phase.Ended() && e.ObjectNew.(*v1alpha1.ClusterOperation).Status.Phase.Ended()
		},
	}
}
