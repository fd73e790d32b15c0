package sign

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Signer is who a signature says that it is by. Nothing of it is verified: that takes the key.
type Signer struct {
	// KeyID is the sha256 of the key's PKIX form, as sha256:<hex>; for a key that is named otherwise the name, quoted.
	KeyID string `json:"keyID"`
	// SignedAt is when it was signed, by the signer's clock; zero when the signature does not say.
	SignedAt time.Time `json:"signedAt,omitzero"`
}

// Signers lists the signatures of a bundle or delta, in the order of the file. What cannot be read is left out: verifying tells of it.
func Signers(path string) ([]Signer, error) {
	signatures, err := bundle.ReadReferrers(path, bundle.TypeSignature)
	if err != nil {
		return nil, err
	}
	var out []Signer
	for _, raw := range signatures.Contents {
		signed := &sigstore.Bundle{}
		if signed.UnmarshalJSON(raw) != nil {
			continue
		}
		hint := signed.GetVerificationMaterial().GetPublicKey().GetHint()
		s := Signer{KeyID: fmt.Sprintf("%.80q", hint)}
		if sum, err := base64.StdEncoding.DecodeString(hint); err == nil && len(sum) == 32 {
			s.KeyID = "sha256:" + hex.EncodeToString(sum)
		}
		if claims, err := parseStatement(signed.GetDsseEnvelope().GetPayload()); err == nil {
			s.SignedAt = claims.Predicate.SignedAt
		}
		out = append(out, s)
	}
	return out, nil
}
