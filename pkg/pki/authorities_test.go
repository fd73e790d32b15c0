package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/pki"
)

func TestALeafIsTrustedForItsPurposeAndNothingElse(t *testing.T) {
	now := time.Now()
	a, err := pki.NewAuthorities(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		leaf  pki.Leaf
		usage x509.ExtKeyUsage
		by    pki.KeyPair
		ok    bool
	}{
		{"a client certificate is one for clients", pki.Leaf{CommonName: "c", Lifetime: time.Hour}, x509.ExtKeyUsageClientAuth, a.Cluster, true},
		{"a client certificate serves nothing", pki.Leaf{CommonName: "c", Lifetime: time.Hour}, x509.ExtKeyUsageServerAuth, a.Cluster, false},
		{"a server certificate serves", pki.Leaf{CommonName: "s", DNSNames: []string{"n1"}, IPs: []string{"192.0.2.1"}, Server: true, Lifetime: time.Hour}, x509.ExtKeyUsageServerAuth, a.Cluster, true},
		{"another authority does not vouch for it", pki.Leaf{CommonName: "c", Lifetime: time.Hour}, x509.ExtKeyUsageClientAuth, a.Etcd, false},
		{"it ends with its lifetime", pki.Leaf{CommonName: "c", Lifetime: -time.Minute}, x509.ExtKeyUsageClientAuth, a.Cluster, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair, err := a.Cluster.Sign(c.leaf, now)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
				t.Fatalf("certificate and key do not belong together: %v", err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(c.by.Cert)
			block, _ := pem.Decode(pair.Cert)
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.usage}, CurrentTime: now})
			if (err == nil) != c.ok {
				t.Errorf("verification says %v, want trusted: %v", err, c.ok)
			}
		})
	}
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	a, err := pki.NewAuthorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Cluster.Sign(pki.Leaf{CommonName: "s", IPs: []string{"n1"}, Lifetime: time.Hour}, time.Now()); err == nil {
		t.Error("n1 passed for an IP address")
	}
}
