package cluster

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/claims"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// releaseHosts gives up hosts that left the spec and were never touched. The others are taken out of the cluster by the next
// operation, which releases them when their node is gone.
func releaseHosts(ctx context.Context, s *scope) (phase.Next, error) {
	wanted := index.HostNames(s.cluster)
	held, err := s.heldHosts(ctx)
	if err != nil {
		return phase.Stop(), err
	}
	for i := range held {
		host := &held[i]
		switch {
		case claims.IsLeaving(s.cluster, host):
			s.moving = true
		case !slices.Contains(wanted, host.Name):
			if err := s.release(ctx, host); err != nil {
				return phase.Stop(), err
			}
		case !claims.WasTouched(host):
			s.moving = true
		}
	}
	return phase.Continue(), nil
}

// heldHosts are those whose claim this cluster has.
func (s *scope) heldHosts(ctx context.Context) ([]v1alpha1.Host, error) {
	var hosts v1alpha1.HostList
	if err := s.Client.List(ctx, &hosts, client.InNamespace(s.cluster.Namespace)); err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	return slices.DeleteFunc(hosts.Items, func(h v1alpha1.Host) bool { return !claims.Holds(s.cluster, &h) }), nil
}

// release ends the claim on a host; further changes of its status are written with it.
func (s *scope) release(ctx context.Context, host *v1alpha1.Host, further ...func(*v1alpha1.Host)) error {
	after := host.DeepCopy()
	after.Status.Claim = nil
	after.Status.Step = nil
	for _, change := range further {
		change(after)
	}
	change := client.MergeFromWithOptions(host, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Status().Patch(ctx, after, change); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("release host %s: %w", host.Name, err)
	}
	return nil
}
