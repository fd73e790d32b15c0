package cluster

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// refuseChanges stops at a change of the spec that an Install cannot bring about. Adding hosts is not among them: the same graph
// joins them. Fields that can never change are refused by the API server.
func refuseChanges(_ context.Context, s *scope) (phase.Next, error) {
	status := &s.cluster.Status
	if status.Initialized && status.Version != "" && status.Version != s.cluster.Spec.Version {
		s.standing = phase.Stalled(ReasonVersionChangeUnsupported, fmt.Sprintf(
			"the cluster runs %s and changing it to %s is not supported yet: set spec.version back to %s",
			status.Version, s.cluster.Spec.Version, status.Version))
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}
