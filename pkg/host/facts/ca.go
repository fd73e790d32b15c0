package facts

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// caHash is what kubeadm calls the CA certificate hash: sha256 over the SubjectPublicKeyInfo in DER.
func caHash(s *sys.System) string {
	block, _ := pem.Decode([]byte(read(s, "/etc/kubernetes/pki/ca.crt")))
	if block == nil {
		return ""
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}
