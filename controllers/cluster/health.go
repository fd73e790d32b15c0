package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster/health"
	"github.com/kubewright/kubewright/controllers/internal/claims"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/servingcert"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// takeHealth has a cluster watched, and takes over what was found.
func takeHealth(ctx context.Context, s *scope) (phase.Next, error) {
	status := &s.cluster.Status
	key := client.ObjectKeyFromObject(s.cluster)
	if !status.Initialized || paused(s.cluster) {
		s.Health.Drop(key)
		return phase.Continue(), nil
	}
	nodes, err := s.servingNodes(ctx)
	if err != nil {
		return phase.Continue(), err
	}
	s.Health.Keep(health.Target{Key: key, Version: status.Version, Lagging: lagging(s.cluster), Nodes: nodes})
	s.found = s.Health.Record(key)
	switch s.found.Verdict {
	case health.Reachable:
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionTrue, ReasonAPIReachable, s.found.Nodes.Notes())
		status.Nodes.Joined, status.Nodes.Ready = s.found.Nodes.Joined, s.found.Nodes.Ready
	case health.Unreachable:
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionFalse, ReasonAPIUnreachable, s.found.Message)
	case health.Full:
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionFalse, ReasonEtcdOutOfSpace, s.found.Message)
	case health.Unknown:
		capi.SetCondition(s.cluster, v1alpha1.AvailableCondition, metav1.ConditionUnknown, ReasonCredentialsUnusable, s.found.Message)
	case health.Unseen:
	}
	return phase.Continue(), nil
}

// servingNodes are the cluster's hosts as nodes, with what their kubelets' certificates may name.
func (s *scope) servingNodes(ctx context.Context) (servingcert.Nodes, error) {
	var list v1alpha1.HostList
	if err := s.Client.List(ctx, &list, client.InNamespace(s.cluster.Namespace)); err != nil {
		return nil, fmt.Errorf("list the hosts of namespace %s: %w", s.cluster.Namespace, err)
	}
	hosts := map[string]v1alpha1.Host{}
	for _, h := range list.Items {
		if claims.Holds(s.cluster, &h) {
			hosts[h.Name] = h
		}
	}
	return kubeadm.ServingNodes(desired.Nodes(s.cluster.Spec, hosts)), nil
}

// lagging holds the versions of nodes whose pool the spec keeps at another one than the cluster's.
func lagging(cluster *v1alpha1.Cluster) map[string]string {
	versions := map[string]string{}
	for _, pool := range cluster.Spec.Workers {
		for _, host := range pool.Hosts {
			if pool.Version != "" {
				versions[host] = pool.Version
			}
		}
	}
	return versions
}

// atRest is the standing of a cluster with nothing left to do. It is worked out from the status, not from what this process has found
// yet, so that a new process says the same. What an operation counted is not judged: it has seen to its nodes itself.
func (s *scope) atRest() phase.Standing {
	nodes := s.cluster.Status.Nodes
	text := fmt.Sprintf("%d of %d nodes are ready at %s", nodes.Ready, nodes.Desired, s.cluster.Status.Version)
	available := capi.Condition(s.cluster, v1alpha1.AvailableCondition)
	switch {
	case available == nil:
	case available.Reason == ReasonAPIUnreachable:
		return phase.Resting(ReasonAPIUnreachable, "the API does not answer: "+available.Message)
	case available.Reason == ReasonEtcdOutOfSpace:
		return phase.Resting(ReasonEtcdOutOfSpace, available.Message)
	case available.Reason == ReasonAPIReachable && nodes.Ready < max(nodes.Desired, nodes.Joined):
		if ready := capi.Condition(s.cluster, v1alpha1.ReadyCondition); s.found.Verdict == health.Unseen && ready != nil && ready.Reason == ReasonNodesNotReady {
			return phase.Resting(ReasonNodesNotReady, ready.Message)
		}
		if s.found.Nodes.Wrong != "" {
			text += ": " + s.found.Nodes.Wrong
		}
		return phase.Resting(ReasonNodesNotReady, text)
	}
	return phase.Ready(ReasonInstalled, text)
}

// watched says whether Available tells what was found since the last operation.
func watched(cluster *v1alpha1.Cluster) bool {
	available := capi.Condition(cluster, v1alpha1.AvailableCondition)
	if available == nil {
		return false
	}
	switch available.Reason {
	case ReasonAPIReachable, ReasonAPIUnreachable, ReasonEtcdOutOfSpace, ReasonCredentialsUnusable:
		return true
	}
	return false
}
