package capi

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/secret"

	"github.com/kubewright/kubewright/api/v1alpha1"
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

// ForeignSecretError says that a Secret stands where one of a cluster's belongs and is not that cluster's.
type ForeignSecretError struct{ Namespace, Name, Cluster string }

// Error says what to do.
func (e *ForeignSecretError) Error() string {
	return fmt.Sprintf("the Secret %s/%s exists and is not of the Cluster %s as it is now: delete it if nobody needs it, or let the Cluster take it over: "+
		"kubectl annotate secret %s --namespace %s %s=%s", e.Namespace, e.Name, e.Cluster, e.Name, e.Namespace, v1alpha1.AdoptAnnotation, e.Cluster)
}

// Belongs reports whether a Secret may be used as one of a cluster's: the cluster made it, which its controller says, or somebody who may
// write the Secret gave it to the cluster by name. A name alone says nothing: whoever may create Clusters chooses it. The error is a
// *ForeignSecretError.
func Belongs(s *corev1.Secret, cluster string, uid types.UID) error {
	if owner := metav1.GetControllerOf(s); owner != nil && owner.UID == uid {
		return nil
	}
	if s.Annotations[v1alpha1.AdoptAnnotation] == cluster {
		return nil
	}
	return &ForeignSecretError{s.Namespace, s.Name, cluster}
}

// NotCredentialsError says that a Secret was not made to be used as credentials.
type NotCredentialsError struct{ Namespace, Name string }

// Error says what to do.
func (e *NotCredentialsError) Error() string {
	return fmt.Sprintf("the Secret %s/%s does not say that it is meant to be told to hosts or servers: if it is, kubectl label secret %s --namespace %s %s=true",
		e.Namespace, e.Name, e.Name, e.Namespace, v1alpha1.CredentialsMark)
}

// Credentials reads what a Secret tells hosts or servers. Whoever names it need not be allowed to read it, so it has to say itself that
// it is meant for that, by its type or by a label. The error is a *NotCredentialsError.
func Credentials(s *corev1.Secret) (map[string][]byte, error) {
	if _, labelled := s.Labels[v1alpha1.CredentialsMark]; labelled || s.Type == v1alpha1.CredentialsMark {
		return s.Data, nil
	}
	return nil, &NotCredentialsError{s.Namespace, s.Name}
}

// MarkCredentials says of a Secret out of somebody's own file that it is meant as credentials: who wrote the file has its content. Those of
// Cluster API's type are a cluster's own, and never credentials.
func MarkCredentials(s *corev1.Secret) {
	if s.Type == clusterv1.ClusterSecretType {
		return
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.Labels[v1alpha1.CredentialsMark] = "true"
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
