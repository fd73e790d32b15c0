package provision

import (
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
)

// LongestSilence is how long an operation upon a cluster may say nothing although all is well: as long as the longest of its steps may take.
func LongestSilence(cluster *v1alpha1.Cluster) time.Duration {
	rollout := &cluster.Spec.Rollout
	return max(engine.DefaultTimeout, waitTimeout, stall(rollout), drainLimit(rollout.Drain))
}
