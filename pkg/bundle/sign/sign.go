package sign

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// Sign writes the bundle or delta b, which must have been verified, to path with a signature attached; now is the time the signature
// says it was made. Signatures that are there stay, so several may sign. What else is attached now is signed too; nothing can be
// attached later without a new signature.
func Sign(ctx context.Context, path string, b *bundle.Bundle, key *PrivateKey, now time.Time) error {
	payload, err := json.Marshal(statementOf(b, now))
	if err != nil {
		return fmt.Errorf("sign %s: %w", b.Path(), err)
	}
	raw, err := envelope(payload, key)
	if err != nil {
		return fmt.Errorf("sign %s: %w", b.Path(), err)
	}
	return bundle.Attach(ctx, path, b, bundle.Attachment{Type: bundle.TypeSignature, Content: raw})
}

// envelope signs a payload and puts both into the form of Sigstore.
func envelope(payload []byte, key *PrivateKey) ([]byte, error) {
	// This is what DSSE says is signed, so that a signature of one type of payload is none of another.
	message, options := dsse.PAE(payloadType, payload), crypto.Hash(0)
	if _, pure := key.public.key.(ed25519.PublicKey); !pure {
		sum := sha256.Sum256(message)
		message, options = sum[:], crypto.SHA256
	}
	signature, err := key.signer.Sign(rand.Reader, message, options)
	if err != nil {
		return nil, fmt.Errorf("with key %s: %w", key.public.Name, err)
	}
	raw, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: bundle.TypeSignature,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: key.public.hint()}},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: payload, PayloadType: payloadType, Signatures: []*protodsse.Signature{{Sig: signature}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode signature: %w", err)
	}
	return raw, nil
}
