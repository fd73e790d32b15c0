package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// releaseHosts gives up hosts that left the spec and were never touched. For the others nothing can be done yet: removing a node is
// an act of its own, and forgetting one that still runs would let a second cluster take it.
func releaseHosts(ctx context.Context, s *scope) (phase.Next, error) {
	wanted := index.HostNames(s.cluster)
	held, err := s.heldHosts(ctx)
	if err != nil {
		return phase.Stop(), err
	}
	var kept []string
	for i := range held {
		host := &held[i]
		switch {
		case slices.Contains(wanted, host.Name):
		case wasTouched(host):
			kept = append(kept, host.Name)
		default:
			if err := s.release(ctx, host); err != nil {
				return phase.Stop(), err
			}
		}
	}
	if len(kept) > 0 {
		slices.Sort(kept)
		s.standing = phase.Stalled(ReasonScaleDownUnsupported, fmt.Sprintf(
			"host %s left the spec, and taking a host out of a cluster is not supported yet: put it back into the spec",
			strings.Join(kept, ", ")))
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}

// heldHosts are those whose claim this cluster has.
func (s *scope) heldHosts(ctx context.Context) ([]v1alpha1.Host, error) {
	var hosts v1alpha1.HostList
	if err := s.Client.List(ctx, &hosts, client.InNamespace(s.cluster.Namespace)); err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	return slices.DeleteFunc(hosts.Items, func(h v1alpha1.Host) bool { return !holds(s.cluster, &h) }), nil
}

func (s *scope) release(ctx context.Context, host *v1alpha1.Host) error {
	after := host.DeepCopy()
	after.Status.Claim = nil
	after.Status.Step = nil
	change := client.MergeFromWithOptions(host, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Status().Patch(ctx, after, change); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("release host %s: %w", host.Name, err)
	}
	return nil
}
