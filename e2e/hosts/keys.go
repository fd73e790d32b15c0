package hosts

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyPair is an SSH key in the forms that files hold it in.
type keyPair struct {
	// Private is the OpenSSH private key file.
	Private []byte
	// Public is the authorized_keys line, without a line break.
	Public string
}

func newEd25519(comment string) (keyPair, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("make an ed25519 key: %w", err)
	}
	return encodeKey(private, comment)
}

func newECDSA(comment string) (keyPair, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("make an ecdsa key: %w", err)
	}
	return encodeKey(private, comment)
}

func encodeKey(private crypto.Signer, comment string) (keyPair, error) {
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return keyPair{}, fmt.Errorf("encode a private key: %w", err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return keyPair{}, fmt.Errorf("encode a public key: %w", err)
	}
	return keyPair{
		Private: pem.EncodeToMemory(block),
		Public:  strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))),
	}, nil
}
