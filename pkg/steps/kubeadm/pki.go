package kubeadm

import (
	"fmt"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// AuthorityResources puts the cluster's authorities where kubeadm looks for them, so that it signs with them instead of making its own.
func AuthorityResources(a *pki.Authorities) []hostapi.Resource {
	var resources []hostapi.Resource
	for _, f := range []struct {
		name string
		pair pki.KeyPair
	}{{"ca", a.Cluster}, {"etcd/ca", a.Etcd}, {"front-proxy-ca", a.FrontProxy}} {
		resources = append(resources,
			layout.Text(layout.PKIDir+"/"+f.name+".crt", f.pair.Cert),
			layout.Secret(layout.PKIDir+"/"+f.name+".key", f.pair.Key))
	}
	return append(resources,
		layout.Text(layout.PKIDir+"/sa.pub", a.ServiceAccount.Cert),
		layout.Secret(layout.PKIDir+"/sa.key", a.ServiceAccount.Key))
}

// KubeletClient signs the identity a joining host's kubelet starts with. It is what kubelet would get through a certificate signing
// request (system:node:<name> in system:nodes), so it is good for this one node, and kubelet renews it itself. kubeadm join presents it,
// too: Kubernetes lets nodes read what joining needs (k8s.io/kubernetes, cmd/kubeadm/app/phases/uploadconfig and kubelet, bind these
// ConfigMaps to system:nodes), so that no identity exists with which a host could join under another name.
func KubeletClient(c *desired.Cluster, h desired.Host, now time.Time) (pki.KeyPair, error) {
	return c.Authorities.Cluster.Sign(pki.Leaf{
		CommonName:    "system:node:" + h.Name,
		Organizations: []string{"system:nodes"},
		Lifetime:      servingLifetime,
	}, now)
}

// KubeletIdentityIDs are the resources of KubeletIdentity that are kubelet's identity itself.
func KubeletIdentityIDs() []string {
	return []string{"file" + layout.KubeletClientPEM, kubeletClientLink}
}

// kubeletClientLink leads to the identity that kubelet uses now: ours at first, and the one it has renewed later.
const kubeletClientLink = "symlink/kubelet-client"

// KubeletIdentity places kubelet's identity and the kubeconfig that uses it, so that a joining kubelet neither waits for a signature
// nor, on a control plane, for its own API server: it talks to whichever the endpoint leads to. Kubeadm would lead it to its own one
// always, and that hangs while its etcd is replaced, which kubelet cannot do without an answer: each upgrade took a minute longer. It
// is safe because a plan brings all API servers to a version before any kubelet. What kubelet has renewed stays.
func KubeletIdentity(c *desired.Cluster, identity pki.KeyPair) ([]hostapi.Resource, error) {
	const dir = layout.KubeletDir + "/pki/"
	config := clientcmdapi.NewConfig()
	config.Clusters["cluster"] = &clientcmdapi.Cluster{Server: "https://" + c.Endpoint.String(), CertificateAuthorityData: c.Authorities.Cluster.Cert}
	config.AuthInfos["kubelet"] = &clientcmdapi.AuthInfo{ClientCertificate: dir + "kubelet-client-current.pem", ClientKey: dir + "kubelet-client-current.pem"}
	config.Contexts["kubelet"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "kubelet"}
	config.CurrentContext = "kubelet"
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("render kubelet's kubeconfig: %w", err)
	}
	first := layout.Secret(layout.KubeletClientPEM, append(append([]byte{}, identity.Cert...), identity.Key...))
	first.File.Keep = true
	return []hostapi.Resource{
		first,
		{ID: kubeletClientLink, Symlink: &hostapi.Symlink{Path: dir + "kubelet-client-current.pem", Target: layout.KubeletClientPEM, Keep: true}},
		layout.Secret(layout.KubernetesDir+"/kubelet.conf", kubeconfig),
	}, nil
}

// servingLifetime is one year, as kubeadm gives its own leaves (kubeadmconstants.CertificateValidityPeriod).
const servingLifetime = 365 * 24 * time.Hour
