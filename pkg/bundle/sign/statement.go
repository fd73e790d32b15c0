package sign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

const (
	// PredicateType marks what a signature says.
	PredicateType = "https://kubewright.io/bundle-signature/v1"
	statementType = "https://in-toto.io/Statement/v1"
	payloadType   = "application/vnd.in-toto+json"
)

// statement is an in-toto statement about a bundle
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// predicate is what the signer says of the bundle.
type predicate struct {
	// Created is the bundle's own time, which orders bundles of one name.
	Created            time.Time    `json:"created"`
	KubernetesVersions []string     `json:"kubernetesVersions"`
	SignedAt           time.Time    `json:"signedAt"`
	Attachments        []attachment `json:"attachments"`
}

// attachment is something that was attached to the bundle when it was signed.
type attachment struct {
	Type   string        `json:"type"`
	Digest digest.Digest `json:"digest"`
}

// statementOf is what a signature says about a bundle.
func statementOf(b *bundle.Bundle, now time.Time) statement {
	s := statement{
		Type:          statementType,
		Subject:       []subject{{Name: b.Config().Name, Digest: map[string]string{"sha256": b.Digest().Encoded()}}},
		PredicateType: PredicateType,
		Predicate:     predicate{Created: b.Config().Created, SignedAt: now.UTC().Truncate(time.Second), Attachments: attachmentsOf(b)},
	}
	for _, r := range b.Config().Releases {
		s.Predicate.KubernetesVersions = append(s.Predicate.KubernetesVersions, r.KubernetesVersion)
	}
	return s
}

// attachmentsOf are what is attached to a bundle, signatures apart.
func attachmentsOf(b *bundle.Bundle) []attachment {
	out := []attachment{}
	for _, r := range b.Referrers() {
		if r.Type != bundle.TypeSignature {
			out = append(out, attachment{Type: r.Type, Digest: r.Content.Digest})
		}
	}
	return out
}

// parseStatement reads a payload whose signature was verified.
func parseStatement(raw []byte) (*statement, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	s := &statement{}
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("the signed statement cannot be read: %w", err)
	}
	if s.Type != statementType || s.PredicateType != PredicateType || len(s.Subject) != 1 {
		return nil, fmt.Errorf("the signed statement is a %.100q about %d subjects, not one about a bundle", s.PredicateType, len(s.Subject))
	}
	return s, nil
}
