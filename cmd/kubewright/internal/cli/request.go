package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/provision"
)

// access gathers what is needed to reach the hosts of a cluster, those that leave it included, and their bastions. known and secrets
// come before what the API server has. A host that leaves and is not contacted for it needs no credentials.
func access(ctx context.Context, reader client.Reader, cluster *v1alpha1.Cluster, leaving []string, known map[string]*v1alpha1.Host, secrets map[client.ObjectKey]*corev1.Secret) ([]provision.HostAccess, error) {
	found := map[string]provision.HostAccess{}
	var add func(name string) error
	add = func(name string) error {
		if _, done := found[name]; done {
			return nil
		}
		host := known[name]
		if host == nil {
			host = &v1alpha1.Host{}
			if err := reader.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: name}, host); err != nil {
				return fmt.Errorf("read Host %s: %w", name, err)
			}
		}
		key := client.ObjectKey{Namespace: cluster.Namespace, Name: host.Spec.CredentialsRef.Name}
		orphan := host.Spec.OnRemoval == v1alpha1.OrphanOnRemoval && slices.Contains(leaving, name)
		secret := secrets[key]
		if secret == nil {
			secret = &corev1.Secret{}
			err := reader.Get(ctx, key, secret)
			if apierrors.IsNotFound(err) && orphan {
				err = nil
			}
			if err != nil {
				return fmt.Errorf("read Secret %s of Host %s: %w", key, name, err)
			}
		}
		var credentials map[string][]byte
		if secret.Name != "" {
			var err error
			if credentials, err = capi.Credentials(secret); err != nil {
				return fmt.Errorf("Host %s: %w", name, err)
			}
		}
		found[name] = provision.HostAccess{Host: *host, Credentials: credentials}
		if host.Spec.BastionRef != nil && !orphan {
			return add(host.Spec.BastionRef.Name)
		}
		return nil
	}
	names := slices.Clone(leaving)
	for _, named := range input.HostsOf(cluster) {
		names = append(names, named.Name)
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	out := make([]provision.HostAccess, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[name])
	}
	return out, nil
}

// authorities reads a cluster's authorities, and makes ones for this process alone in place of those that do not exist yet.
func authorities(ctx context.Context, reader client.Reader, cluster *v1alpha1.Cluster) (*pki.Authorities, error) {
	all, err := pki.NewAuthorities(time.Now())
	if err != nil {
		return nil, err
	}
	for _, purpose := range capi.Authorities() {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: cluster.Namespace, Name: capi.SecretName(cluster.Name, purpose)}
		err := reader.Get(ctx, key, secret)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read Secret %s: %w", key, err)
		}
		if err := capi.Belongs(secret, cluster.Name, cluster.UID); err != nil {
			return nil, err
		}
		pair, err := capi.KeyPairFrom(secret)
		if err != nil {
			return nil, err
		}
		capi.SetPair(all, purpose, pair)
	}
	return all, nil
}

// backupRecipient reads whom a cluster's snapshots are encrypted for; nobody while it has no key.
func backupRecipient(ctx context.Context, reader client.Reader, cluster *v1alpha1.Cluster) (string, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: capi.SecretName(cluster.Name, capi.Backup)}
	err := reader.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read Secret %s: %w", key, err)
	}
	if err := capi.Belongs(secret, cluster.Name, cluster.UID); err != nil {
		return "", err
	}
	return capi.BackupRecipientFrom(secret)
}
