package offlinemanifest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/capi"
)

// +kubebuilder:rbac:groups=kubewright.io,resources=offlinemanifests,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=offlinemanifests/status,verbs=get;patch
// +kubebuilder:rbac:groups=kubewright.io,resources=clusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Finalizer keeps an OfflineManifest while Clusters use it.
const Finalizer = "kubewright.io/offlinemanifest"

// lookAgain is how often a file that cannot be used is looked at: nothing tells when somebody puts another one in its place.
const lookAgain = 30 * time.Second

// Reconciler verifies bundles.
type Reconciler struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Store receives what was verified.
	Store *Store
	// Roots are the directories below which bundles may lie, absolute and clean.
	Roots []string
	// Events tells people when a bundle was verified or refused.
	Events events.EventRecorder
	// Now is the time of day.
	Now func() time.Time

	verifier *verifier
}

// scope is what the phases of one reconcile share.
type scope struct {
	*Reconciler
	manifest *v1alpha1.OfflineManifest
	identity identity
	standing phase.Standing
	// gone is set when the finalizer was dropped: there is nothing left to write to.
	gone bool
}

// Setup registers the controller. The indexes of package index must be installed.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	waker := wake.New()
	r.verifier = newVerifier(r.Store, waker, r.Now)
	if err := mgr.Add(r.verifier); err != nil {
		return fmt.Errorf("add the verifier of bundles: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("offlinemanifest").
		For(&v1alpha1.OfflineManifest{}).
		Watches(&v1alpha1.Cluster{}, handler.EnqueueRequestsFromMapFunc(manifestOfCluster)).
		WatchesRawSource(waker.Source()).
		Complete(r)
}

func manifestOfCluster(_ context.Context, object client.Object) []reconcile.Request {
	name := object.(*v1alpha1.Cluster).Spec.OfflineManifestRef.Name
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
}

// Reconcile looks at one OfflineManifest.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (result ctrl.Result, err error) {
	manifest := &v1alpha1.OfflineManifest{}
	if err := r.Client.Get(ctx, request.NamespacedName, manifest); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.let(request.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := capi.EnsureFinalizer(ctx, r.Client, manifest, Finalizer); err != nil {
		return phase.Settle(result, err)
	}
	patcher := capi.NewPatcher(manifest, r.Client)
	s := &scope{Reconciler: r, manifest: manifest}
	phases := []phase.Phase[*scope]{listClusters, findFile, verifyFile, describe}
	if !manifest.DeletionTimestamp.IsZero() {
		phases = []phase.Phase[*scope]{listClusters, letGo}
	}
	result, err = phase.Run(ctx, s, phases...)
	if s.gone {
		return result, nil
	}
	s.standing.Failing(err).Put(manifest)
	s.putOthers()
	manifest.Status.ObservedGeneration = manifest.Generation
	if patchErr := patcher.Patch(ctx, manifest); patchErr != nil {
		err = errors.Join(err, patchErr)
	}
	return phase.Settle(result, err)
}

// let forgets what this process holds of an OfflineManifest.
func (r *Reconciler) let(name string) {
	r.verifier.forget(name)
	r.Store.drop(name)
}

// listClusters says who uses the bundle.
func listClusters(ctx context.Context, s *scope) (phase.Next, error) {
	var list v1alpha1.ClusterList
	if err := s.Client.List(ctx, &list, client.MatchingFields{index.ClustersByManifest: s.manifest.Name}); err != nil {
		return phase.Stop(), fmt.Errorf("list clusters: %w", err)
	}
	s.manifest.Status.Clusters = namesOf(list.Items)
	return phase.Continue(), nil
}

func namesOf(clusters []v1alpha1.Cluster) []string {
	var names []string
	for i := range clusters {
		names = append(names, client.ObjectKeyFromObject(&clusters[i]).String())
	}
	slices.Sort(names)
	return names
}

// findFile finds the file that spec.source names.
func findFile(_ context.Context, s *scope) (phase.Next, error) {
	id, err := locate(s.manifest.Spec, s.Roots)
	if err != nil {
		s.let(s.manifest.Name)
		reason := reasonOf(err)
		capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionFalse, reason, err.Error())
		capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, reason, "")
		return s.refuse(reason, err), nil
	}
	s.identity = id
	capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionTrue, ReasonFound, "")
	return phase.Continue(), nil
}

// verifyFile has the file verified, and goes on when it is.
func verifyFile(_ context.Context, s *scope) (phase.Next, error) {
	if _, _, ok := s.Store.lookup(s.manifest.Name, s.identity); ok {
		return phase.Continue(), nil
	}
	at := s.verifier.ensure(s.manifest.Name, s.identity) //nolint:contextcheck // a verification outlives the reconcile
	switch {
	case at.ended && errors.Is(at.err, context.Canceled):
		return phase.Stop(), nil
	case at.ended && at.err != nil:
		s.Store.drop(s.manifest.Name)
		reason := reasonOf(at.err)
		capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionFalse, reason, at.err.Error())
		return s.refuse(reason, at.err), nil //nolint:nilerr // the reconcile did what it should: it says what is wrong
	}
	if alreadyVerified(s.manifest) {
		// After a restart the file is opened anew. What is known of it stays as it is, and nothing is written.
		return phase.Stop(), nil
	}
	message := fmt.Sprintf("verified %s of %s", mebibytes(at.done), mebibytes(at.total))
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, ReasonVerifying, message)
	s.standing = phase.Working(ReasonVerifying, message)
	return phase.Stop(), nil
}

// alreadyVerified says whether the status speaks of this very spec.
func alreadyVerified(manifest *v1alpha1.OfflineManifest) bool {
	return capi.IsTrueNow(manifest, v1alpha1.ReadyCondition) && capi.IsTrueNow(manifest, v1alpha1.VerifiedCondition)
}

// describe says what is inside.
func describe(_ context.Context, s *scope) (phase.Next, error) {
	b, r, ok := s.Store.lookup(s.manifest.Name, s.identity)
	if !ok {
		return phase.Stop(), nil
	}
	status := &s.manifest.Status
	status.SizeBytes = b.Size()
	status.Releases = releasesOf(b.Config())
	verified := metav1.NewTime(r.VerifiedAt)
	if !status.VerifiedAt.Equal(&verified) {
		status.VerifiedAt = &verified
		s.Events.Eventf(s.manifest, nil, "Normal", ReasonVerified, "Verify", "verified %s", s.identity.Path)
	}
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionTrue, ReasonVerified, "")
	s.standing = phase.Ready(ReasonVerified, "holds Kubernetes "+strings.Join(versionsOf(status.Releases), ", "))
	return phase.Continue(), nil
}

// letGo lets the object go when no Cluster uses it, seen live: a Cluster may have been created a moment ago.
func letGo(ctx context.Context, s *scope) (phase.Next, error) {
	if len(s.manifest.Status.Clusters) == 0 {
		var list v1alpha1.ClusterList
		if err := s.Live.List(ctx, &list); err != nil {
			return phase.Stop(), fmt.Errorf("list clusters: %w", err)
		}
		list.Items = slices.DeleteFunc(list.Items, func(c v1alpha1.Cluster) bool {
			return c.Spec.OfflineManifestRef.Name != s.manifest.Name
		})
		s.manifest.Status.Clusters = namesOf(list.Items)
	}
	if used := s.manifest.Status.Clusters; len(used) > 0 {
		s.standing = phase.Stalled(ReasonInUse, fmt.Sprintf("deletion waits until no Cluster uses it any more; now %s", shorten(used)))
		return phase.Stop(), nil
	}
	s.let(s.manifest.Name)
	if err := capi.DropFinalizer(ctx, s.Client, s.manifest, Finalizer); err != nil {
		return phase.Stop(), err
	}
	s.gone = true
	return phase.Stop(), nil
}

// refuse stalls, and looks at the file again later.
func (s *scope) refuse(reason string, err error) phase.Next {
	if ready := capi.Condition(s.manifest, v1alpha1.ReadyCondition); ready == nil || ready.Reason != reason {
		s.Events.Eventf(s.manifest, nil, "Warning", reason, "Verify", "%s", capi.Cut(err.Error(), maxNote))
	}
	s.standing = phase.Stalled(reason, err.Error())
	return phase.Last(lookAgain)
}

// maxNote is how long the note of an event may be, in bytes (events.k8s.io/v1, Event.note).
const maxNote = 1000

// putOthers sees that every condition is there from the first reconcile on.
func (s *scope) putOthers() {
	for _, kind := range []string{v1alpha1.FetchedCondition, v1alpha1.VerifiedCondition} {
		if capi.Condition(s.manifest, kind) == nil {
			capi.SetCondition(s.manifest, kind, metav1.ConditionUnknown, "NotChecked", "")
		}
	}
}
