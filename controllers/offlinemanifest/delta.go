package offlinemanifest

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/capi"
)

// lacksBase says why a delta cannot be used by itself. The delta may be sound; that is found out together with its base. As long as an
// OfflineManifest may still bring that, nobody has to do anything.
func (s *scope) lacksBase(ctx context.Context, missing *bundle.MissingBaseError) (phase.Next, error) {
	digest := missing.Base.Digest.String()
	var all v1alpha1.OfflineManifestList
	if err := s.Client.List(ctx, &all); err != nil {
		return phase.Stop(), fmt.Errorf("list OfflineManifests: %w", err)
	}
	base := bringerOf(all.Items, s.manifest.Name, digest)
	switch {
	case base != nil && !capi.IsTrueNow(base, v1alpha1.StalledCondition):
		if alreadyVerified(s.manifest) {
			return phase.Stop(), nil // after a restart it is opened before its base
		}
		message := fmt.Sprintf("waits until its base, OfflineManifest %s, is verified", base.Name)
		capi.SetCondition(s.manifest, v1alpha1.AvailableCondition, metav1.ConditionFalse, ReasonMissingBase, message)
		s.standing = phase.Working(ReasonMissingBase, message)
	case base != nil:
		s.refuse(ReasonMissingBase, fmt.Errorf("its base, OfflineManifest %s, cannot be used: %s", base.Name, capi.Condition(base, v1alpha1.StalledCondition).Message))
	default:
		s.refuse(ReasonMissingBase, fmt.Errorf("%w: create an OfflineManifest for it; missing are %s", missing, digests(missing.Missing)))
	}
	s.manifest.Status.Base = digest
	capi.SetCondition(s.manifest, v1alpha1.VerifiedCondition, metav1.ConditionUnknown, ReasonMissingBase, "")
	return phase.Last(lookAgain), nil
}

// bringerOf is the OfflineManifest with a digest, rather one that is not Stalled; nil when there is none but the excepted.
func bringerOf(all []v1alpha1.OfflineManifest, except, digest string) *v1alpha1.OfflineManifest {
	var found *v1alpha1.OfflineManifest
	for i := range all {
		m := &all[i]
		if m.Name == except || m.Spec.Digest != digest || !m.DeletionTimestamp.IsZero() {
			continue
		}
		if !capi.IsTrueNow(m, v1alpha1.StalledCondition) {
			return m
		}
		found = m
	}
	return found
}

// isBaseOf names an OfflineManifest whose delta has no other base than this one's bundle; seen live, as whatever decides on a deletion.
func (s *scope) isBaseOf(ctx context.Context) (string, error) {
	var all v1alpha1.OfflineManifestList
	if err := s.Live.List(ctx, &all); err != nil {
		return "", fmt.Errorf("list OfflineManifests: %w", err)
	}
	return baseOf(all.Items, s.manifest), nil
}

func baseOf(all []v1alpha1.OfflineManifest, base *v1alpha1.OfflineManifest) string {
	delta := ""
	for i := range all {
		m := &all[i]
		switch {
		case m.Name == base.Name:
		case m.Spec.Digest == base.Spec.Digest && m.DeletionTimestamp.IsZero():
			return "" // the same bundle is there by another name
		case m.Status.Base == base.Spec.Digest:
			delta = m.Name
		}
	}
	return delta
}

// relatives are the OfflineManifests with the base of a delta, which may go when it has gone, and the deltas to a base, which wait for it.
func (r *Reconciler) relatives(ctx context.Context, object client.Object) []reconcile.Request {
	of := object.(*v1alpha1.OfflineManifest)
	var all v1alpha1.OfflineManifestList
	if r.Client.List(ctx, &all) != nil {
		return nil // without the list nothing is lost: what waits looks again by itself
	}
	var requests []reconcile.Request
	for i := range all.Items {
		m := &all.Items[i]
		if m.Name != of.Name && (m.Spec.Digest == of.Status.Base || m.Status.Base == of.Spec.Digest) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: m.Name}})
		}
	}
	return requests
}
