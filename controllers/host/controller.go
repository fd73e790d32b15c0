package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/controllers/internal/quarantine"
	"github.com/kubewright/kubewright/pkg/capi"
)

// +kubebuilder:rbac:groups=kubewright.io,resources=hosts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=hosts/status,verbs=get;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=clusters,verbs=get;list;watch

// Finalizer keeps a Host while a Cluster holds it.
const Finalizer = "kubewright.io/host"

// Reasons of a Host's conditions. Those of Reachable are in package operation.
const (
	// ReasonUsable is given when nothing is known to be wrong.
	ReasonUsable = "Usable"
	// ReasonNotTried is given to Reachable before any operation has tried.
	ReasonNotTried = "NotTried"
	// ReasonDuplicateAddress names Hosts that are reached at one address.
	ReasonDuplicateAddress = "DuplicateAddress"
	// ReasonClaimed is given when a Cluster holds the host.
	ReasonClaimed = "Claimed"
	// ReasonFree is given when none does.
	ReasonFree = "Free"
	// ReasonQuarantined is given when the machine still has something of a Cluster that the host left.
	ReasonQuarantined = "Quarantined"
	// ReasonDeletionBlocked is given when a Host that is being deleted is held by a Cluster.
	ReasonDeletionBlocked = "DeletionBlocked"
)

// Reconciler keeps Hosts.
type Reconciler struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
}

// scope is what the phases of one reconcile share.
type scope struct {
	*Reconciler
	host     *v1alpha1.Host
	standing phase.Standing
	// gone is set when the finalizer was dropped: there is nothing left to write to.
	gone bool
}

// Setup registers the controller. The indexes of package index must be installed.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("host").
		For(&v1alpha1.Host{}, builder.WithPredicates(matters())).
		Watches(&v1alpha1.Host{}, handler.EnqueueRequestsFromMapFunc(r.atSameAddress), builder.WithPredicates(addressMatters())).
		Watches(&v1alpha1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.heldBy), builder.WithPredicates(onlyDeletes())).
		Complete(r)
}

// Reconcile looks at one Host.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (result ctrl.Result, err error) {
	host := &v1alpha1.Host{}
	if err := r.Client.Get(ctx, request.NamespacedName, host); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := capi.EnsureFinalizer(ctx, r.Client, host, Finalizer); err != nil {
		return phase.Settle(result, err)
	}
	patcher := capi.NewPatcher(host, r.Client)
	s := &scope{Reconciler: r, host: host}
	result, err = phase.Run(ctx, s, dropStaleClaim, tellClaim, endQuarantine, letGo, findDuplicates, judge)
	if s.gone {
		return result, nil
	}
	s.standing.Failing(err).Put(host)
	if capi.Condition(host, v1alpha1.HostReachableCondition) == nil {
		capi.SetCondition(host, v1alpha1.HostReachableCondition, metav1.ConditionUnknown, ReasonNotTried, "no operation has tried to reach the host yet")
	}
	host.Status.ObservedGeneration = host.Generation
	if patchErr := patcher.Patch(ctx, host); patchErr != nil {
		err = errors.Join(err, patchErr)
	}
	return phase.Settle(result, err)
}

// dropStaleClaim ends the claim of a Cluster that is gone, or that was made anew under the same name; its own finalizer would have
// done so, unless it was taken away by force. The Cluster is asked for live, because a claim must not be dropped on an old view.
func dropStaleClaim(ctx context.Context, s *scope) (phase.Next, error) {
	claim := s.host.Status.Claim
	if claim == nil {
		return phase.Continue(), nil
	}
	cluster := &v1alpha1.Cluster{}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.host.Namespace, Name: claim.ClusterName}, cluster)
	if client.IgnoreNotFound(err) != nil {
		return phase.Stop(), fmt.Errorf("read cluster %s: %w", claim.ClusterName, err)
	}
	if err == nil && string(cluster.UID) == claim.ClusterUID {
		return phase.Continue(), nil
	}
	after := s.host.DeepCopy()
	after.Status.Claim = nil
	change := client.MergeFromWithOptions(s.host, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Status().Patch(ctx, after, change); err != nil && !apierrors.IsNotFound(err) {
		return phase.Stop(), fmt.Errorf("end the claim of cluster %s, which is gone: %w", claim.ClusterName, err)
	}
	return phase.Stop(), nil
}

// tellClaim says who holds the host.
func tellClaim(_ context.Context, s *scope) (phase.Next, error) {
	if claim := s.host.Status.Claim; claim != nil {
		capi.SetCondition(s.host, v1alpha1.HostClaimedCondition, metav1.ConditionTrue, ReasonClaimed, fmt.Sprintf("%s of cluster %s", claim.Role, claim.ClusterName))
	} else {
		capi.SetCondition(s.host, v1alpha1.HostClaimedCondition, metav1.ConditionFalse, ReasonFree, "")
	}
	return phase.Continue(), nil
}

// letGo lets a Host that is being deleted go, unless a Cluster holds it.
func letGo(ctx context.Context, s *scope) (phase.Next, error) {
	if s.host.DeletionTimestamp.IsZero() {
		return phase.Continue(), nil
	}
	if claim := s.host.Status.Claim; claim != nil {
		s.standing = phase.Stalled(ReasonDeletionBlocked, fmt.Sprintf(
			"deletion waits: cluster %s holds the host; take the host out of its spec, or delete the cluster", claim.ClusterName))
		return phase.Stop(), nil
	}
	if err := capi.DropFinalizer(ctx, s.Client, s.host, Finalizer); err != nil {
		return phase.Stop(), err
	}
	s.gone = true
	return phase.Stop(), nil
}

// findDuplicates refuses a Host that is the same machine as another one, as far as the address tells.
func findDuplicates(ctx context.Context, s *scope) (phase.Next, error) {
	others, err := s.sameAddress(ctx, s.host)
	if err != nil {
		return phase.Stop(), err
	}
	if len(others) > 1 {
		s.standing = phase.Stalled(ReasonDuplicateAddress, fmt.Sprintf("hosts %s have the same address %s: correct or delete all but one",
			strings.Join(others, " and "), index.Address(s.host)))
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}

// endQuarantine does what the annotation kubewright.io/end-quarantine says, once: it is taken away when the condition was written, so
// that it does not end the next quarantine too.
func endQuarantine(ctx context.Context, s *scope) (phase.Next, error) {
	if capi.Condition(s.host, v1alpha1.HostQuarantinedCondition) == nil {
		quarantine.End(s.host, quarantine.ReasonNeverNeeded)
	}
	if _, asked := s.host.Annotations[v1alpha1.EndQuarantineAnnotation]; !asked {
		return phase.Continue(), nil
	}
	if quarantine.Holds(s.host) {
		quarantine.End(s.host, quarantine.ReasonEndedByHand)
		return phase.Continue(), nil // the write of the condition brings the host back here
	}
	after := s.host.DeepCopy()
	delete(after.Annotations, v1alpha1.EndQuarantineAnnotation)
	change := client.MergeFromWithOptions(s.host, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, after, change); client.IgnoreNotFound(err) != nil {
		return phase.Stop(), fmt.Errorf("take the annotation %s away: %w", v1alpha1.EndQuarantineAnnotation, err)
	}
	return phase.Stop(), nil
}

// judge sums up: a host is ready unless it is quarantined or the last operation could not use it.
func judge(_ context.Context, s *scope) (phase.Next, error) {
	if quarantine.Holds(s.host) {
		s.standing = phase.Stalled(ReasonQuarantined, capi.Condition(s.host, v1alpha1.HostQuarantinedCondition).Message)
		return phase.Continue(), nil
	}
	reachable := capi.Condition(s.host, v1alpha1.HostReachableCondition)
	if reachable != nil && reachable.Status == metav1.ConditionFalse && reachable.ObservedGeneration == s.host.Generation {
		s.standing = phase.Stalled(reachable.Reason, reachable.Message)
		return phase.Continue(), nil
	}
	s.standing = phase.Ready(ReasonUsable, "")
	return phase.Continue(), nil
}

// sameAddress returns the names of all Hosts at a Host's address, itself among them, sorted.
func (r *Reconciler) sameAddress(ctx context.Context, host *v1alpha1.Host) ([]string, error) {
	var list v1alpha1.HostList
	if err := r.Client.List(ctx, &list, client.InNamespace(host.Namespace),
		client.MatchingFields{index.HostsByAddress: index.Address(host)}); err != nil {
		return nil, fmt.Errorf("list hosts by address: %w", err)
	}
	names := []string{host.Name}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// atSameAddress finds the other Hosts that this one is, or was, a duplicate of.
func (r *Reconciler) atSameAddress(ctx context.Context, object client.Object) []reconcile.Request {
	host := object.(*v1alpha1.Host)
	names, err := r.sameAddress(ctx, host)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "find duplicates")
	}
	var requests []reconcile.Request
	for _, name := range names {
		if name != host.Name {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: host.Namespace, Name: name}})
		}
	}
	return requests
}

// heldBy finds the Hosts that a Cluster holds.
func (r *Reconciler) heldBy(ctx context.Context, object client.Object) []reconcile.Request {
	var list v1alpha1.HostList
	if err := r.Client.List(ctx, &list, client.InNamespace(object.GetNamespace())); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list hosts of a cluster that is gone")
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if claim := list.Items[i].Status.Claim; claim != nil && claim.ClusterName == object.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// matters leaves out the progress that operations write: a host is not judged anew for every step.
func matters() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.Host), e.ObjectNew.(*v1alpha1.Host)
		return before.Generation != after.Generation ||
			!before.DeletionTimestamp.Equal(after.DeletionTimestamp) ||
			!apiequality.Semantic.DeepEqual(before.Status.Claim, after.Status.Claim) ||
			!apiequality.Semantic.DeepEqual(before.Status.Conditions, after.Status.Conditions) ||
			!slices.Equal(before.Finalizers, after.Finalizers) ||
			before.Annotations[v1alpha1.EndQuarantineAnnotation] != after.Annotations[v1alpha1.EndQuarantineAnnotation]
	}}
}

// addressMatters lets through what makes or unmakes duplicates.
func addressMatters() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return index.Address(e.ObjectOld.(*v1alpha1.Host)) != index.Address(e.ObjectNew.(*v1alpha1.Host))
	}}
}

func onlyDeletes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
