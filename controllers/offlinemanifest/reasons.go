package offlinemanifest

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/sign"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// Reasons of an OfflineManifest's conditions.
const (
	// ReasonVerified is given when every byte matched its digest and the root matched spec.digest.
	ReasonVerified = "Verified"
	// ReasonVerifying is given while the file is hashed.
	ReasonVerifying = "Verifying"
	// ReasonFound is given to Fetched when the file is there.
	ReasonFound = "FileFound"
	// ReasonSourceNotAllowed is given when spec.source is not a file below an allowed directory.
	ReasonSourceNotAllowed = "SourceNotAllowed"
	// ReasonInvalidDigest is given when spec.digest is not a sha256 digest.
	ReasonInvalidDigest = "InvalidDigest"
	// ReasonNotFound is given when there is no such file.
	ReasonNotFound = "NotFound"
	// ReasonDigestMismatch is given when the file is a sound bundle, but not the one that is trusted.
	ReasonDigestMismatch = "DigestMismatch"
	// ReasonCorrupt is given when the file is damaged or no bundle; the message names the entry.
	ReasonCorrupt = "Corrupt"
	// ReasonUnsupported is given when the bundle has a form this program does not know.
	ReasonUnsupported = "UnsupportedFormat"
	// ReasonChanged is given when the file changed while it was read.
	ReasonChanged = "FileChanged"
	// ReasonUnreadable is given when the file system failed.
	ReasonUnreadable = "Unreadable"
	// ReasonNotKept is given to an event when it cannot be remembered that a bundle was verified.
	ReasonNotKept = "NotKept"
	// ReasonFetching is given while the bundle is copied into the store.
	ReasonFetching = "Fetching"
	// ReasonStored is given to Fetched when the whole bundle is in the store.
	ReasonStored = "Stored"
	// ReasonReferenceNotFound is given when a Secret or ConfigMap that the spec names is not there, or lacks its key.
	ReasonReferenceNotFound = "ReferenceNotFound"
	// ReasonMissingBase is given when the bundle is a delta and no OfflineManifest brings its base.
	ReasonMissingBase = "MissingBase"
	// ReasonSigned is given to Signed when a trusted key signed the bundle.
	ReasonSigned = "Signed"
	// ReasonNotSigned is given when no signature is good enough for spec.signature; the message says what is wrong with those there are.
	ReasonNotSigned = "NotSigned"
	// ReasonReplayed is given when a rightly signed bundle is older than spec.signature.minCreated.
	ReasonReplayed = "Replayed"
	// ReasonCollecting is given while a plan to remove files from the store is shown.
	ReasonCollecting = "Collecting"
	// ReasonInUse is given when deletion waits for the Clusters that use the bundle.
	ReasonInUse = "InUse"
)

// fetchReasons are the reasons that go by another name here than in package fetch. The others are given as they are: Unreachable,
// Unauthorized, NotFound, Refused, TooLarge, DiskFull, Busy, Failed.
var fetchReasons = map[fetch.Kind]string{
	fetch.Invalid:    ReasonSourceNotAllowed,
	fetch.NotAllowed: ReasonSourceNotAllowed,
	fetch.Mismatch:   ReasonDigestMismatch,
}

// reasonOf names why a bundle cannot be used.
func reasonOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.reason
	}
	if f, ok := errors.AsType[*fetch.Error](err); ok {
		if reason := fetchReasons[f.Kind]; reason != "" {
			return reason
		}
		return string(f.Kind)
	}
	if is[*bundle.MissingBaseError](err) {
		return ReasonMissingBase
	}
	if is[*sign.ReplayedError](err) {
		return ReasonReplayed
	}
	if isSignature(err) {
		return ReasonNotSigned
	}
	if is[*verified.ChangedError](err) {
		return ReasonChanged
	}
	if is[*bundle.UntrustedError](err) {
		return ReasonDigestMismatch
	}
	if is[*bundle.UnsupportedFormatError](err) {
		return ReasonUnsupported
	}
	if isCorrupt(err) {
		return ReasonCorrupt
	}
	if isFull(err) {
		return string(fetch.DiskFull)
	}
	return ReasonUnreadable
}

// mayPass says whether a verification failed for what says nothing about the bundle: the file system did not give its bytes or take its
// name, or somebody wrote to the file. What was found out about content and signatures stays true for as long as the file is the same,
// and a missing base is waited for in its own way.
func mayPass(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	switch reasonOf(err) {
	case ReasonUnreadable, ReasonChanged, string(fetch.DiskFull):
		return true
	}
	return false
}

// isForSomebody says whether what may pass does so only when a person does something.
func isForSomebody(err error) bool { return isFull(err) || errors.Is(err, fs.ErrPermission) }

// isFull says whether a file system has no room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// isCorrupt says whether err means that the file's content is at fault.
func isCorrupt(err error) bool {
	return is[*bundle.DigestMismatchError](err) || is[*bundle.MalformedError](err) || is[*bundle.TruncatedError](err) ||
		is[*bundle.MissingBlobError](err) || is[*bundle.SizeMismatchError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
