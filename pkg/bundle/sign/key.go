package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// PEM types.
const (
	pemPublic  = "PUBLIC KEY"
	pemPrivate = "PRIVATE KEY"
	// pemEncrypted is PKCS #8 encrypted as cosign does, pemEncryptedOld the same by the name that its older versions give it.
	pemEncrypted    = "ENCRYPTED SIGSTORE PRIVATE KEY"
	pemEncryptedOld = "ENCRYPTED COSIGN PRIVATE KEY"
)

// Algorithm is a kind of key pair.
type Algorithm string

// The kinds of key pairs.
const (
	// ECDSA is ECDSA on P-256 with SHA-256, what cosign makes by default.
	ECDSA Algorithm = "ecdsa-p256"
	// Ed25519 is Ed25519.
	Ed25519 Algorithm = "ed25519"
)

// PublicKey is a key signatures are verified with.
type PublicKey struct {
	// Name says whose key it is or where it came from, for people.
	Name string
	key  crypto.PublicKey
	der  []byte
}

// ID is the sha256 of the key's PKIX form, as sha256:<hex>.
func (k *PublicKey) ID() string {
	sum := sha256.Sum256(k.der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// hint is how signatures name the key, as cosign does.
func (k *PublicKey) hint() string {
	sum := sha256.Sum256(k.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// PEM is the key as a PEM file (PKIX).
func (k *PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: k.der})
}

// PrivateKey is a key to sign with. It must not be printed.
type PrivateKey struct {
	signer crypto.Signer
	public *PublicKey
}

// Public is the key that verifies what this one signs.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// PEM is the key as a PEM file (PKCS #8, not encrypted).
func (k *PrivateKey) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), nil
}

// Generate makes a new key pair.
func Generate(a Algorithm, name string) (*PrivateKey, error) {
	switch a {
	case ECDSA:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		return privateKey(key, name)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		return privateKey(key, name)
	default:
		return nil, fmt.Errorf("there is no kind of key %q; it can be %s or %s", a, ECDSA, Ed25519)
	}
}

// EncryptedPEM is the key as a PEM file that only the passphrase opens, in the form of cosign (PKCS #8, scrypt, NaCl secretbox).
func (k *PrivateKey) EncryptedPEM(passphrase []byte) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("encrypt private key: the passphrase is empty")
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	sealed, err := encrypted.Encrypt(der, passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypt private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemEncrypted, Bytes: sealed}), nil
}

// PassphraseError says that an encrypted key could not be opened: the passphrase is another one, or the file is damaged.
type PassphraseError struct {
	// Name is the key's.
	Name string
}

func (e *PassphraseError) Error() string {
	return fmt.Sprintf("%s: the passphrase does not open the key; check that it is the key's, without anything before or after it", e.Name)
}

// ParsePrivateKey reads a PKCS #8 PEM file, encrypted as cosign does or not at all. passphrase is called when it is encrypted. The error
// never has anything of the content or the passphrase in it. Errors: PassphraseError, those of passphrase.
func ParsePrivateKey(name string, raw []byte, passphrase func() ([]byte, error)) (*PrivateKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s: it is no PEM file with a %s or %s", name, pemPrivate, pemEncrypted)
	}
	der := block.Bytes
	switch block.Type {
	case pemPrivate:
	case pemEncrypted, pemEncryptedOld:
		secret, err := passphrase()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if der, err = encrypted.Decrypt(block.Bytes, secret); err != nil {
			return nil, &PassphraseError{Name: name}
		}
	default:
		return nil, fmt.Errorf("%s: it has a %.40q; a %s (PKCS #8) or an %s is needed, as bundle keygen and cosign write them", name, block.Type, pemPrivate, pemEncrypted)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: it is no PKCS #8 key", name)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key of type %T cannot sign", name, key)
	}
	return privateKey(signer, name)
}

func privateKey(signer crypto.Signer, name string) (*PrivateKey, error) {
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	public, err := publicKey(name, der)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{signer: signer, public: public}, nil
}

// ParsePublicKeys reads one or more public keys (PKIX) from a PEM file; name is given to all of them.
func ParsePublicKeys(name string, raw []byte) ([]*PublicKey, error) {
	var keys []*PublicKey
	for {
		block, rest := pem.Decode(raw)
		if block == nil {
			break
		}
		raw = rest
		if block.Type != pemPublic {
			return nil, fmt.Errorf("%s: it has a %.40q where a %s is needed", name, block.Type, pemPublic)
		}
		key, err := publicKey(name, block.Bytes)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: it is no PEM file with a %s", name, pemPublic)
	}
	return keys, nil
}

func publicKey(name string, der []byte) (*PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := usable(key); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &PublicKey{Name: name, key: key, der: der}, nil
}

func usable(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return errors.New("of ECDSA keys only those on P-256 are taken")
		}
		return nil
	case ed25519.PublicKey:
		return nil
	default:
		return fmt.Errorf("a key of type %T is not taken, only ECDSA on P-256 and Ed25519", key)
	}
}
