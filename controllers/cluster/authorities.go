package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
)

// authorities are the cluster's key pairs as they stand in Secrets.
type authorities struct {
	pairs   map[capi.Purpose]pki.KeyPair
	missing []capi.Purpose
}

// ensureAuthorities makes the cluster's authorities once. What exists is used as it is and never written again; and when an operation
// may have given them to a host, missing ones are not made anew, because a live cluster would not trust them.
func ensureAuthorities(ctx context.Context, s *scope) (phase.Next, error) {
	found, err := s.readAuthorities(ctx)
	if broken, ok := errors.AsType[*brokenError](err); ok {
		s.standing = phase.Stalled(ReasonAuthoritiesBroken, broken.Error())
		return phase.Stop(), nil
	}
	if foreign, ok := errors.AsType[*capi.ForeignSecretError](err); ok {
		s.standing = phase.Stalled(ReasonSecretNotAdopted, foreign.Error())
		return phase.Stop(), nil
	}
	if err != nil {
		return phase.Stop(), err
	}
	if len(found.missing) > 0 {
		// The cache may lag behind, and this must not be decided from an old status.
		live := &v1alpha1.Cluster{}
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(s.cluster), live); err != nil {
			return phase.Stop(), fmt.Errorf("read the cluster before its authorities are made: %w", err)
		}
		if mayBeInUse(live) {
			s.standing = phase.Stalled(ReasonAuthoritiesMissing, missingMessage(s.cluster, found.missing))
			return phase.Stop(), nil
		}
		if err := s.makeAuthorities(ctx, found); err != nil {
			return phase.Stop(), err
		}
	}
	hash, err := found.pairs[capi.ClusterCA].PublicKeyHash()
	if err != nil {
		s.standing = phase.Stalled(ReasonAuthoritiesBroken, fmt.Sprintf("the Secret %s holds no certificate: %v; restore it from a backup",
			capi.SecretName(s.cluster.Name, capi.ClusterCA), err))
		return phase.Stop(), nil
	}
	s.cluster.Status.CACertificateHash = hash
	s.authorities = found
	return phase.Continue(), nil
}

// mayBeInUse says whether a host may have been given the authorities: the cluster exists, or an operation was begun for it.
func mayBeInUse(cluster *v1alpha1.Cluster) bool {
	return cluster.Status.Initialized || cluster.Status.InstalledGeneration > 0 || cluster.Status.LastOperation != ""
}

func missingMessage(cluster *v1alpha1.Cluster, missing []capi.Purpose) string {
	names := make([]string, 0, len(missing))
	for _, purpose := range missing {
		names = append(names, capi.SecretName(cluster.Name, purpose))
	}
	return fmt.Sprintf("Secret %s is gone, and the cluster may be in use with it; new authorities are never made for such a cluster: restore it from a backup",
		strings.Join(names, ", "))
}

// readAuthorities reads what exists, live.
func (s *scope) readAuthorities(ctx context.Context) (*authorities, error) {
	found := &authorities{pairs: map[capi.Purpose]pki.KeyPair{}}
	for _, purpose := range capi.Authorities() {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: s.cluster.Namespace, Name: capi.SecretName(s.cluster.Name, purpose)}
		err := s.Live.Get(ctx, key, secret)
		if apierrors.IsNotFound(err) {
			found.missing = append(found.missing, purpose)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read Secret %s: %w", key, err)
		}
		if err := s.belongs(secret); err != nil {
			return nil, err
		}
		pair, err := capi.KeyPairFrom(secret)
		if err != nil {
			return nil, &brokenError{err}
		}
		found.pairs[purpose] = pair
	}
	return found, nil
}

// brokenError says that a Secret exists and is not what its name promises.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// makeAuthorities creates the missing Secrets. They are created, never updated, so one that appeared meanwhile wins.
func (s *scope) makeAuthorities(ctx context.Context, found *authorities) error {
	fresh, err := pki.NewAuthorities(s.Now())
	if err != nil {
		return err
	}
	for _, purpose := range found.missing {
		pair := capi.PairFor(fresh, purpose)
		secret := capi.KeyPairSecret(s.cluster.Namespace, s.cluster.Name, purpose, pair, s.owner())
		if err := s.Client.Create(ctx, secret); err != nil {
			return fmt.Errorf("create Secret %s: %w", secret.Name, err)
		}
		found.pairs[purpose] = pair
	}
	found.missing = nil
	return nil
}

// belongs says whether a Secret is this cluster's.
func (s *scope) belongs(secret *corev1.Secret) error {
	return capi.Belongs(secret, s.cluster.Name, s.cluster.UID)
}

// owner is the reference that ties what belongs to the cluster to it.
func (s *scope) owner() metav1.OwnerReference {
	return *metav1.NewControllerRef(s.cluster, v1alpha1.GroupVersion.WithKind("Cluster"))
}
