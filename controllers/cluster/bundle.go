package cluster

import (
	"context"
	"fmt"
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
	if s.standing = judgeBundle(manifest, s.cluster.Spec.Version); s.standing != (phase.Standing{}) {
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}

// judgeBundle says why a bundle cannot be used for a version; the zero Standing when it can.
func judgeBundle(manifest *v1alpha1.OfflineManifest, version string) phase.Standing {
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
		if release.KubernetesVersion == version {
			return phase.Standing{}
		}
		inside = append(inside, release.KubernetesVersion)
	}
	return phase.Stalled(ReasonVersionNotInBundle, fmt.Sprintf("OfflineManifest %s does not hold Kubernetes %s, it holds %s: correct spec.version, or use another bundle",
		manifest.Name, version, strings.Join(inside, ", ")))
}
