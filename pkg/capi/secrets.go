package capi

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/secret"

	"github.com/kubewright/kubewright/pkg/pki"
)

// Purpose says what one of a cluster's Secrets holds; it is also the suffix of its name.
type Purpose = secret.Purpose

// The Secrets of a cluster, named as Cluster API names them.
const (
	// ClusterCA signs the API servers' and their clients' certificates.
	ClusterCA = secret.ClusterCA
	// EtcdCA signs etcd's certificates.
	EtcdCA = secret.EtcdCA
	// FrontProxyCA signs the aggregation layer's client certificate.
	FrontProxyCA = secret.FrontProxyCA
	// ServiceAccount holds the keys that sign service account tokens.
	ServiceAccount = secret.ServiceAccount
	// Kubeconfig is an administrator's way in.
	Kubeconfig = secret.Kubeconfig
)

// SecretName is <cluster>-<purpose>.
func SecretName(cluster string, purpose Purpose) string { return secret.Name(cluster, purpose) }

// KeyPairSecret is a certificate authority, or the service account key pair, as a Secret in Cluster API's shape.
func KeyPairSecret(namespace, cluster string, purpose Purpose, pair pki.KeyPair, owner metav1.OwnerReference) *corev1.Secret {
	return newSecret(namespace, cluster, purpose, owner, map[string][]byte{
		secret.TLSCrtDataName: pair.Cert,
		secret.TLSKeyDataName: pair.Key,
	})
}

// KubeconfigSecret is a kubeconfig as a Secret in Cluster API's shape.
func KubeconfigSecret(namespace, cluster string, kubeconfig []byte, owner metav1.OwnerReference) *corev1.Secret {
	return newSecret(namespace, cluster, Kubeconfig, owner, map[string][]byte{secret.KubeconfigDataName: kubeconfig})
}

// KeyPairFrom reads what KeyPairSecret wrote. The error names the Secret and the key that is missing, never a value.
func KeyPairFrom(s *corev1.Secret) (pki.KeyPair, error) {
	pair := pki.KeyPair{Cert: s.Data[secret.TLSCrtDataName], Key: s.Data[secret.TLSKeyDataName]}
	for key, value := range map[string][]byte{secret.TLSCrtDataName: pair.Cert, secret.TLSKeyDataName: pair.Key} {
		if len(value) == 0 {
			return pki.KeyPair{}, fmt.Errorf("the Secret %s/%s has no %s: restore it from a backup", s.Namespace, s.Name, key)
		}
	}
	return pair, nil
}

// KubeconfigFrom reads what KubeconfigSecret wrote; nil when it is not there.
func KubeconfigFrom(s *corev1.Secret) []byte { return s.Data[secret.KubeconfigDataName] }

func newSecret(namespace, cluster string, purpose Purpose, owner metav1.OwnerReference, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       namespace,
			Name:            SecretName(cluster, purpose),
			Labels:          map[string]string{clusterv1.ClusterNameLabel: cluster},
			OwnerReferences: []metav1.OwnerReference{owner},
		},
		Type: clusterv1.ClusterSecretType,
		Data: data,
	}
}

// Authorities lists the Secrets that make up a cluster's trust.
func Authorities() []Purpose { return []Purpose{ClusterCA, EtcdCA, FrontProxyCA, ServiceAccount} }

// PairFor returns the member of a that belongs into the Secret of a purpose; an empty pair for a purpose that has none.
func PairFor(a *pki.Authorities, purpose Purpose) pki.KeyPair {
	if pair := pairOf(a, purpose); pair != nil {
		return *pair
	}
	return pki.KeyPair{}
}

// SetPair puts what a purpose's Secret holds where it belongs in a.
func SetPair(a *pki.Authorities, purpose Purpose, value pki.KeyPair) {
	if pair := pairOf(a, purpose); pair != nil {
		*pair = value
	}
}

func pairOf(a *pki.Authorities, purpose Purpose) *pki.KeyPair {
	switch purpose {
	case ClusterCA:
		return &a.Cluster
	case EtcdCA:
		return &a.Etcd
	case FrontProxyCA:
		return &a.FrontProxy
	case ServiceAccount:
		return &a.ServiceAccount
	}
	return nil
}
