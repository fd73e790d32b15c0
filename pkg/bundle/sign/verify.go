package sign

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	sigstore "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Policy says which signatures are good enough.
type Policy struct {
	// Keys are trusted; a signature by one of them is enough.
	Keys []*PublicKey
	// MinCreated is the oldest bundle to take, by the time it was created; zero means any. It keeps an older signed bundle from being
	// passed off as the current one.
	MinCreated time.Time
	// Digest is the bundle's, if it is known beforehand.
	Digest digest.Digest
}

// Evidence is what a verified signature says. It is the signer's word, which the key vouches for.
type Evidence struct {
	// Digest is the bundle's, Name and Created what the bundle says of itself.
	Digest  digest.Digest `json:"digest"`
	Name    string        `json:"name"`
	Created time.Time     `json:"created"`
	// KubernetesVersions are the releases inside.
	KubernetesVersions []string `json:"kubernetesVersions"`
	// KeyID is the key's (sha256 of its PKIX form), KeyName what the policy calls it.
	KeyID   string `json:"keyID"`
	KeyName string `json:"keyName"`
	// SignedAt is when the bundle was signed, by the signer's clock.
	SignedAt time.Time `json:"signedAt"`

	attachments []attachment
}

// Verify finds a signature of a trusted key in a bundle or delta and checks it against the policy. It reads the headers of the file,
// index.json and the signatures, and nothing else; what it returns holds for a bundle with Evidence.Digest, which is for Open to
// compare. Errors: NotSignedError, UntrustedKeyError, BadSignatureError, ReplayedError, bundle.UntrustedError for another digest than
// the policy's, and those of bundle.Open for a file that is not in the form of a bundle.
func Verify(path string, p Policy) (*Evidence, error) {
	signatures, err := bundle.ReadReferrers(path, bundle.TypeSignature)
	if err != nil {
		return nil, err
	}
	if len(signatures.Contents) == 0 {
		return nil, &NotSignedError{Path: path}
	}
	if p.Digest != "" && signatures.Root != p.Digest {
		return nil, &bundle.UntrustedError{Path: path, Want: p.Digest, Got: signatures.Root}
	}
	others := &UntrustedKeyError{Path: path, Trusted: names(p.Keys)}
	var bad error
	for _, raw := range signatures.Contents {
		e, err := verifyOne(raw, signatures.Root, p.Keys)
		if err == nil {
			return e, e.isCurrent(path, p)
		}
		if unknown, ok := errors.AsType[*unknownKeyError](err); ok {
			others.Found = append(others.Found, unknown.hint)
			continue
		}
		bad = errors.Join(bad, err)
	}
	if bad != nil {
		return nil, &BadSignatureError{Path: path, Err: bad}
	}
	return nil, others
}

// Open verifies the signature of a bundle, or of a delta with its bases, and only then opens it. It must have the digest that was signed
// and nothing attached that was not. Content is hashed by Bundle.Verify, as ever. Errors: those of Verify and of bundle.OpenSet,
// UnsignedAttachmentError.
func Open(path string, p Policy, bases ...string) (_ *bundle.Bundle, _ *Evidence, err error) {
	e, err := Verify(path, p)
	if err != nil {
		return nil, nil, err
	}
	// The file is opened anew, and what is in it now must be what was signed.
	b, err := bundle.OpenTrusted(path, e.Digest, bases...)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	for _, a := range attachmentsOf(b) {
		if !slices.Contains(e.attachments, a) {
			return nil, nil, &UnsignedAttachmentError{Path: path, Type: a.Type, Digest: a.Digest}
		}
	}
	return b, e, nil
}

// isCurrent compares what was signed with the oldest the policy takes.
func (e *Evidence) isCurrent(path string, p Policy) error {
	if e.Created.Before(p.MinCreated) {
		return &ReplayedError{Path: path, Created: e.Created, Minimum: p.MinCreated}
	}
	return nil
}

// unknownKeyError says that a signature is by none of the trusted keys.
type unknownKeyError struct{ hint string }

func (e *unknownKeyError) Error() string { return fmt.Sprintf("key %.80q is not trusted", e.hint) }

// verifyOne verifies one signature of the bundle that has a digest.
func verifyOne(raw []byte, want digest.Digest, keys []*PublicKey) (*Evidence, error) {
	signed := &sigstore.Bundle{}
	if err := signed.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("the signature cannot be read: %w", err)
	}
	var used *PublicKey
	trusted := root.NewTrustedPublicKeyMaterial(func(hint string) (root.TimeConstrainedVerifier, error) {
		for _, k := range keys {
			if k.hint() != hint {
				continue
			}
			v, err := signature.LoadVerifier(k.key, crypto.SHA256)
			if err != nil {
				return nil, fmt.Errorf("use key %s: %w", k.Name, err)
			}
			used = k
			return root.NewExpiringKey(v, time.Time{}, time.Time{}), nil
		}
		return nil, &unknownKeyError{hint: hint}
	})
	// Offline and by key there is no log and no third party that knows the time.
	verifier, err := verify.NewVerifier(trusted, verify.WithNoObserverTimestamps())
	if err != nil {
		return nil, fmt.Errorf("prepare verification: %w", err)
	}
	sum, err := hexBytes(want)
	if err != nil {
		return nil, err
	}
	if _, err := verifier.Verify(signed, verify.NewPolicy(verify.WithArtifactDigest("sha256", sum), verify.WithKey())); err != nil {
		return nil, err
	}
	s, err := parseStatement(signed.GetDsseEnvelope().GetPayload())
	if err != nil {
		return nil, err
	}
	return &Evidence{
		Digest: want, Name: s.Subject[0].Name, Created: s.Predicate.Created, KubernetesVersions: s.Predicate.KubernetesVersions,
		KeyID: used.ID(), KeyName: used.Name, SignedAt: s.Predicate.SignedAt, attachments: s.Predicate.Attachments,
	}, nil
}
