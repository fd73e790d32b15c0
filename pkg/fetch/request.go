package fetch

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"time"
)

// ProtocolVersion is what both sides must agree upon. It changes with the meaning of any field.
const ProtocolVersion = 1

// Request is what one fetch is to do. It is one JSON document on the program's standard input.
type Request struct {
	// Protocol is ProtocolVersion.
	Protocol int `json:"protocol"`
	// Source is where the file is; see ParseSource.
	Source string `json:"source"`
	// Object says what of an oci:// source is meant.
	Object Object `json:"object,omitempty"`
	// Destination is the file's absolute path in the end. It appears there whole and as expected, or not at all. Until then the bytes are
	// in Destination + PartSuffix, which a later fetch goes on with.
	Destination string `json:"destination"`
	// Expect is what the file must be; nothing in it is required.
	Expect Expect `json:"expect"`
	// Limits bound the fetch.
	Limits Limits `json:"limits"`
	// Network says what may be talked to, and how.
	Network Network `json:"network"`
	// Credentials for the server that Source names, and no other.
	Credentials Credentials `json:"credentials"`
	// Roots are the directories, absolute and clean, below which file:// sources may lie. None allows none.
	Roots []string `json:"roots,omitempty"`
}

// Object is one of the things that a registry has.
type Object string

const (
	// ObjectArtifact is the one layer of the artifact that the source names; the default.
	ObjectArtifact Object = ""
	// ObjectManifest is the manifest or index that the source names, as the registry has it.
	ObjectManifest Object = "Manifest"
	// ObjectBlob is the blob whose digest the source names.
	ObjectBlob Object = "Blob"
)

const (
	// PartSuffix is behind the name of a file that is not whole yet.
	PartSuffix = ".part"
	// MarkSuffix is behind the name of the small file that says how much of a part is safe on the disk, and of what.
	MarkSuffix = ".part.json"
)

// Expect is what is known of a file before it is fetched.
type Expect struct {
	// SHA256 of the file as 64 hexadecimal digits in lower case; empty when unknown.
	SHA256 string `json:"sha256,omitempty"`
	// Size in bytes; zero when unknown.
	Size int64 `json:"size,omitempty"`
}

// Limits bound what a server can make a fetch do.
type Limits struct {
	// MaxBytes is how large the file may be. Required: a server could send without end.
	MaxBytes int64 `json:"maxBytes"`
	// KeepFreeBytes is how much of the destination's file system has to stay free.
	KeepFreeBytes int64 `json:"keepFreeBytes,omitempty"`
	// IdleTimeout ends an attempt during which no byte arrived for so long; DefaultIdleTimeout when zero. There is no limit on the whole,
	// because a large file over a slow line takes as long as it takes.
	IdleTimeout time.Duration `json:"idleTimeoutNanoseconds,omitempty"`
	// CheckpointBytes is after how many bytes they are made safe on the disk, so that a later fetch can go on there;
	// DefaultCheckpointBytes when zero.
	CheckpointBytes int64 `json:"checkpointBytes,omitempty"`
}

const (
	// DefaultIdleTimeout is longer than a server's pause for breath and shorter than a person's patience.
	DefaultIdleTimeout = time.Minute
	// DefaultCheckpointBytes costs a slow line a few minutes when the machine stops, and a fast disk nothing that can be measured.
	DefaultCheckpointBytes = 16 << 20
)

// Network says what may be talked to. Addresses that clouds answer with credentials on, and those of the link, never may.
type Network struct {
	// AllowHTTP permits sources without TLS. A source with TLS is never redirected to one without.
	AllowHTTP bool `json:"allowHTTP,omitempty"`
	// AllowLoopback permits sources on this very machine.
	AllowLoopback bool `json:"allowLoopback,omitempty"`
	// CABundle holds certificate authorities as PEM, trusted besides those of the machine.
	CABundle string `json:"caBundle,omitempty"`
	// S3Endpoint is the server of s3:// sources as URL without a path; Amazon's for the region when empty.
	S3Endpoint string `json:"s3Endpoint,omitempty"`
	// S3Region is what requests to S3 are signed for.
	S3Region string `json:"s3Region,omitempty"`
}

// Credentials of one of three kinds, or none.
type Credentials struct {
	// Username and Password for https and oci.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Token is sent as a bearer token for https and oci.
	Token string `json:"token,omitempty"`
	// TokenHost is a host, perhaps with a port, besides the registry's own that Username and Password may be sent to in exchange for a
	// token, when a registry has such a host.
	TokenHost string `json:"tokenHost,omitempty"`
	// AccessKeyID, SecretAccessKey and SessionToken sign requests to S3.
	AccessKeyID     string `json:"accessKeyID,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
	SessionToken    string `json:"sessionToken,omitempty"`
}

// Validate says what is wrong with a request, as an *Error of kind Invalid.
func (r *Request) Validate() error {
	refuse := func(format string, args ...any) error {
		return &Error{Kind: Invalid, Message: fmt.Sprintf(format, args...)}
	}
	if r.Protocol != ProtocolVersion {
		return refuse("the request is of protocol %d, this program speaks %d: install programs of one release", r.Protocol, ProtocolVersion)
	}
	source, err := ParseSource(r.Source)
	if err != nil {
		return err
	}
	if r.Object != ObjectArtifact && (source.Scheme != "oci" || r.Object != ObjectManifest && r.Object != ObjectBlob) {
		return refuse("the object %.40q is none, or not one of %s: manifests and blobs are asked for from oci:// sources", r.Object, source)
	}
	if !filepath.IsAbs(r.Destination) || filepath.Clean(r.Destination) != r.Destination {
		return refuse("the destination %q is not an absolute path in its shortest form", r.Destination)
	}
	if sum, err := hex.DecodeString(r.Expect.SHA256); err != nil || (len(sum) != 0 && len(sum) != 32) || hex.EncodeToString(sum) != r.Expect.SHA256 {
		return refuse("the expected sha256 %.100q is not 64 hexadecimal digits in lower case", r.Expect.SHA256)
	}
	if r.Limits.MaxBytes <= 0 {
		return refuse("no limit is set on the size of the file: set limits.maxBytes")
	}
	if r.Expect.Size < 0 || r.Limits.KeepFreeBytes < 0 || r.Limits.IdleTimeout < 0 || r.Limits.CheckpointBytes < 0 {
		return refuse("a size or a time in the request is negative")
	}
	if r.Expect.Size > r.Limits.MaxBytes {
		return &Error{Kind: TooLarge, Message: fmt.Sprintf("the file has %d bytes and at most %d are allowed", r.Expect.Size, r.Limits.MaxBytes)}
	}
	for _, root := range r.Roots {
		if !filepath.IsAbs(root) {
			return refuse("the root %q is not an absolute path", root)
		}
	}
	return nil
}
