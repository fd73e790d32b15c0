package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/controllers/internal/quarantine"
	"github.com/kubewright/kubewright/pkg/capi"
)

// cancelOperations deletes the operations under way, except a Reset of this deletion, and waits until they have let go of the hosts.
func cancelOperations(ctx context.Context, s *scope) (phase.Next, error) {
	live, err := s.listOperationsLive(ctx)
	if err != nil {
		return phase.Stop(), err
	}
	s.operations = live
	waiting := false
	for i := range live {
		operation := &live[i]
		if operation.Status.Phase.Ended() || isReset(s.cluster, operation) {
			continue
		}
		waiting = true
		if !operation.DeletionTimestamp.IsZero() {
			continue
		}
		if err := s.Client.Delete(ctx, operation); client.IgnoreNotFound(err) != nil {
			return phase.Stop(), fmt.Errorf("cancel operation %s: %w", operation.Name, err)
		}
	}
	if waiting {
		s.standing = phase.Working(ReasonDeleting, "waiting for the operations under way to stop")
		return phase.Stop(), nil
	}
	return phase.Continue(), nil
}

func isReset(cluster *v1alpha1.Cluster, operation *v1alpha1.ClusterOperation) bool {
	return operation.Spec.Type == v1alpha1.ResetOperation && metav1.IsControlledBy(operation, cluster)
}

// resetHosts removes Kubernetes from the hosts when the policy says so, by an operation of its own. Hosts on which no operation was
// ever begun need none.
func resetHosts(ctx context.Context, s *scope) (phase.Next, error) {
	if s.cluster.Spec.DeletionPolicy != v1alpha1.ResetOnDelete || !mayBeInUse(s.cluster) {
		if running := active(s.cluster, s.operations); running != nil {
			return s.cancelReset(ctx, running)
		}
		return phase.Continue(), nil
	}
	last := newest(s.cluster, s.operations, isOfType(v1alpha1.ResetOperation))
	switch {
	case last != nil && last.Status.Phase == v1alpha1.OperationSucceeded:
		return phase.Continue(), nil
	case last != nil && !last.Status.Phase.Ended():
		s.standing = phase.Working(ReasonDeleting, progress(last))
		return phase.Stop(), nil
	case last != nil && !asksAgain(s.cluster, last):
		s.standing = phase.Stalled(ReasonResetFailed, fmt.Sprintf(
			"operation %s failed: %s; correct the cause and set the annotation %s to a new value, or set spec.deletionPolicy to Orphan, which quarantines the hosts that were not cleaned",
			last.Name, failure(last), v1alpha1.RetryAnnotation))
		return phase.Stop(), nil
	case paused(s.cluster):
		s.standing = phase.Resting(ReasonPaused, "the hosts are not reset while the cluster is paused")
		return phase.Stop(), nil
	}
	// The generation moves with the deletion and with a change of policy, so a Reset is not bound to one.
	operation := s.newOperation(nextName(resetPrefix(s.cluster), s.neighbours), v1alpha1.ResetOperation, 0)
	if err := s.create(ctx, operation); err != nil {
		return phase.Stop(), err
	}
	s.standing = phase.Working(ReasonDeleting, progress(operation))
	return phase.Stop(), nil
}

// cancelReset stops a Reset that the policy does not ask for any more.
func (s *scope) cancelReset(ctx context.Context, running *v1alpha1.ClusterOperation) (phase.Next, error) {
	if running.DeletionTimestamp.IsZero() {
		if err := s.Client.Delete(ctx, running); client.IgnoreNotFound(err) != nil {
			return phase.Stop(), fmt.Errorf("cancel operation %s: %w", running.Name, err)
		}
	}
	s.standing = phase.Working(ReasonDeleting, "waiting for the operations under way to stop")
	return phase.Stop(), nil
}

// releaseClaims gives up every host the cluster still holds: those that no Reset was done with. One that a Reset tried to clean is
// quarantined.
func releaseClaims(ctx context.Context, s *scope) (phase.Next, error) {
	held, err := s.heldHosts(ctx)
	if err != nil {
		return phase.Stop(), err
	}
	for i := range held {
		var further []func(*v1alpha1.Host)
		if why := notCleaned(s.cluster, s.operations, &held[i]); why != "" {
			further = append(further, func(host *v1alpha1.Host) { quarantine.Begin(host, s.cluster.Name, why, false) })
		}
		if err := s.release(ctx, &held[i], further...); err != nil {
			return phase.Stop(), err
		}
	}
	return phase.Continue(), nil
}

// dropSecrets deletes the Secrets of a cluster that was reset, for API servers without a garbage collector. Those of a cluster that
// lives on are left to the collector, and those of somebody else are left alone.
func dropSecrets(ctx context.Context, s *scope) (phase.Next, error) {
	if s.cluster.Spec.DeletionPolicy != v1alpha1.ResetOnDelete {
		return phase.Continue(), nil
	}
	for _, purpose := range append(capi.Authorities(), capi.Kubeconfig, capi.Backup) {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: s.cluster.Namespace, Name: capi.SecretName(s.cluster.Name, purpose)}
		if err := s.Live.Get(ctx, key, secret); err != nil {
			if client.IgnoreNotFound(err) == nil {
				continue
			}
			return phase.Stop(), fmt.Errorf("read Secret %s: %w", key, err)
		}
		if !metav1.IsControlledBy(secret, s.cluster) {
			continue
		}
		if err := s.Client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID}); client.IgnoreNotFound(err) != nil {
			return phase.Stop(), fmt.Errorf("delete Secret %s: %w", key, err)
		}
	}
	return phase.Continue(), nil
}

// finish lets the object go.
func finish(ctx context.Context, s *scope) (phase.Next, error) {
	if err := capi.DropFinalizer(ctx, s.Client, s.cluster, v1alpha1.ClusterFinalizer); err != nil {
		return phase.Stop(), err
	}
	s.gone = true
	return phase.Stop(), nil
}
