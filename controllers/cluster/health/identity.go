package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
	rights "github.com/kubewright/kubewright/pkg/steps/access"
)

const (
	// identityLifetime of the certificate that looks are made with. It is kept in memory only.
	identityLifetime = 24 * time.Hour
	// identityRenewal is how much of its life is left when it is signed again.
	identityRenewal = identityLifetime / 3
)

// identities are the narrow certificates by cluster, so that its authority need not be read for every look. The zero value has none.
type identities struct {
	mu     sync.Mutex
	signed map[client.ObjectKey]identity
}

type identity struct {
	authority string
	pair      tls.Certificate
	until     time.Time
}

func (i *identities) get(cluster client.ObjectKey, authority string, now time.Time) (tls.Certificate, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	one, ok := i.signed[cluster]
	return one.pair, ok && one.authority == authority && one.until.Sub(now) > identityRenewal
}

func (i *identities) put(cluster client.ObjectKey, one identity) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.signed == nil {
		i.signed = map[client.ObjectKey]identity{}
	}
	i.signed[cluster] = one
}

// narrow returns the certificate that a cluster is looked at with, signed by the authority that its kubeconfig trusts. Not ok where the
// authority's key cannot be had, or is of another one.
func (a *API) narrow(ctx context.Context, cluster client.ObjectKey, authority []byte) (pair tls.Certificate, ok bool, err error) {
	now := time.Now()
	if pair, ok := a.identities.get(cluster, string(authority), now); ok {
		return pair, true, nil
	}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: capi.SecretName(cluster.Name, capi.ClusterCA)}
	secret := &corev1.Secret{}
	if err := a.Secrets.Get(ctx, key, secret); err != nil {
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return tls.Certificate{}, false, nil
		}
		return tls.Certificate{}, false, fmt.Errorf("%w: read the Secret %s: %w", ErrNotChecked, key, err)
	}
	ca, err := capi.KeyPairFrom(secret)
	if err != nil || string(ca.Cert) != string(authority) {
		return tls.Certificate{}, false, nil //nolint:nilerr // the Cluster's condition says what is wrong with its authorities
	}
	signed, err := ca.Sign(pki.Leaf{CommonName: "kubewright-health", Organizations: []string{rights.HealthGroup}, Lifetime: identityLifetime}, now)
	if err != nil {
		return tls.Certificate{}, false, fmt.Errorf("%w: sign a certificate: %w", ErrNotChecked, err)
	}
	if pair, err = tls.X509KeyPair(signed.Cert, signed.Key); err != nil {
		return tls.Certificate{}, false, fmt.Errorf("%w: load the certificate: %w", ErrNotChecked, err)
	}
	a.identities.put(cluster, identity{authority: string(authority), pair: pair, until: now.Add(identityLifetime)})
	return pair, true, nil
}

// widen has the administrator ask from here on, and says whether it was somebody else so far. A cluster that was installed by an earlier
// version grants the narrow identity nothing until its control plane is changed next.
func (a *access) widen() bool {
	if a.admin == nil {
		return false
	}
	a.client.CloseIdleConnections()
	a.client, a.admin = a.admin, nil
	return true
}
