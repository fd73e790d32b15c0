// Package pki makes the certificate authorities of a cluster and short-lived client certificates signed by them. It holds no
// files and no Secrets: callers store what it returns.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// caLifetime is ten years, the lifetime kubeadm gives to authorities (kubeadmconstants.CACertificateValidityPeriod).
const caLifetime = 10 * 365 * 24 * time.Hour

// backdate tolerates hosts whose clock lags a little behind ours.
const backdate = 10 * time.Minute

// KeyPair is a certificate and its private key, both PEM.
type KeyPair struct {
	Cert []byte
	Key  []byte
}

// Authorities are what a cluster trusts: the CAs named as in Cluster API's Secrets (<cluster>-ca, -etcd, -proxy) and the key pair
// that signs service account tokens (<cluster>-sa; Cert holds the public key).
type Authorities struct {
	Cluster        KeyPair
	Etcd           KeyPair
	FrontProxy     KeyPair
	ServiceAccount KeyPair
}

// NewAuthorities makes a fresh set with ECDSA P-256 keys.
func NewAuthorities(now time.Time) (*Authorities, error) {
	var a Authorities
	for _, ca := range []struct {
		to   *KeyPair
		name string
	}{{&a.Cluster, "kubernetes"}, {&a.Etcd, "etcd-ca"}, {&a.FrontProxy, "front-proxy-ca"}} {
		pair, err := newCA(ca.name, now)
		if err != nil {
			return nil, fmt.Errorf("make the %s authority: %w", ca.name, err)
		}
		*ca.to = pair
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the service account key: %w", err)
	}
	if a.ServiceAccount.Key, err = encodeKey(key); err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the service account public key: %w", err)
	}
	a.ServiceAccount.Cert = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	return &a, nil
}

// Leaf describes a certificate to be signed.
type Leaf struct {
	CommonName    string
	Organizations []string
	DNSNames      []string
	IPs           []string
	// Server makes it usable for serving, else it is for clients.
	Server   bool
	Lifetime time.Duration
}

// Sign issues a certificate for a fresh ECDSA P-256 key.
func (ca KeyPair) Sign(leaf Leaf, now time.Time) (KeyPair, error) {
	parent, signer, err := ca.parse()
	if err != nil {
		return KeyPair{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("make a key for %s: %w", leaf.CommonName, err)
	}
	serial, err := newSerial()
	if err != nil {
		return KeyPair{}, err
	}
	ips, err := parseIPs(leaf.IPs)
	if err != nil {
		return KeyPair{}, fmt.Errorf("certificate of %s: %w", leaf.CommonName, err)
	}
	usage := x509.ExtKeyUsageClientAuth
	if leaf.Server {
		usage = x509.ExtKeyUsageServerAuth
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(leaf.Lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
		DNSNames:     leaf.DNSNames,
		IPAddresses:  ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign the certificate of %s: %w", leaf.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: keyPEM}, nil
}

// PublicKeyHash is sha256:<hex> over the SubjectPublicKeyInfo of a CA certificate, the form kubeadm pins
// (k8s.io/kubernetes/cmd/kubeadm/app/util/pubkeypin).
func (ca KeyPair) PublicKeyHash() (string, error) {
	block, _ := pem.Decode(ca.Cert)
	if block == nil {
		return "", errors.New("the authority's certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("parse the authority's certificate: %w", err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func (ca KeyPair) parse() (*x509.Certificate, crypto.Signer, error) {
	block, _ := pem.Decode(ca.Cert)
	if block == nil {
		return nil, nil, errors.New("the authority's certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("parse the authority's certificate: %w", err)
	}
	keyBlock, _ := pem.Decode(ca.Key)
	if keyBlock == nil {
		return nil, nil, errors.New("the authority's key is not PEM")
	}
	signer, err := parseKey(keyBlock)
	if err != nil {
		return nil, nil, err
	}
	return cert, signer, nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	switch block.Type {
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse a %s: %w", block.Type, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %s of type %T cannot sign", block.Type, key)
	}
	return signer, nil
}

func newCA(name string, now time.Time) (KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("make a key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return KeyPair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign itself: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: keyPEM}, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
