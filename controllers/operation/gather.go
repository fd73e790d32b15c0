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
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/provision"
)

// maxBastions bounds the chain of bastions of one host; the SSH package allows no more either.
const maxBastions = 4

// gather reads everything an execution needs, live. The error is a *failure when somebody has to change something first.
func (s *scope) gather(ctx context.Context) (provision.Request, error) {
	hosts, err := s.gatherHosts(ctx)
	if err != nil {
		return provision.Request{}, err
	}
	access, err := s.gatherCredentials(ctx, hosts)
	if err != nil {
		return provision.Request{}, err
	}
	authorities, err := s.gatherAuthorities(ctx)
	if err != nil {
		return provision.Request{}, err
	}
	return provision.Request{
		Operation:     *s.operation.DeepCopy(),
		Cluster:       *s.cluster.DeepCopy(),
		Hosts:         access,
		Authorities:   authorities,
		RecordHostKey: s.hostKeyRecorder(s.operation.Namespace),
	}, nil
}

// gatherHosts reads the cluster's hosts and their bastions, sorted by name. A host that is not this cluster's is refused here too:
// what a person's operation asks for went past no other check.
func (s *scope) gatherHosts(ctx context.Context) ([]*v1alpha1.Host, error) {
	found, err := s.ownHosts(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if err := s.addBastions(ctx, found[name], found); err != nil {
			return nil, err
		}
	}
	out := make([]*v1alpha1.Host, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[name])
	}
	return out, nil
}

// ownHosts reads the hosts of the spec; for a Reset those that the cluster holds, which is what has to be undone, whatever the spec
// says by now.
func (s *scope) ownHosts(ctx context.Context) (map[string]*v1alpha1.Host, error) {
	found := map[string]*v1alpha1.Host{}
	if s.operation.Spec.Type == v1alpha1.ResetOperation {
		var list v1alpha1.HostList
		if err := s.Live.List(ctx, &list, client.InNamespace(s.operation.Namespace)); err != nil {
			return nil, fmt.Errorf("list hosts: %w", err)
		}
		for i := range list.Items {
			if s.holds(&list.Items[i]) {
				found[list.Items[i].Name] = &list.Items[i]
			}
		}
		return found, nil
	}
	for _, name := range index.HostNames(s.cluster) {
		host, err := s.readHost(ctx, name)
		if err != nil {
			return nil, err
		}
		if !s.holds(host) {
			return nil, &failure{reason: ReasonHostNotClaimed, host: name, message: fmt.Sprintf(
				"host %s is not claimed by cluster %s; see the cluster's condition %s", name, s.cluster.Name, v1alpha1.HostsClaimedCondition)}
		}
		found[name] = host
	}
	return found, nil
}

func (s *scope) holds(host *v1alpha1.Host) bool {
	claim := host.Status.Claim
	return claim != nil && claim.ClusterName == s.cluster.Name && claim.ClusterUID == string(s.cluster.UID)
}

// addBastions adds the hosts that a host is reached through.
func (s *scope) addBastions(ctx context.Context, host *v1alpha1.Host, found map[string]*v1alpha1.Host) error {
	for at, depth := host, 0; at.Spec.BastionRef != nil; depth++ {
		name := at.Spec.BastionRef.Name
		if depth == maxBastions {
			return &failure{reason: ReasonHostNotFound, host: host.Name,
				message: fmt.Sprintf("host %s: the chain of bastions has more than %d hosts; does it lead back to itself?", host.Name, maxBastions)}
		}
		if found[name] == nil {
			bastion, err := s.readHost(ctx, name)
			if err != nil {
				return fmt.Errorf("bastion of host %s: %w", at.Name, err)
			}
			found[name] = bastion
		}
		at = found[name]
	}
	return nil
}

func (s *scope) readHost(ctx context.Context, name string) (*v1alpha1.Host, error) {
	host := &v1alpha1.Host{}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.operation.Namespace, Name: name}, host)
	if apierrors.IsNotFound(err) {
		return nil, &failure{reason: ReasonHostNotFound, host: name,
			message: fmt.Sprintf("host %s does not exist in namespace %s: create it, or take it out of the spec", name, s.operation.Namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("read host %s: %w", name, err)
	}
	return host, nil
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
			if apierrors.IsNotFound(err) || err == nil && len(secret.Data) == 0 {
				return nil, &failure{reason: ReasonCredentialsMissing, host: host.Name, message: fmt.Sprintf(
					"host %s: the Secret %s does not exist or is empty: create it with %s or %s", host.Name, name,
					v1alpha1.SSHPrivateKeyKey, v1alpha1.SSHPasswordKey)}
			}
			if err != nil {
				return nil, fmt.Errorf("read the credentials of host %s: %w", host.Name, err)
			}
			read[name] = secret.Data
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
		pair, err := capi.KeyPairFrom(secret)
		if err != nil {
			return nil, &failure{reason: ReasonAuthoritiesMissing, message: err.Error()}
		}
		capi.SetPair(authorities, purpose, pair)
	}
	return authorities, nil
}
