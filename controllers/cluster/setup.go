package cluster

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/quarantine"
	"github.com/kubewright/kubewright/pkg/capi"
)

// Setup registers the controller. The indexes of package index must be installed.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.started = r.Now()
	return ctrl.NewControllerManagedBy(mgr).
		Named("cluster").
		For(&v1alpha1.Cluster{}).
		Watches(&v1alpha1.ClusterOperation{}, handler.EnqueueRequestsFromMapFunc(clusterOfOperation)).
		Watches(&v1alpha1.Host{}, handler.EnqueueRequestsFromMapFunc(r.clustersOfHost), builder.WithPredicates(hostMatters())).
		Watches(&v1alpha1.OfflineManifest{}, handler.EnqueueRequestsFromMapFunc(r.clustersOfManifest), builder.WithPredicates(manifestMatters())).
		WatchesRawSource(r.Wake.Source()).
		Complete(r)
}

func clusterOfOperation(_ context.Context, object client.Object) []reconcile.Request {
	operation := object.(*v1alpha1.ClusterOperation)
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: operation.Namespace, Name: operation.Spec.ClusterRef.Name}}}
}

// clustersOfHost finds the clusters to which a Host matters: those that name it, that name another Host with its address, and the
// one that holds it.
func (r *Reconciler) clustersOfHost(ctx context.Context, object client.Object) []reconcile.Request {
	host := object.(*v1alpha1.Host)
	names := map[string]bool{}
	if claim := host.Status.Claim; claim != nil {
		names[claim.ClusterName] = true
	}
	hosts := []string{host.Name}
	var same v1alpha1.HostList
	if err := r.Client.List(ctx, &same, client.InNamespace(host.Namespace),
		client.MatchingFields{index.HostsByAddress: index.Address(host)}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list hosts by address")
	}
	for i := range same.Items {
		hosts = append(hosts, same.Items[i].Name)
	}
	for _, name := range hosts {
		for _, cluster := range r.clustersBy(ctx, index.ClustersByHost, name, client.InNamespace(host.Namespace)) {
			names[cluster.Name] = true
		}
	}
	requests := make([]reconcile.Request, 0, len(names))
	for name := range names {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: host.Namespace, Name: name}})
	}
	return requests
}

func (r *Reconciler) clustersOfManifest(ctx context.Context, object client.Object) []reconcile.Request {
	clusters := r.clustersBy(ctx, index.ClustersByManifest, object.GetName())
	requests := make([]reconcile.Request, 0, len(clusters))
	for i := range clusters {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&clusters[i])})
	}
	return requests
}

func (r *Reconciler) clustersBy(ctx context.Context, field, value string, options ...client.ListOption) []v1alpha1.Cluster {
	var list v1alpha1.ClusterList
	if err := r.Client.List(ctx, &list, append(options, client.MatchingFields{field: value})...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list clusters", "by", field)
	}
	return list.Items
}

// hostMatters leaves out what operations write about their progress: a cluster must not be looked at for every step of every host.
func hostMatters() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.Host), e.ObjectNew.(*v1alpha1.Host)
		return before.Generation != after.Generation || before.UID != after.UID ||
			!apiequality.Semantic.DeepEqual(before.Status.Claim, after.Status.Claim) ||
			quarantine.Holds(before) != quarantine.Holds(after) ||
			!before.DeletionTimestamp.Equal(after.DeletionTimestamp)
	}}
}

// manifestMatters leaves out the progress of a verification.
func manifestMatters() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.OfflineManifest), e.ObjectNew.(*v1alpha1.OfflineManifest)
		return capi.IsTrueNow(before, v1alpha1.ReadyCondition) != capi.IsTrueNow(after, v1alpha1.ReadyCondition) ||
			capi.IsTrueNow(before, v1alpha1.StalledCondition) != capi.IsTrueNow(after, v1alpha1.StalledCondition) ||
			before.Generation != after.Generation ||
			!apiequality.Semantic.DeepEqual(before.Status.Releases, after.Status.Releases)
	}}
}
