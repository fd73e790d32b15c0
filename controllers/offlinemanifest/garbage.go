package offlinemanifest

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// collect removes what the store holds of a bundle that this OfflineManifest does not need any more and no other one does: first the
// plan is shown, and after a while, when the same is still true, it is carried out. It returns true when nothing is left to do.
func (s *scope) collect(ctx context.Context) (bool, phase.Next, error) {
	d, err := digestOf(s.manifest.Spec)
	if err != nil || s.Sources.StoreDir == "" {
		return true, phase.Continue(), nil //nolint:nilerr // nothing was ever fetched for what is no digest
	}
	// What this one had begun holds nothing up, and writes nothing behind the list that is made now.
	s.fetching.forget(s.manifest.Name, d)
	if !s.manifest.DeletionTimestamp.IsZero() {
		s.verifier.forget(s.manifest.Name)
	}
	names, bytes, err := s.store().files(d)
	if err != nil {
		return false, phase.Stop(), err
	}
	garbage := &s.manifest.Status.Garbage
	if len(names) == 0 {
		*garbage = nil
		return true, phase.Continue(), nil
	}
	var all v1alpha1.OfflineManifestList
	if err := s.Live.List(ctx, &all); err != nil {
		return false, phase.Stop(), fmt.Errorf("list OfflineManifests: %w", err)
	}
	if neededBy(all.Items, s.manifest.Name, d) != "" {
		*garbage = nil
		return true, phase.Continue(), nil
	}
	if use := s.Store.leases.of(d); use != "" {
		return false, s.isLeased(use), nil
	}
	now := s.Now()
	if *garbage == nil {
		*garbage = &v1alpha1.OfflineGarbage{Files: names, Bytes: bytes, RemoveAfter: metav1.NewTime(now.Add(s.Sources.GarbageDelay).UTC().Truncate(time.Second))}
		s.Events.Eventf(s.manifest, nil, "Normal", ReasonCollecting, "Collect", "%s of the store will be removed, because nothing needs them any more", mebibytes(bytes))
	}
	if left := (*garbage).RemoveAfter.Sub(now); left > 0 {
		s.standing = phase.Working(ReasonCollecting, fmt.Sprintf("%s of the store will be removed after %s; status.garbage lists them", mebibytes(bytes), (*garbage).RemoveAfter.UTC().Format(time.RFC3339)))
		return false, phase.Last(left), nil
	}
	if !s.manifest.DeletionTimestamp.IsZero() {
		s.letBundle(s.manifest.Name) // so that nobody takes a lease any more
	}
	use, err := s.Store.leases.unless(d, func() error { return s.store().remove(d) })
	if err != nil {
		return false, phase.Stop(), err
	}
	if use != "" {
		return false, s.isLeased(use), nil
	}
	*garbage = nil
	return true, phase.Continue(), nil
}

// isLeased waits for the end of what uses a bundle that nobody needs after that. The plan has to be shown again then.
func (s *scope) isLeased(use string) phase.Next {
	s.manifest.Status.Garbage = nil
	s.standing = phase.Working(ReasonInUse, use+"; what the store holds of it is removed after that")
	return phase.Last(lookAgain)
}

// neededBy names an OfflineManifest other than the given one that needs what the store holds under a digest: as its own bundle, or as
// the base of its delta. Those that are going need it until they are gone.
func neededBy(all []v1alpha1.OfflineManifest, except string, d digest.Digest) string {
	for i := range all {
		m := &all[i]
		if m.Name == except {
			continue
		}
		if (m.Spec.Digest == d.String() && !isLocal(m.Spec)) || m.Status.Base == d.String() {
			return m.Name
		}
	}
	return ""
}
