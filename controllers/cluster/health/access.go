package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/capi"
)

// access is a way to one cluster's API server.
type access struct {
	server string
	// name is what people call it.
	name   string
	tls    *tls.Config
	client *http.Client
	// admin is who may ask when the client, which is the narrow identity then, may not; nil when the client is the administrator.
	admin *http.Client
}

// access reads the kubeconfig of a cluster.
func (a *API) access(ctx context.Context, cluster client.ObjectKey) (*access, error) {
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: capi.SecretName(cluster.Name, capi.Kubeconfig)}
	secret := &corev1.Secret{}
	if err := a.Secrets.Get(ctx, key, secret); err != nil {
		switch {
		case apierrors.IsNotFound(err):
			return nil, &CredentialsError{key.String(), "does not exist"}
		case apierrors.IsForbidden(err):
			return nil, &CredentialsError{key.String(), "must not be read: give the controllers' account the right to get it"}
		}
		return nil, fmt.Errorf("%w: read the Secret %s: %w", ErrNotChecked, key, err)
	}
	found, authority, reason := newAccess(capi.KubeconfigFrom(secret), a.Addresses)
	if reason != "" {
		return nil, &CredentialsError{key.String(), reason + "; delete it, and it is made anew"}
	}
	pair, ok, err := a.narrow(ctx, cluster, authority)
	if err != nil {
		return nil, err
	}
	if ok {
		trust := found.tls.Clone()
		trust.Certificates = []tls.Certificate{pair}
		found.admin, found.client = found.client, newClient(trust, a.Addresses.Dial)
	}
	return found, nil
}

// newAccess makes a client of a kubeconfig as the Cluster controller writes it, with the certificates inside. All else that a
// kubeconfig can say is refused: files of this machine and programs to be run here are not for a Secret to choose, and a server that
// is not verified is not the cluster. The reason never holds a value.
func newAccess(kubeconfig []byte, policy addresses.Policy) (found *access, authority []byte, reason string) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, nil, "holds no kubeconfig"
	}
	at := config.Contexts[config.CurrentContext]
	if at == nil || config.Clusters[at.Cluster] == nil || config.AuthInfos[at.AuthInfo] == nil {
		return nil, nil, "holds a kubeconfig without a current context"
	}
	server, user := config.Clusters[at.Cluster], config.AuthInfos[at.AuthInfo]
	roots := x509.NewCertPool()
	if server.InsecureSkipTLSVerify || !strings.HasPrefix(server.Server, "https://") || !roots.AppendCertsFromPEM(server.CertificateAuthorityData) {
		return nil, nil, "names no https server with a certificate authority"
	}
	pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return nil, nil, "holds no client certificate with its key"
	}
	address := strings.TrimSuffix(server.Server, "/")
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: server.TLSServerName}
	return &access{server: address, name: address, tls: trust, client: newClient(trust, policy.Dial)}, server.CertificateAuthorityData, ""
}
