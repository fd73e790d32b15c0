package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// attachEvery is how often a control plane that another process is starting is looked for.
const attachEvery = 100 * time.Millisecond

// kubeconfigFor renders a configuration with client certificate as a file.
func kubeconfigFor(config *rest.Config) ([]byte, error) {
	const name = "kubewright-standalone"
	content, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	})
	if err != nil {
		return nil, fmt.Errorf("render the administrator's kubeconfig: %w", err)
	}
	return content, nil
}

// Attach reaches the control plane that another process runs on this directory. It waits for one that is just starting until ctx
// ends. Call it after Start returned a *LockedError.
func (d *Dir) Attach(ctx context.Context) (*rest.Config, error) {
	ticker := time.NewTicker(attachEvery)
	defer ticker.Stop()
	for {
		config, err := d.tryAttach(ctx)
		if err == nil {
			return config, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("reach the control plane that runs on %s: %w", d.path, err)
		case <-ticker.C:
		}
	}
}

func (d *Dir) tryAttach(ctx context.Context) (*rest.Config, error) {
	content, err := os.ReadFile(d.AdminKubeconfig())
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("it has not written its kubeconfig yet")
		}
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.AdminKubeconfig(), err)
	}
	config.QPS = -1
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	if err := clients.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return nil, err
	}
	return config, nil
}
