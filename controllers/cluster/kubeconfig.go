package cluster

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/pki"
)

// kubeconfigLifetime of the client certificate is that of kubeadm's (kubeadmconstants.CertificateValidityPeriod).
const kubeconfigLifetime = 365 * 24 * time.Hour

// handOutKubeconfig keeps the Secret <cluster>-kubeconfig: made when the endpoint is known, made anew when a third of the
// certificate's lifetime is left, or when endpoint or authority are not those of the cluster any more.
func handOutKubeconfig(ctx context.Context, s *scope) (phase.Next, error) {
	if !s.cluster.Status.Initialized || s.cluster.Status.Endpoint == "" {
		return phase.Continue(), nil
	}
	found, err := s.readAuthorities(ctx)
	if err != nil {
		if _, broken := errors.AsType[*brokenError](err); broken {
			return phase.Continue(), nil // ensureAuthorities says so
		}
		return phase.Stop(), err
	}
	ca, ok := found.pairs[capi.ClusterCA]
	if !ok {
		return phase.Continue(), nil // ensureAuthorities says so
	}
	key := client.ObjectKey{Namespace: s.cluster.Namespace, Name: capi.SecretName(s.cluster.Name, capi.Kubeconfig)}
	secret := &corev1.Secret{}
	err = s.Live.Get(ctx, key, secret)
	if client.IgnoreNotFound(err) != nil {
		return phase.Stop(), fmt.Errorf("read Secret %s: %w", key, err)
	}
	missing := apierrors.IsNotFound(err)
	if !missing {
		if due := renewalDue(capi.KubeconfigFrom(secret), s.cluster.Status.Endpoint, ca); due.After(s.Now()) {
			return phase.Later(due.Sub(s.Now())), nil
		}
	}
	content, err := newKubeconfig(s.cluster.Name, s.cluster.Status.Endpoint, ca, s.Now())
	if err != nil {
		return phase.Stop(), fmt.Errorf("make the kubeconfig: %w", err)
	}
	wanted := capi.KubeconfigSecret(s.cluster.Namespace, s.cluster.Name, content, s.owner())
	if missing {
		err = s.Client.Create(ctx, wanted)
	} else {
		wanted.ResourceVersion = secret.ResourceVersion
		wanted.OwnerReferences = secret.OwnerReferences
		err = s.Client.Update(ctx, wanted)
	}
	if err != nil {
		return phase.Stop(), fmt.Errorf("write Secret %s: %w", key, err)
	}
	return phase.Later(kubeconfigLifetime * 2 / 3), nil
}

// renewalDue is when a kubeconfig has to be replaced: when a third of its certificate's lifetime is left, or at once (the zero time)
// when it is not one for this endpoint and authority.
func renewalDue(content []byte, endpoint string, ca pki.KeyPair) time.Time {
	config, err := clientcmd.Load(content)
	if err != nil {
		return time.Time{}
	}
	at := config.Contexts[config.CurrentContext]
	if at == nil || config.Clusters[at.Cluster] == nil || config.AuthInfos[at.AuthInfo] == nil {
		return time.Time{}
	}
	server := config.Clusters[at.Cluster]
	if server.Server != endpoint || !bytes.Equal(server.CertificateAuthorityData, ca.Cert) {
		return time.Time{}
	}
	block, _ := pem.Decode(config.AuthInfos[at.AuthInfo].ClientCertificateData)
	if block == nil {
		return time.Time{}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3)
}

// newKubeconfig makes a way in for an administrator, under the names Cluster API gives to cluster, user and context.
func newKubeconfig(cluster, endpoint string, ca pki.KeyPair, now time.Time) ([]byte, error) {
	admin, err := ca.Sign(pki.Leaf{
		CommonName: "kubernetes-admin", Organizations: []string{"system:masters"}, Lifetime: kubeconfigLifetime,
	}, now)
	if err != nil {
		return nil, err
	}
	user := cluster + "-admin"
	at := user + "@" + cluster
	config := clientcmdapi.NewConfig()
	config.Clusters[cluster] = &clientcmdapi.Cluster{Server: endpoint, CertificateAuthorityData: ca.Cert}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: admin.Cert, ClientKeyData: admin.Key}
	config.Contexts[at] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	config.CurrentContext = at
	return clientcmd.Write(*config)
}
