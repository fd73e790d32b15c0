package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// checkBundle sees that the bundle was verified and holds the version, before anything happens on a host.
func checkBundle(ctx context.Context, s *scope) (phase.Next, error) {
	name := s.cluster.Spec.OfflineManifestRef.Name
	manifest := &v1alpha1.OfflineManifest{}
	err := s.Client.Get(ctx, client.ObjectKey{Name: name}, manifest)
	if apierrors.IsNotFound(err) {
		s.standing = phase.Stalled(ReasonManifestNotFound,
			fmt.Sprintf("OfflineManifest %s does not exist: create it, or correct spec.offlineManifestRef", name))
		return phase.Stop(), nil
	}
	if err != nil {
		return phase.Stop(), fmt.Errorf("read OfflineManifest %s: %w", name, err)
	}
	for _, release := range manifest.Status.Releases {
		s.available = append(s.available, release.KubernetesVersion)
	}
	if s.standing = judgeBundle(manifest, versionsOf(s.cluster)); s.standing != (phase.Standing{}) {
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}

// versionsOf lists the versions a spec names.
func versionsOf(cluster *v1alpha1.Cluster) []string {
	versions := []string{cluster.Spec.Version}
	for _, pool := range cluster.Spec.Workers {
		if pool.Version != "" {
			versions = append(versions, pool.Version)
		}
	}
	return versions
}

// judgeBundle says why a bundle cannot be used for versions; the zero Standing when it can.
func judgeBundle(manifest *v1alpha1.OfflineManifest, versions []string) phase.Standing {
	if !capi.IsTrueNow(manifest, v1alpha1.ReadyCondition) {
		why := "it was not looked at yet"
		if ready := capi.Condition(manifest, v1alpha1.ReadyCondition); ready != nil {
			why = ready.Reason + ": " + ready.Message
		}
		message := fmt.Sprintf("OfflineManifest %s is not ready: %s", manifest.Name, why)
		if capi.IsTrueNow(manifest, v1alpha1.StalledCondition) {
			return phase.Stalled(ReasonBundleNotReady, message)
		}
		return phase.Working(ReasonBundleNotReady, message)
	}
	var inside []string
	for _, release := range manifest.Status.Releases {
		inside = append(inside, release.KubernetesVersion)
	}
	for _, version := range versions {
		if !slices.Contains(inside, version) {
			return phase.Stalled(ReasonVersionNotInBundle, fmt.Sprintf("OfflineManifest %s does not hold Kubernetes %s, it holds %s: correct spec.version, or use another bundle",
				manifest.Name, version, strings.Join(inside, ", ")))
		}
	}
	return phase.Standing{}
}
