package progress

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// digestShown is how many digits of a digest tell one from another for people.
const digestShown = 12

// OtherBundle says in words that a cluster runs from another bundle than the one with a digest; empty when it does not, or does not run yet.
func OtherBundle(cluster *v1alpha1.Cluster, digest string) string {
	if cluster == nil || len(cluster.Status.Bundles) == 0 || digest == "" || cluster.Status.Bundles[0].Digest == digest {
		return ""
	}
	runs := cluster.Status.Bundles[0]
	return Clean(fmt.Sprintf("%s -> %s, another one than the cluster runs from", shortDigest(runs.Digest), shortDigest(digest)))
}

// shortDigest is the beginning of a digest.
func shortDigest(digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return algorithm + ":" + hex[:min(digestShown, len(hex))]
}
