package bundle

import (
	"context"
	"fmt"
	"regexp"

	"github.com/opencontainers/go-digest"
)

// Annotations of a delta's index.json.
const (
	annotationBase     = "io.kubewright.bundle.base"
	annotationBaseName = "io.kubewright.bundle.base.name"
)

// Base names the bundle a delta was made against. It says what to fetch and decides nothing: any file that has the missing blobs
// will do.
type Base struct {
	// Digest is the base's digest, Name its name.
	Digest digest.Digest `json:"digest"`
	Name   string        `json:"name"`
}

func (base *Base) validate() error {
	if err := validDigest(base.Digest); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	if !regexp.MustCompile(namePattern).MatchString(base.Name) {
		return fmt.Errorf("base: name %.120q is not a plain name", base.Name)
	}
	return nil
}

// Diff writes a delta to path: the bundle b without the blobs that base has. It has b's digest, because it stands for b: with base it
// is complete (OpenSet), and Apply makes b of the two, byte for byte. All content is hashed on the way.
func Diff(ctx context.Context, path string, base, b *Bundle) error {
	attachments, err := b.attachments()
	if err != nil {
		return err
	}
	return b.plan.write(ctx, path, content{
		base: &Base{Digest: base.Digest(), Name: base.config.Name}, blobs: b.contents(), without: base.plan.blobs, attachments: attachments,
	})
}

// Apply writes the complete bundle that a set stands for to path. All content is hashed on the way. Errors: DigestMismatchError, which
// names the file at fault, or the operating system's.
func Apply(ctx context.Context, path string, set *Bundle) error {
	attachments, err := set.attachments()
	if err != nil {
		return err
	}
	return set.plan.write(ctx, path, content{blobs: set.contents(), attachments: attachments})
}

// missingBase is the error for a delta without the blobs of its base.
func (b *Bundle) missingBase(missing []digest.Digest) error {
	e := &MissingBaseError{Path: b.own.path, Base: *b.base, Missing: missing}
	for _, d := range missing {
		n := b.plan.blobs[d]
		e.Bytes += n.size
		e.NamedBy = append(e.NamedBy, n.namedBy)
	}
	return e
}
