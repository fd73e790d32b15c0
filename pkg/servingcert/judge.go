package servingcert

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const (
	// Signer is the only one whose requests are looked at.
	Signer = certificatesv1.KubeletServingSignerName

	userPrefix = "system:node:"
	group      = "system:nodes"
	blockType  = "CERTIFICATE REQUEST"
)

// Names are what the serving certificate of one node may name.
type Names struct {
	DNS []string
	IPs []netip.Addr
}

// Nodes are the nodes of a cluster, by name.
type Nodes map[string]Names

// Requester is the node of the cluster that asks for a serving certificate; not ok for a request of anybody else, or to another signer, which
// is for others to judge.
func (n Nodes) Requester(r *certificatesv1.CertificateSigningRequest) (node string, ok bool) {
	if r.Spec.SignerName != Signer {
		return "", false
	}
	node, ok = strings.CutPrefix(r.Spec.Username, userPrefix)
	if !ok {
		return "", false
	}
	_, ok = n[node]
	return node, ok
}

// pending says whether nobody has decided about a request.
func pending(r *certificatesv1.CertificateSigningRequest) bool {
	return len(r.Status.Certificate) == 0 && !slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
		return c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed
	})
}

// Judge says why a node must not have the certificate that it asks for; nil when it may. The request is one that Requester knows.
func (n Nodes) Judge(r *certificatesv1.CertificateSigningRequest) error {
	node, ok := n.Requester(r)
	if !ok {
		return errors.New("it is not of a node of the cluster")
	}
	if !slices.Contains(r.Spec.Groups, group) {
		return fmt.Errorf("its author is not in the group %s", group)
	}
	if err := judgeUsages(r.Spec.Usages); err != nil {
		return err
	}
	request, err := parse(r.Spec.Request)
	if err != nil {
		return err
	}
	// The certificate is given the subject as it stands here, so there must be nothing beside the two.
	if s := request.Subject; s.CommonName != r.Spec.Username || !slices.Equal(s.Organization, []string{group}) || len(s.Names) != 2 {
		return fmt.Errorf("its subject is not %s in %s alone", r.Spec.Username, group)
	}
	return n[node].judge(request)
}

// judgeUsages wants what the signer demands (k8s.io/kubernetes, pkg/apis/certificates, ValidateKubeletServingCSR).
func judgeUsages(usages []certificatesv1.KeyUsage) error {
	wanted := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
	for _, u := range usages {
		if !slices.Contains(wanted, u) && u != certificatesv1.UsageKeyEncipherment {
			return fmt.Errorf("it asks for the usage %.64q", u)
		}
	}
	for _, u := range wanted {
		if !slices.Contains(usages, u) {
			return fmt.Errorf("it does not ask for the usage %q", u)
		}
	}
	return nil
}

func parse(text []byte) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != blockType || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("it holds no certificate request, or more than one")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it holds no certificate request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("it is not signed with its own key: %w", err)
	}
	return request, nil
}

// judge wants no name but these.
func (n Names) judge(request *x509.CertificateRequest) error {
	if len(request.EmailAddresses)+len(request.URIs) > 0 {
		return errors.New("it asks for names that are neither DNS names nor IP addresses")
	}
	if len(request.DNSNames)+len(request.IPAddresses) == 0 {
		return errors.New("it asks for no name at all")
	}
	for _, name := range request.DNSNames {
		if !slices.Contains(n.DNS, name) {
			return fmt.Errorf("it asks for the name %.253q, which is not the node's", name)
		}
	}
	for _, ip := range request.IPAddresses {
		address, ok := netip.AddrFromSlice(ip)
		if !ok || !slices.Contains(n.IPs, address.Unmap()) {
			return fmt.Errorf("it asks for the address %s, which is not the node's", ip)
		}
	}
	return nil
}
