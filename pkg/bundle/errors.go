package bundle

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// TruncatedError says that the file ends before its content does: an incomplete copy.
type TruncatedError struct {
	// Path is the bundle file.
	Path string
	// Entry is the tar entry that is cut off; empty when the end of the tar itself is missing.
	Entry string
	// NamedBy is what the entry belongs to, such as a file or an image for a platform; empty when that is not known.
	NamedBy string
	// Size is the file's length, Need the length it would have to have at least, in bytes.
	Size, Need int64
}

func (e *TruncatedError) Error() string {
	at := "the end-of-archive mark"
	if e.Entry != "" {
		at = "entry " + e.Entry + naming(e.NamedBy)
	}
	return fmt.Sprintf("bundle %s is truncated in %s: it has %d bytes and needs at least %d; copy it again", e.Path, at, e.Size, e.Need)
}

// naming says in the midst of a sentence what an entry belongs to, if that is known.
func naming(by string) string {
	if by == "" {
		return ""
	}
	return ", which " + by + " names"
}

// MalformedError says that the file is not a bundle, or not one in the one form this package writes.
type MalformedError struct {
	// Path is the bundle file.
	Path string
	// Entry is the tar entry or blob at fault, if one is.
	Entry string
	// Offset is where in the file, in bytes; -1 when that says nothing.
	Offset int64
	// Reason says what is wrong.
	Reason string
}

func (e *MalformedError) Error() string {
	where := ""
	if e.Entry != "" {
		where = ", entry " + e.Entry
	}
	if e.Offset >= 0 {
		where += fmt.Sprintf(" (at byte %d)", e.Offset)
	}
	return fmt.Sprintf("bundle %s%s: %s; it was damaged or not written by kubewright, fetch it again", e.Path, where, e.Reason)
}

// MissingBlobError says that content the bundle names is not inside.
type MissingBlobError struct {
	// Path is the bundle file, Digest the blob, NamedBy what refers to it.
	Path    string
	Digest  digest.Digest
	NamedBy string
}

func (e *MissingBlobError) Error() string {
	if e.NamedBy == "" {
		return fmt.Sprintf("bundle %s has no blob %s", e.Path, e.Digest)
	}
	return fmt.Sprintf("bundle %s lacks blob %s, which %s names; fetch the bundle again", e.Path, e.Digest, e.NamedBy)
}

// SizeMismatchError says that a blob has another length than the one it is named with.
type SizeMismatchError struct {
	// Path is the bundle file, Entry the tar entry, NamedBy what refers to it.
	Path, Entry, NamedBy string
	// Want is the named length, Got that of the entry, in bytes.
	Want, Got int64
}

func (e *SizeMismatchError) Error() string {
	return fmt.Sprintf("bundle %s, entry %s: %s says %d bytes, the entry has %d; fetch the bundle again", e.Path, e.Entry, e.NamedBy, e.Want, e.Got)
}

// DigestMismatchError says that content is not what its digest promises.
type DigestMismatchError struct {
	// Path is the bundle file, Entry the tar entry or what else was hashed.
	Path, Entry string
	// NamedBy is what the entry belongs to, such as a file or an image for a platform; empty when that is not known.
	NamedBy   string
	Want, Got digest.Digest
}

func (e *DigestMismatchError) Error() string {
	return fmt.Sprintf("bundle %s, entry %s%s: content has digest %s, expected %s; the file was damaged or altered, fetch it again", e.Path, e.Entry, naming(e.NamedBy), e.Got, e.Want)
}

// UntrustedError says that the bundle is intact but not the one that is trusted.
type UntrustedError struct {
	// Path is the bundle file.
	Path string
	// Want is the trusted digest, Got the bundle's.
	Want, Got digest.Digest
}

func (e *UntrustedError) Error() string {
	return fmt.Sprintf("bundle %s has digest %s, but %s is the trusted one; check the file or the expected digest", e.Path, e.Got, e.Want)
}

// UnsupportedFormatError says that the bundle was written in a form this program does not know.
type UnsupportedFormatError struct {
	// Path is the bundle file.
	Path string
	// Got is the bundle's format version, Want the one that is understood.
	Got, Want int
}

func (e *UnsupportedFormatError) Error() string {
	return fmt.Sprintf("bundle %s has format version %d, this program reads version %d; use the matching release of kubewright", e.Path, e.Got, e.Want)
}

// VersionNotFoundError says that a Kubernetes version is not in the bundle.
type VersionNotFoundError struct {
	// Version was asked for, Available are the versions inside.
	Version   string
	Available []string
}

func (e *VersionNotFoundError) Error() string {
	return fmt.Sprintf("the bundle does not contain Kubernetes %s; it contains %s", e.Version, list(e.Available))
}

// PlatformNotFoundError says that something is not in the bundle for a platform.
type PlatformNotFoundError struct {
	// What was asked for, e.g. "file kubelet".
	What string
	// Platform was asked for, Available are the platforms it exists for.
	Platform  string
	Available []string
}

func (e *PlatformNotFoundError) Error() string {
	return fmt.Sprintf("the bundle has %s not for platform %s, only for %s", e.What, e.Platform, list(e.Available))
}

// NotFoundError says that a file, image or path inside an image is not in the bundle.
type NotFoundError struct {
	// What was asked for, e.g. "file kubelet".
	What string
	// Available are the names that exist; nil when listing them helps nobody.
	Available []string
}

func (e *NotFoundError) Error() string {
	if e.Available == nil {
		return "the bundle does not contain " + e.What
	}
	return fmt.Sprintf("the bundle does not contain %s; it contains %s", e.What, list(e.Available))
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// ConflictError says that two bundles cannot be merged, because they give one thing of one release different content.
type ConflictError struct {
	// Version is the Kubernetes version both have, What the file or image, Platform the platform it is for; empty means any.
	Version, What, Platform string
	// Paths are the two bundle files, Digests what each has.
	Paths   [2]string
	Digests [2]digest.Digest
}

func (e *ConflictError) Error() string {
	what := e.What
	if e.Platform != "" {
		what += " for " + e.Platform
	}
	differs := fmt.Sprintf("is %s in %s and %s in %s", e.Digests[0], e.Paths[0], e.Digests[1], e.Paths[1])
	if e.Digests[0] == e.Digests[1] {
		differs = fmt.Sprintf("is described differently in %s and %s", e.Paths[0], e.Paths[1])
	}
	return fmt.Sprintf("cannot merge: both bundles have Kubernetes %s, but %s %s; leave one of them out, or build both from the same sources", e.Version, what, differs)
}

// MissingBaseError says that a delta was opened without files that have the rest.
type MissingBaseError struct {
	// Path is the delta, Base what it was made against.
	Path string
	Base Base
	// Missing are the blobs that no file has, sorted; Bytes is how many bytes they have together.
	Missing []digest.Digest
	Bytes   int64
	// NamedBy says of each in Missing what it belongs to.
	NamedBy []string
}

// maxListed is how many missing blobs an error lists: enough to see what they are of, and no more than a status has room for.
const maxListed = 20

func (e *MissingBaseError) Error() string {
	var listed []string
	for i, d := range e.Missing[:min(len(e.Missing), maxListed)] {
		listed = append(listed, fmt.Sprintf("%s of %s", d, e.NamedBy[i]))
	}
	if more := len(e.Missing) - maxListed; more > 0 {
		listed = append(listed, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("bundle %s is a delta: it lacks %d blobs (%d MiB) of its base %s (%s): give the base as well, or a bundle that has them; missing are %s",
		e.Path, len(e.Missing), e.Bytes>>20, e.Base.Name, e.Base.Digest, strings.Join(listed, ", "))
}
