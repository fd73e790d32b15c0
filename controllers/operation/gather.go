package operation

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/claims"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/provision"
)

// maxBastions bounds the chain of bastions of one host; the SSH package allows no more either.
const maxBastions = 4

// gather reads everything an execution needs, live. The error is a *failure when somebody has to change something first.
func (s *scope) gather(ctx context.Context) (provision.Request, error) {
	hosts, leaving, err := s.gatherHosts(ctx)
	if err != nil {
		return provision.Request{}, err
	}
	access, err := s.gatherCredentials(ctx, hosts)
	if err != nil {
		return provision.Request{}, err
	}
	request := provision.Request{
		Operation:     *s.operation.DeepCopy(),
		Cluster:       *s.cluster.DeepCopy(),
		Hosts:         access,
		Leaving:       leaving,
		Addresses:     s.Addresses,
		RecordHostKey: s.hostKeyRecorder(s.operation.Namespace),
	}
	if s.isReset() {
		return request, nil // it signs and saves nothing, so it does not matter whether the keys for that are still there
	}
	if request.Authorities, err = s.gatherAuthorities(ctx); err != nil {
		return provision.Request{}, err
	}
	if request.BackupRecipient, err = s.gatherBackupRecipient(ctx); err != nil {
		return provision.Request{}, err
	}
	return request, nil
}

func (s *scope) isReset() bool { return s.operation.Spec.Type == v1alpha1.ResetOperation }

// gatherHosts reads the cluster's hosts and their bastions, sorted by name, and says which of them leave it.
func (s *scope) gatherHosts(ctx context.Context) (hosts []*v1alpha1.Host, leaving []string, err error) {
	var list v1alpha1.HostList
	if err := s.Live.List(ctx, &list, client.InNamespace(s.operation.Namespace)); err != nil {
		return nil, nil, fmt.Errorf("list hosts: %w", err)
	}
	all := make(map[string]*v1alpha1.Host, len(list.Items))
	for i := range list.Items {
		all[list.Items[i].Name] = &list.Items[i]
	}
	leaving = Leaving(s.cluster, list.Items)
	if s.isReset() {
		leaving = held(s.cluster, list.Items)
	}
	names, err := s.ownHosts(all, leaving)
	if err != nil {
		return nil, nil, err
	}
	found := map[string]*v1alpha1.Host{}
	for _, name := range names {
		found[name] = all[name]
		if err := addBastions(all[name], all, found); err != nil && !s.leftAlone(all[name]) {
			return nil, nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		hosts = append(hosts, found[name])
	}
	return hosts, leaving, nil
}

// leftAlone says whether a host leaves the cluster and is not contacted for it, so that it does not matter how it would be reached.
func (s *scope) leftAlone(host *v1alpha1.Host) bool {
	leaves := s.isReset() && claims.Holds(s.cluster, host) || claims.IsLeaving(s.cluster, host)
	return leaves && host.Spec.OnRemoval == v1alpha1.OrphanOnRemoval
}

// ownHosts names the hosts of the spec and those that leave the cluster; for a Reset these alone. A host of the spec that is not this
// cluster's is refused here too: what a person's operation asks for went past no other check.
func (s *scope) ownHosts(all map[string]*v1alpha1.Host, leaving []string) ([]string, error) {
	if s.isReset() {
		return leaving, nil
	}
	names := slices.Clone(leaving)
	for _, name := range index.HostNames(s.cluster) {
		if all[name] == nil {
			return nil, &failure{reason: ReasonHostNotFound, host: name,
				message: fmt.Sprintf("host %s does not exist in namespace %s: create it, or take it out of the spec", name, s.operation.Namespace)}
		}
		if !claims.Holds(s.cluster, all[name]) {
			return nil, &failure{reason: ReasonHostNotClaimed, host: name, message: fmt.Sprintf(
				"host %s is not claimed by cluster %s; see the cluster's condition %s", name, s.cluster.Name, v1alpha1.HostsClaimedCondition)}
		}
		names = append(names, name)
	}
	return names, nil
}

// addBastions adds the hosts that a host is reached through. The error is a *failure.
func addBastions(host *v1alpha1.Host, all, found map[string]*v1alpha1.Host) error {
	for at, depth := host, 0; at.Spec.BastionRef != nil; depth++ {
		name := at.Spec.BastionRef.Name
		if depth == maxBastions {
			return &failure{reason: ReasonHostNotFound, host: host.Name,
				message: fmt.Sprintf("host %s: the chain of bastions has more than %d hosts; does it lead back to itself?", host.Name, maxBastions)}
		}
		bastion := all[name]
		if bastion == nil {
			return &failure{reason: ReasonHostNotFound, host: name,
				message: fmt.Sprintf("host %s, the bastion of host %s, does not exist in namespace %s: create it, or correct spec.bastionRef", name, at.Name, at.Namespace)}
		}
		found[name] = bastion
		at = bastion
	}
	return nil
}

// gatherCredentials reads each Secret once.
func (s *scope) gatherCredentials(ctx context.Context, hosts []*v1alpha1.Host) ([]provision.HostAccess, error) {
	read := map[string]map[string][]byte{}
	out := make([]provision.HostAccess, 0, len(hosts))
	for _, host := range hosts {
		name := host.Spec.CredentialsRef.Name
		if _, ok := read[name]; !ok {
			secret := &corev1.Secret{}
			err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.operation.Namespace, Name: name}, secret)
			missing := apierrors.IsNotFound(err) || err == nil && len(secret.Data) == 0
			if missing && s.leftAlone(host) {
				out = append(out, provision.HostAccess{Host: *host})
				continue
			}
			if missing {
				return nil, &failure{reason: ReasonCredentialsMissing, host: host.Name, message: fmt.Sprintf(
					"host %s: the Secret %s does not exist or is empty: create it with %s or %s", host.Name, name,
					v1alpha1.SSHPrivateKeyKey, v1alpha1.SSHPasswordKey)}
			}
			if err != nil {
				return nil, fmt.Errorf("read the credentials of host %s: %w", host.Name, err)
			}
			if read[name], err = capi.Credentials(secret); err != nil {
				return nil, &failure{reason: ReasonNotCredentials, host: host.Name, message: fmt.Sprintf("host %s: %v", host.Name, err)}
			}
		}
		out = append(out, provision.HostAccess{Host: *host, Credentials: read[name]})
	}
	return out, nil
}

// gatherAuthorities reads the cluster's CA Secrets. They are never made here.
func (s *scope) gatherAuthorities(ctx context.Context) (*pki.Authorities, error) {
	authorities := &pki.Authorities{}
	for _, purpose := range capi.Authorities() {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: s.operation.Namespace, Name: capi.SecretName(s.cluster.Name, purpose)}
		err := s.Live.Get(ctx, key, secret)
		if apierrors.IsNotFound(err) {
			return nil, &failure{reason: ReasonAuthoritiesMissing, message: fmt.Sprintf("the Secret %s does not exist: restore it from a backup", key.Name)}
		}
		if err != nil {
			return nil, fmt.Errorf("read Secret %s: %w", key.Name, err)
		}
		if err := s.belongs(secret); err != nil {
			return nil, err
		}
		pair, err := capi.KeyPairFrom(secret)
		if err != nil {
			return nil, &failure{reason: ReasonAuthoritiesMissing, message: err.Error()}
		}
		capi.SetPair(authorities, purpose, pair)
	}
	return authorities, nil
}

// belongs says whether a Secret is this cluster's; the error is a *failure.
func (s *scope) belongs(secret *corev1.Secret) error {
	if err := capi.Belongs(secret, s.cluster.Name, s.cluster.UID); err != nil {
		return &failure{reason: ReasonSecretNotAdopted, message: err.Error()}
	}
	return nil
}

// gatherBackupRecipient reads whom snapshots of etcd are encrypted for; nobody when the cluster has no key yet.
func (s *scope) gatherBackupRecipient(ctx context.Context) (string, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.operation.Namespace, Name: capi.SecretName(s.cluster.Name, capi.Backup)}
	err := s.Live.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read Secret %s: %w", key.Name, err)
	}
	if err := s.belongs(secret); err != nil {
		return "", err
	}
	recipient, err := capi.BackupRecipientFrom(secret)
	if err != nil {
		return "", &failure{reason: ReasonBackupKeyBroken, message: err.Error()}
	}
	return recipient, nil
}
