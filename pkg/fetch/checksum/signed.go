package checksum

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// beginSigned is the first line of a clear-signed text (RFC 9580, section 7).
const beginSigned = "-----BEGIN PGP SIGNED MESSAGE-----"

// SignatureError says that a file of checksums is not signed as it has to be, so that nothing in it counts.
type SignatureError struct {
	// Reason says what is wrong.
	Reason string
}

func (e *SignatureError) Error() string {
	return "the signature of the file of checksums is not good: " + e.Reason
}

// Keys are OpenPGP keys of those whose word on checksums is taken.
type Keys struct{ ring openpgp.EntityList }

// ParseKeys reads one or more armored OpenPGP public keys. It refuses private ones: they have no place beside a definition.
func ParseKeys(armored []byte) (*Keys, error) {
	k := &Keys{}
	for rest := armored; ; {
		// Files of keys are often several armored blocks one after the other, and a reader of one stops after the first.
		at := bytes.Index(rest, []byte("-----BEGIN PGP "))
		if at < 0 {
			break
		}
		block := rest[at:]
		if next := bytes.Index(block[1:], []byte("-----BEGIN PGP ")); next >= 0 {
			block, rest = block[:next+1], block[next+1:]
		} else {
			rest = nil
		}
		ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(block))
		if err != nil {
			return nil, fmt.Errorf("these are no armored OpenPGP public keys: %w", err)
		}
		k.ring = append(k.ring, ring...)
	}
	if len(k.ring) == 0 {
		return nil, errors.New("there is no armored OpenPGP public key")
	}
	for _, e := range k.ring {
		if e.PrivateKey != nil {
			return nil, fmt.Errorf("the key %X is a private one: export the public one, and keep this one secret", e.PrimaryKey.Fingerprint)
		}
	}
	return k, nil
}

// Fingerprints of the keys, in hexadecimal digits.
func (k *Keys) Fingerprints() []string {
	out := make([]string, len(k.ring))
	for i, e := range k.ring {
		out[i] = fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
	}
	return out
}

// IsSigned says whether a file of checksums is clear-signed. That its signature is good is another question.
func IsSigned(content []byte) bool { return bytes.HasPrefix(content, []byte(beginSigned)) }

// Verify returns what is signed in a clear-signed file, for Find, and the fingerprint of the key that did. The key must have been good
// when it signed; that it has expired since does not make an old release bad. now is the time of day. The error is a SignatureError.
func (k *Keys) Verify(content []byte, now time.Time) (text []byte, signer string, err error) {
	refuse := func(format string, args ...any) ([]byte, string, error) {
		return nil, "", &SignatureError{Reason: fmt.Sprintf(format, args...)}
	}
	if len(content) > MaxSize {
		return refuse("it has more than %d bytes", MaxSize)
	}
	if !IsSigned(content) {
		return refuse("it is not clear-signed, though keys are given for it")
	}
	block, _ := clearsign.Decode(content)
	if block == nil {
		return refuse("it is not in the form of a clear-signed text")
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	_, by, err := openpgp.VerifyDetachedSignature(k.ring, bytes.NewReader(block.Bytes), block.ArmoredSignature.Body, config)
	if errors.Is(err, pgperrors.ErrUnknownIssuer) {
		return refuse("it is by none of the trusted keys (%s)", strings.Join(k.Fingerprints(), ", "))
	}
	if err != nil {
		return refuse("%v", err)
	}
	return block.Plaintext, fmt.Sprintf("%X", by.PrimaryKey.Fingerprint), nil
}
