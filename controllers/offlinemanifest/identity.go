package offlinemanifest

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// identity is by what a file is known again without reading it, and the digest it was verified against.
type identity struct {
	Path     string
	Digest   digest.Digest
	Size     int64
	Device   uint64
	Inode    uint64
	Modified int64
	// Changed is the file's ctime, which nobody can set.
	Changed int64
	// Trust is the fingerprint of what signatures were judged by; empty when they did not matter.
	Trust string
}

// record says that a file was verified.
type record struct {
	VerifiedAt time.Time
	// NotKept is why the next process has to hash the file again; the bundle is as good as any.
	NotKept error

	// Signature is the good one; Unsigned says what is wrong where that is only warned of. Both are found out anew each time, which takes
	// milliseconds.
	Signature *signature
	Unsigned  *refusal
}

// signature says who signed a bundle.
type signature struct {
	KeyName, KeyID    string
	SignedAt, Created time.Time
}
