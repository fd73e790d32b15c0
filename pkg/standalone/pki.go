package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/kubewright/kubewright/pkg/pki"
)

// leafLifetime outlasts any run of the embedded control plane; the certificates are signed anew at each start.
const leafLifetime = 365 * 24 * time.Hour

const (
	caFile             = "ca.crt"
	caKeyFile          = "ca.key"
	serviceAccountFile = "sa.key"
	servingFile        = "apiserver.crt"
	servingKeyFile     = "apiserver.key"
)

// credentials are what a start of the control plane works with.
type credentials struct {
	ca    []byte
	admin pki.KeyPair
}

// prepareCredentials makes the authority and the service account key once, and signs a serving and an administrator's certificate
// for this start.
func (d *Dir) prepareCredentials(now time.Time) (*credentials, error) {
	ca, err := d.authority(now)
	if err != nil {
		return nil, err
	}
	serving, err := ca.Sign(pki.Leaf{
		CommonName: apiServerProgram,
		DNSNames:   []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPs:        []string{loopback, firstServiceIP},
		Server:     true,
		Lifetime:   leafLifetime,
	}, now)
	if err != nil {
		return nil, fmt.Errorf("sign the embedded API server's certificate: %w", err)
	}
	if err := WriteFile(d.pkiPath(servingFile), serving.Cert); err != nil {
		return nil, err
	}
	if err := WriteFile(d.pkiPath(servingKeyFile), serving.Key); err != nil {
		return nil, err
	}
	admin, err := ca.Sign(pki.Leaf{CommonName: "kubewright", Organizations: []string{"system:masters"}, Lifetime: leafLifetime}, now)
	if err != nil {
		return nil, fmt.Errorf("sign the administrator's certificate: %w", err)
	}
	return &credentials{ca: ca.Cert, admin: admin}, nil
}

// authority reads the CA of the state directory, or makes one together with the service account key. The CA's certificate is
// written last, so an interrupted first start makes everything again.
func (d *Dir) authority(now time.Time) (pki.KeyPair, error) {
	cert, err := os.ReadFile(d.pkiPath(caFile))
	if err == nil {
		key, err := os.ReadFile(d.pkiPath(caKeyFile))
		if err != nil {
			return pki.KeyPair{}, fmt.Errorf("read the embedded API server's authority: %w", err)
		}
		return pki.KeyPair{Cert: cert, Key: key}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return pki.KeyPair{}, fmt.Errorf("read the embedded API server's authority: %w", err)
	}
	all, err := pki.NewAuthorities(now)
	if err != nil {
		return pki.KeyPair{}, fmt.Errorf("make the embedded API server's authority: %w", err)
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{serviceAccountFile, all.ServiceAccount.Key},
		{caKeyFile, all.Cluster.Key},
		{caFile, all.Cluster.Cert},
	} {
		if err := WriteFile(d.pkiPath(file.name), file.content); err != nil {
			return pki.KeyPair{}, err
		}
	}
	return all.Cluster, nil
}
