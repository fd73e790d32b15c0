package sign

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// NotSignedError says that a bundle has no signature at all.
type NotSignedError struct {
	// Path is the bundle file.
	Path string
}

func (e *NotSignedError) Error() string {
	return fmt.Sprintf("bundle %s is not signed; get the signed one, or sign it with `kubewright bundle sign`", e.Path)
}

// UntrustedKeyError says that a bundle is signed, but by none of the trusted keys.
type UntrustedKeyError struct {
	// Path is the bundle file, Trusted the names and IDs of the trusted keys, Found how the signatures name theirs.
	Path           string
	Trusted, Found []string
}

func (e *UntrustedKeyError) Error() string {
	return fmt.Sprintf("bundle %s is signed by another key (%s) than the trusted %s; check where the bundle comes from",
		e.Path, strings.Join(e.Found, ", "), strings.Join(e.Trusted, ", "))
}

// BadSignatureError says that a signature by a trusted key is not right: it is for other content, or was altered.
type BadSignatureError struct {
	// Path is the bundle file, Err what is wrong.
	Path string
	Err  error
}

func (e *BadSignatureError) Error() string {
	return fmt.Sprintf("bundle %s: its signature does not hold: %v; the bundle was altered, get it again", e.Path, e.Err)
}

// Unwrap returns what is wrong.
func (e *BadSignatureError) Unwrap() error { return e.Err }

// ReplayedError says that a bundle is rightly signed, but older than what is taken.
type ReplayedError struct {
	// Path is the bundle file, Created when it was created, Minimum the oldest that is taken.
	Path             string
	Created, Minimum time.Time
}

func (e *ReplayedError) Error() string {
	return fmt.Sprintf("bundle %s was created %s, before the oldest that is taken (%s): an older bundle was put in the place of a newer one; get the newer one, or lower the limit",
		e.Path, e.Created.Format(time.RFC3339), e.Minimum.Format(time.RFC3339))
}

// UnsignedAttachmentError says that something was attached to a bundle after it was signed.
type UnsignedAttachmentError struct {
	// Path is the bundle file, Type and Digest what was attached.
	Path, Type string
	Digest     digest.Digest
}

func (e *UnsignedAttachmentError) Error() string {
	return fmt.Sprintf("bundle %s: %s of type %s was attached to it after it was signed; get the bundle again, or sign it anew", e.Path, e.Digest, e.Type)
}

func names(keys []*PublicKey) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.Name + " (" + k.ID() + ")"
	}
	return out
}

func hexBytes(d digest.Digest) ([]byte, error) {
	sum, err := hex.DecodeString(d.Encoded())
	if err != nil {
		return nil, fmt.Errorf("digest %s: %w", d, err)
	}
	return sum, nil
}
