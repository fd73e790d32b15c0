//go:build e2e

package badinput

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// edit changes an object of the user's file before it is written.
type edit func(kind string, object map[string]any)

// set gives a field of every object of a kind, or with a name of that one, a value.
func set(kind, name string, value any, path ...string) edit {
	return func(k string, object map[string]any) {
		if k == kind && (name == "" || nameOf(object) == name) {
			if err := unstructured.SetNestedField(object, value, path...); err != nil {
				panic(err)
			}
		}
	}
}

// without takes a field away.
func without(kind string, path ...string) edit {
	return func(k string, object map[string]any) {
		if k == kind {
			unstructured.RemoveNestedField(object, path...)
		}
	}
}

// all makes several edits.
func all(edits ...edit) edit {
	return func(kind string, object map[string]any) {
		for _, e := range edits {
			e(kind, object)
		}
	}
}

func nameOf(object map[string]any) string {
	name, _, _ := unstructured.NestedString(object, "metadata", "name")
	return name
}

// newHostKey is the public half of a key that no host has.
func newHostKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(key))[:len(ssh.MarshalAuthorizedKey(key))-1]
}

// newClientKey is a private key that no host lets in.
func newClientKey(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "nobody")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// newAuthority is the certificate of another cluster's authority.
func newAuthority(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
