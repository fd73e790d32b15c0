package ssh_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// certificate signs one for key.
func certificate(t *testing.T, authority ssh.Signer, key ssh.PublicKey, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	now := time.Now()
	cert := &ssh.Certificate{
		Key: key, CertType: ssh.HostCert, KeyId: "test", ValidPrincipals: []string{"127.0.0.1"},
		ValidAfter: uint64(now.Add(-time.Hour).Unix()), ValidBefore: uint64(now.Add(time.Hour).Unix()),
	}
	if change != nil {
		change(cert)
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestAHostWithACertificateIsKnownByWhoSignedIt(t *testing.T) {
	authority, other, key := sshtest.NewKey(t), sshtest.NewKey(t), sshtest.NewKey(t)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ssh.NewSignerFromKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	trusted := "@cert-authority " + sshtest.Line(authority.PublicKey())
	for _, tc := range []struct {
		name      string
		key       ssh.Signer
		by        ssh.Signer
		change    func(*ssh.Certificate)
		known     []string
		principal string
		refused   string
	}{
		{name: "signed by a trusted authority for the address it is accepted", known: []string{trusted}},
		{name: "of another type of key it is accepted", key: ec, known: []string{trusted}},
		{name: "for a principal of the policy it is accepted", known: []string{trusted}, principal: "n1.example.com",
			change: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"n1", "n1.example.com"} }},
		{name: "one of several authorities is enough", known: []string{"@cert-authority " + sshtest.Line(other.PublicKey()), trusted}},
		{name: "a key that is listed beside authorities is accepted without a certificate", known: []string{trusted, sshtest.Line(key.PublicKey())}},
		{name: "for another host it is refused", known: []string{trusted}, refused: "not good for 127.0.0.1",
			change: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"n2.example.com"} }},
		{name: "for no host in particular it is refused", known: []string{trusted}, refused: "names no host",
			change: func(c *ssh.Certificate) { c.ValidPrincipals = nil }},
		{name: "signed by another it is refused", by: other, known: []string{trusted}, refused: "signed by ssh-ed25519 " + ssh.FingerprintSHA256(other.PublicKey())},
		{name: "one for users is refused", known: []string{trusted}, refused: "for users",
			change: func(c *ssh.Certificate) { c.CertType = ssh.UserCert }},
		{name: "one that is over is refused", known: []string{trusted}, refused: "expired",
			change: func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(-time.Minute).Unix()) }},
		{name: "one that is not good yet is refused", known: []string{trusted}, refused: "not yet valid",
			change: func(c *ssh.Certificate) { c.ValidAfter = uint64(time.Now().Add(time.Minute).Unix()) }},
		{name: "an authority's key is not a key of a host", key: authority, by: other, known: []string{trusted}, refused: "signed by"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			own, by := tc.key, tc.by
			if own == nil {
				own = key
			}
			if by == nil {
				by = authority
			}
			presented, err := ssh.NewCertSigner(certificate(t, by, own.PublicKey(), tc.change), own)
			if err != nil {
				t.Fatal(err)
			}
			s := server(t, func(c *sshtest.Config) { c.HostKeys = []ssh.Signer{presented} })
			if strings.Contains(tc.name, "without a certificate") {
				s.SetHostKeys(own)
			}
			to := target(s)
			to.HostKeys = kssh.HostKeyPolicy{Known: tc.known, Principal: tc.principal}
			c, err := kssh.Dial(t.Context(), to)
			if tc.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
				return
			}
			var changed *kssh.HostKeyChangedError
			if !errors.As(err, &changed) || !strings.Contains(err.Error(), tc.refused) || !strings.Contains(err.Error(), "a certificate for ") {
				t.Errorf("got %v, want a changed key that says %q", err, tc.refused)
			}
			if len(s.Attempts()) > 0 {
				t.Errorf("a credential was sent: %v", s.Attempts())
			}
		})
	}
	t.Run("a host without a certificate is refused where only authorities are known", func(t *testing.T) {
		s := server(t, func(c *sshtest.Config) { c.HostKeys = []ssh.Signer{key} })
		to := target(s)
		to.HostKeys = kssh.HostKeyPolicy{Known: []string{trusted}}
		var changed *kssh.HostKeyChangedError
		if _, err := kssh.Dial(t.Context(), to); !errors.As(err, &changed) || len(s.Attempts()) > 0 {
			t.Errorf("got %v and %v", err, s.Attempts())
		}
	})
	t.Run("connections are shared by those who trust the same authority", func(t *testing.T) {
		presented, err := ssh.NewCertSigner(certificate(t, authority, key.PublicKey(), nil), key)
		if err != nil {
			t.Fatal(err)
		}
		s := server(t, func(c *sshtest.Config) { c.HostKeys = []ssh.Signer{presented} })
		to := target(s)
		to.HostKeys = kssh.HostKeyPolicy{Known: []string{trusted}}
		pool, err := kssh.NewPool()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, release, err := pool.Get(t.Context(), to)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
		}
		if s.Accepted() != 1 {
			t.Errorf("%d connections were made", s.Accepted())
		}
	})
}

func TestAUserLogsInWithACertificate(t *testing.T) {
	authority, foreign := sshtest.NewKey(t), sshtest.NewKey(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	user := func(by ssh.Signer, key ssh.PublicKey, change func(*ssh.Certificate)) []byte {
		return []byte(sshtest.Line(certificate(t, by, key, func(c *ssh.Certificate) {
			c.CertType, c.ValidPrincipals = ssh.UserCert, []string{"ops"}
			if change != nil {
				change(c)
			}
		})))
	}
	for _, tc := range []struct {
		name    string
		cert    []byte
		noKey   bool
		refused string
	}{
		{name: "of an authority that the server trusts", cert: user(authority, signer.PublicKey(), nil)},
		{name: "of another authority the server refuses", cert: user(foreign, signer.PublicKey(), nil), refused: "login as ops was refused"},
		{name: "for another user the server refuses", cert: user(authority, signer.PublicKey(), func(c *ssh.Certificate) { c.ValidPrincipals = []string{"eve"} }), refused: "login as ops was refused"},
		{name: "without a certificate the server refuses", refused: "login as ops was refused"},
		{name: "for another key is no use", cert: user(authority, foreign.PublicKey(), nil), refused: "auth: the certificate is not for the private key"},
		{name: "for hosts is no use", cert: user(authority, signer.PublicKey(), func(c *ssh.Certificate) { c.CertType = ssh.HostCert }), refused: "auth: the certificate is one for hosts"},
		{name: "that is over is no use", cert: user(authority, signer.PublicKey(), func(c *ssh.Certificate) { c.ValidBefore = 1_700_000_000 }), refused: "auth: the certificate was good until 2023-11-14T22:13:20Z"},
		{name: "that is a plain key is none", cert: []byte(sshtest.Line(signer.PublicKey())), refused: "auth: the certificate is a plain public key"},
		{name: "that cannot be read is none", cert: []byte("garbage"), refused: "auth: the certificate is not one line"},
		{name: "without its key is no use", cert: user(authority, signer.PublicKey(), nil), noKey: true, refused: "auth: there is a certificate and no private key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := server(t, func(c *sshtest.Config) {
				c.Users = map[string]sshtest.User{"ops": {}}
				c.UserAuthorities = []ssh.PublicKey{authority.PublicKey()}
			})
			to := target(s)
			to.Auth = kssh.Auth{PrivateKey: pem.EncodeToMemory(block), Certificate: tc.cert}
			if tc.noKey {
				to.Auth.PrivateKey = nil
			}
			c, err := kssh.Dial(t.Context(), to)
			if tc.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.refused) {
				t.Errorf("got %v, want %q", err, tc.refused)
			}
			if kssh.IsRetryable(err) {
				t.Error("it would be tried again")
			}
		})
	}
}
