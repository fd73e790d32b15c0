package capi

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubewright/kubewright/pkg/pki"
)

const (
	// KubeconfigLifetime of the client certificate. It cannot be revoked, so it is short; whoever keeps a copy fetches another one in time
	// (`kubewright kubeconfig`).
	KubeconfigLifetime = 30 * 24 * time.Hour
	// administrators is the group that kubeadm binds to cluster-admin (kubeadmconstants.ClusterAdminsGroupAndClusterRoleBinding). Unlike
	// system:masters, which no authorizer is asked about, it can be taken its rights by deleting the binding.
	administrators = "kubeadm:cluster-admins"
)

// KubeconfigDue is when a kubeconfig has to be replaced: when a third of its certificate's lifetime is left, or at once (the zero time)
// when it is not one for this endpoint, authority and group.
func KubeconfigDue(content []byte, endpoint string, ca pki.KeyPair) time.Time {
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
	if !slices.Equal(cert.Subject.Organization, []string{administrators}) {
		return time.Time{}
	}
	return cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore) / 3)
}

// NewKubeconfig makes a way in for an administrator, under the names Cluster API gives to cluster, user and context.
func NewKubeconfig(cluster, endpoint string, ca pki.KeyPair, now time.Time) ([]byte, error) {
	admin, err := ca.Sign(pki.Leaf{
		CommonName: "kubernetes-admin", Organizations: []string{administrators}, Lifetime: KubeconfigLifetime,
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
