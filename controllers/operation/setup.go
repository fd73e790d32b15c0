package operation

import (
	"context"
	"fmt"
	"slices"

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
	r.executor = newExecutor(r, waker)
	if err := mgr.Add(r.executor); err != nil {
		return fmt.Errorf("add the executor of operations: %w", err)
	}
	r.bundleWaiters = newBundleWaiters(waker)
	r.Bundles.OnOpen(r.bundleWaiters.opened)
	return ctrl.NewControllerManagedBy(mgr).
		Named("clusteroperation").
		For(&v1alpha1.ClusterOperation{}).
		Watches(&v1alpha1.ClusterOperation{}, handler.EnqueueRequestsFromMapFunc(r.waitingBehind), builder.WithPredicates(endsTurn())).
		Watches(&v1alpha1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.waitingFor), builder.WithPredicates(specChanges())).
		WatchesRawSource(waker.Source()).
		Complete(r)
}

// waitingBehind finds the operations that may have waited for this one to end.
func (r *Reconciler) waitingBehind(ctx context.Context, object client.Object) []reconcile.Request {
	operation := object.(*v1alpha1.ClusterOperation)
	return slices.DeleteFunc(r.notEnded(ctx, operation.Namespace, operation.Spec.ClusterRef.Name), func(request reconcile.Request) bool {
		return request.Name == operation.Name
	})
}

// waitingFor finds the operations that may be superseded by a change of their cluster's spec.
func (r *Reconciler) waitingFor(ctx context.Context, object client.Object) []reconcile.Request {
	return r.notEnded(ctx, object.GetNamespace(), object.GetName())
}

func (r *Reconciler) notEnded(ctx context.Context, namespace, cluster string) []reconcile.Request {
	var list v1alpha1.ClusterOperationList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{index.OperationsByCluster: cluster}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list operations that wait")
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if operation := &list.Items[i]; !operation.Status.Phase.Ended() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(operation)})
		}
	}
	return requests
}

// specChanges lets only changes of a spec through.
func specChanges() predicate.Predicate {
	return predicate.And(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	})
}

// endsTurn lets only the end of an operation through, or that it makes room because it needs approval first.
func endsTurn() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return hasTurn(e.ObjectOld.(*v1alpha1.ClusterOperation)) && !hasTurn(e.ObjectNew.(*v1alpha1.ClusterOperation))
		},
	}
}

// hasTurn says whether an operation has, or waits for, its turn.
func hasTurn(operation *v1alpha1.ClusterOperation) bool {
	return !operation.Status.Phase.Ended() && !awaitsApproval(operation)
}
