package offlinemanifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/bundle"
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
	// Sources says where bundles may come from.
	Sources Sources
	// Events tells people when a bundle was verified or refused.
	Events events.EventRecorder
	// Now is the time of day.
	Now func() time.Time

	verifier *verifier
	fetching *fetching
}

// scope is what the phases of one reconcile share.
type scope struct {
	*Reconciler
	manifest *v1alpha1.OfflineManifest
	identity identity
	trust    trust
	standing phase.Standing
	// gone is set when the finalizer was dropped: there is nothing left to write to.
	gone bool
}

// Setup registers the controller. The indexes of package index must be installed.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	waker := wake.New()
	r.verifier = newVerifier(r.Store, r.store(), waker, r.Now, r.Sources.retryDelay)
	if err := mgr.Add(r.verifier); err != nil {
		return fmt.Errorf("add the verifier of bundles: %w", err)
	}
	r.fetching = newFetching(r.Sources, &r.Store.leases, waker, r.Now)
	if err := mgr.Add(r.fetching); err != nil {
		return fmt.Errorf("add the fetches of bundles: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("offlinemanifest").
		For(&v1alpha1.OfflineManifest{}).
		Watches(&v1alpha1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.manifestsOfCluster)).
		Watches(&v1alpha1.OfflineManifest{}, handler.EnqueueRequestsFromMapFunc(r.relatives)).
		WatchesRawSource(waker.Source()).
		Complete(r)
}

func (r *Reconciler) store() storeDir { return storeDir(r.Sources.StoreDir) }

// Reconcile looks at one OfflineManifest.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (result ctrl.Result, err error) {
	manifest := &v1alpha1.OfflineManifest{}
	if err := r.Client.Get(ctx, request.NamespacedName, manifest); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.letBundle(request.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := capi.EnsureFinalizer(ctx, r.Client, manifest, Finalizer); err != nil {
		return phase.Settle(result, err)
	}
	patcher := capi.NewPatcher(manifest, r.Client)
	s := &scope{Reconciler: r, manifest: manifest}
	bring := findFile
	if !isLocal(manifest.Spec) {
		bring = bringFile
	}
	phases := []phase.Phase[*scope]{followFormer, listClusters, readKeys, bring, verifyFile, describe, tidy}
	if !manifest.DeletionTimestamp.IsZero() {
		phases = []phase.Phase[*scope]{followFormer, listClusters, letGo}
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

// let forgets what this process holds of an OfflineManifest, and stops what it does for it.
func (r *Reconciler) let(manifest *v1alpha1.OfflineManifest) {
	r.letBundle(manifest.Name)
	if d, err := digestOf(manifest.Spec); err == nil {
		r.fetching.forget(manifest.Name, d)
	}
}

// letBundle closes the bundle of an OfflineManifest.
func (r *Reconciler) letBundle(name string) {
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
	id, err := locate(s.manifest.Spec, s.Sources.Roots)
	if err != nil {
		return s.notThere(err), nil
	}
	s.identity = id
	s.manifest.Status.Fetch = nil
	capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionTrue, ReasonFound, "")
	return phase.Continue(), nil
}

// verifyFile has the file verified, and goes on when it is.
func verifyFile(ctx context.Context, s *scope) (phase.Next, error) {
	s.identity.Trust = s.trust.fingerprint()
	if _, _, ok := s.Store.lookup(s.manifest.Name, s.identity); ok {
		return phase.Continue(), nil
	}
	at := s.verifier.ensure(s.manifest.Name, s.identity, s.trust) //nolint:contextcheck // a verification outlives the reconcile
	switch {
	case at.ended && errors.Is(at.err, context.Canceled):
		return phase.Stop(), nil
	case at.ended && mayPass(at.err) && !errors.Is(at.err, fs.ErrNotExist):
		return s.isTriedAgain(at), nil
	case at.ended && at.err != nil && s.store().holds(s.identity.Path):
		return s.storedIsBad(ctx, at.err)
	case at.ended && at.err != nil:
		return s.isBad(ctx, at.err)
	}
	if alreadyVerified(s.manifest) {
		// After a restart the file is opened anew. What is known of it stays as it is, and nothing is written.
		return phase.Stop(), nil
	}
	message := fmt.Sprintf("verified %s of %s", mebibytes(at.done), mebibytes(at.total))
	if at.before != nil {
		message += ", once more after: " + at.before.Error()
	}
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, ReasonVerifying, message)
	capi.SetCondition(s.manifest, v1alpha1.AvailableCondition, metav1.ConditionFalse, ReasonVerifying, "")
	s.standing = phase.Working(ReasonVerifying, message)
	return phase.Stop(), nil
}

// isTriedAgain says what kept a bundle from being verified this time. It says nothing about the bundle, so nothing of it is thrown away.
func (s *scope) isTriedAgain(at state) phase.Next {
	s.Store.drop(s.manifest.Name)
	reason := reasonOf(at.err)
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, reason, at.err.Error())
	if isForSomebody(at.err) {
		s.refuse(reason, at.err)
	} else {
		capi.SetCondition(s.manifest, v1alpha1.AvailableCondition, metav1.ConditionFalse, reason, at.err.Error())
		s.standing = phase.Working(reason, at.err.Error())
	}
	return phase.Last(max(at.again, time.Millisecond))
}

// isBad says why a bundle cannot be used.
func (s *scope) isBad(ctx context.Context, err error) (phase.Next, error) {
	s.Store.drop(s.manifest.Name)
	if missing, ok := errors.AsType[*bundle.MissingBaseError](err); ok {
		return s.lacksBase(ctx, missing)
	}
	reason := reasonOf(err)
	if isSignature(err) {
		capi.SetCondition(s.manifest, v1alpha1.SignedCondition, metav1.ConditionFalse, reason, err.Error())
	}
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionFalse, reason, err.Error())
	return s.refuse(reason, err), nil
}

// storedIsBad deals with a file of the store that cannot be used. A file that was fetched just now is what the server has, and fetching
// it again brings no other; one that had been verified before was spoiled here, and is fetched again.
func (s *scope) storedIsBad(ctx context.Context, err error) (phase.Next, error) {
	fresh := s.store().isIncoming(s.identity.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.verifier.forget(s.manifest.Name) // it was put into its place for another OfflineManifest
		return phase.Last(time.Millisecond), nil
	case !isContent(reasonOf(err)):
		return s.isBad(ctx, err)
	}
	s.letBundle(s.manifest.Name)
	if err := s.store().remove(s.identity.Digest); err != nil {
		return phase.Stop(), err
	}
	status := s.manifest.Status.Fetch
	status.DoneBytes, status.TotalBytes, status.ResumedAtBytes, status.CompletedAt = 0, 0, 0, nil
	if next, err := s.isBad(ctx, err); err != nil {
		return next, err
	}
	if fresh {
		capi.SetCondition(s.manifest, v1alpha1.FetchedCondition, metav1.ConditionFalse, reasonOf(err), "what the source holds was removed again; correct the source, or the digest in another OfflineManifest")
		return phase.Stop(), nil
	}
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, reasonOf(err), "the file in the store was spoiled and is fetched again")
	s.standing = phase.Working(reasonOf(err), err.Error())
	return phase.Last(time.Millisecond), nil
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
		s.warnOfHashingAgain(r.NotKept)
	}
	status.Base = ""
	if base := b.Base(); base != nil {
		status.Base = base.Digest.String()
	}
	s.tellSignature(r)
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionTrue, ReasonVerified, notKept(r.NotKept))
	capi.SetCondition(s.manifest, v1alpha1.AvailableCondition, metav1.ConditionTrue, ReasonVerified, "")
	s.standing = phase.Ready(ReasonVerified, "holds Kubernetes "+strings.Join(versionsOf(status.Releases), ", "))
	return phase.Continue(), nil
}

// notKept is what a good bundle's condition says when the next process has to hash it again.
func notKept(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("every restart hashes it again, because %v: see to the directory given by --cache-dir", err)
}

// warnOfHashingAgain tells people that a restart will take longer than it need. The bundle is good, so nothing else follows from it.
func (s *scope) warnOfHashingAgain(err error) {
	if err != nil {
		s.Events.Eventf(s.manifest, nil, "Warning", ReasonNotKept, "Verify", "%s", capi.Cut(notKept(err), maxNote))
	}
}

// letGo lets the object go when no Cluster uses it, seen live: a Cluster may have been created a moment ago.
func letGo(ctx context.Context, s *scope) (phase.Next, error) {
	if len(s.manifest.Status.Clusters) == 0 {
		var list v1alpha1.ClusterList
		if err := s.Live.List(ctx, &list); err != nil {
			return phase.Stop(), fmt.Errorf("list clusters: %w", err)
		}
		all := make([]*v1alpha1.Cluster, 0, len(list.Items))
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
		s.manifest.Status.FormerClusters = formerClusters(s.manifest, all)
		list.Items = slices.DeleteFunc(list.Items, func(c v1alpha1.Cluster) bool {
			return c.Spec.OfflineManifestRef.Name != s.manifest.Name
		})
		s.manifest.Status.Clusters = namesOf(list.Items)
	}
	if used := s.manifest.Status.Clusters; len(used) > 0 {
		s.standing = phase.Stalled(ReasonInUse, fmt.Sprintf("deletion waits until no Cluster uses it any more; now %s", shorten(used)))
		return phase.Stop(), nil
	}
	if former := s.manifest.Status.FormerClusters; len(former) > 0 {
		s.standing = phase.Stalled(ReasonInUse, fmt.Sprintf("deletion waits until no Cluster needs it as what it runs or ran last; now %s, which was given %s", former[0].Cluster, former[0].Successor))
		return phase.Stop(), nil
	}
	if by, err := s.isBaseOf(ctx); err != nil || by != "" {
		s.standing = phase.Stalled(ReasonInUse, fmt.Sprintf("deletion waits until no delta needs it as its base any more; now OfflineManifest %s", by))
		return phase.Last(lookAgain), err
	}
	if done, next, err := s.collect(ctx); !done {
		return next, err
	}
	s.let(s.manifest)
	if err := capi.DropFinalizer(ctx, s.Client, s.manifest, Finalizer); err != nil {
		return phase.Stop(), err
	}
	s.gone = true
	return phase.Stop(), nil
}

// tidy removes what the store still holds of a bundle that is now read in place.
func tidy(ctx context.Context, s *scope) (phase.Next, error) {
	if !isLocal(s.manifest.Spec) {
		s.manifest.Status.Garbage = nil
		return phase.Continue(), nil
	}
	ready := s.standing
	_, next, err := s.collect(ctx)
	s.standing = ready // whatever lies in the store, the bundle is ready
	return next, err
}

// refuse stalls, and looks at the file again later.
func (s *scope) refuse(reason string, err error) phase.Next {
	if ready := capi.Condition(s.manifest, v1alpha1.ReadyCondition); ready == nil || ready.Reason != reason {
		s.Events.Eventf(s.manifest, nil, "Warning", reason, "Verify", "%s", capi.Cut(err.Error(), maxNote))
	}
	capi.SetCondition(s.manifest, v1alpha1.AvailableCondition, metav1.ConditionFalse, reason, err.Error())
	s.standing = phase.Stalled(reason, err.Error())
	return phase.Last(lookAgain)
}

// maxNote is how long the note of an event may be, in bytes (events.k8s.io/v1, Event.note).
const maxNote = 1000

// putOthers sees that every condition is there from the first reconcile on.
func (s *scope) putOthers() {
	for _, kind := range []string{v1alpha1.FetchedCondition, v1alpha1.VerifiedCondition, v1alpha1.AvailableCondition} {
		if capi.Condition(s.manifest, kind) == nil {
			capi.SetCondition(s.manifest, kind, metav1.ConditionUnknown, "NotChecked", "")
		}
	}
}
