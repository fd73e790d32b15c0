package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// claimHosts makes every host of the spec this cluster's, all or none as far as can be seen beforehand. A claim is written with the
// resource version that was judged, so of two clusters that want one host exactly one gets it.
func claimHosts(ctx context.Context, s *scope) (phase.Next, error) {
	var hosts v1alpha1.HostList
	if err := s.Client.List(ctx, &hosts, client.InNamespace(s.cluster.Namespace)); err != nil {
		return phase.Stop(), fmt.Errorf("list hosts: %w", err)
	}
	if stop := findObstacle(s.cluster, hosts.Items); stop != nil {
		capi.SetCondition(s.cluster, v1alpha1.HostsClaimedCondition, metav1.ConditionFalse, stop.reason, stop.message)
		s.standing = phase.Stalled(stop.reason, stop.message)
		return phase.Stop(), nil
	}
	byName := make(map[string]*v1alpha1.Host, len(hosts.Items))
	for i := range hosts.Items {
		byName[hosts.Items[i].Name] = &hosts.Items[i]
	}
	wanted := wantedHosts(s.cluster)
	for _, want := range wanted {
		if err := s.claim(ctx, byName[want.name], want); err != nil {
			return phase.Stop(), err
		}
	}
	capi.SetCondition(s.cluster, v1alpha1.HostsClaimedCondition, metav1.ConditionTrue, ReasonClaimed, "")
	return phase.Continue(), nil
}

func (s *scope) claim(ctx context.Context, host *v1alpha1.Host, want wantedHost) error {
	claim := v1alpha1.HostClaim{
		ClusterName: s.cluster.Name, ClusterUID: string(s.cluster.UID), Role: want.role, Pool: want.pool,
	}
	if host.Status.Claim != nil && *host.Status.Claim == claim {
		return nil
	}
	after := host.DeepCopy()
	after.Status.Claim = &claim
	change := client.MergeFromWithOptions(host, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Status().Patch(ctx, after, change); err != nil {
		return fmt.Errorf("claim host %s: %w", host.Name, err)
	}
	return nil
}
