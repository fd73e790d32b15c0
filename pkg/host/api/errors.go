package api

import (
	"fmt"
	"strings"
)

// Reason says why a resource failed, for decisions and for status.
type Reason string

// The reasons of a ResourceError.
const (
	// ReasonInvalid: the request itself is wrong; trying again cannot help.
	ReasonInvalid Reason = "Invalid"
	// ReasonDigestMismatch: bytes that came did not have the digest asked for.
	ReasonDigestMismatch Reason = "DigestMismatch"
	// ReasonFetchFailed: no source delivered a blob.
	ReasonFetchFailed Reason = "FetchFailed"
	// ReasonBlobMissing: a file or image needs a blob that is not on the host.
	ReasonBlobMissing Reason = "BlobMissing"
	// ReasonCommandFailed: a command ended with an exit code other than 0.
	ReasonCommandFailed Reason = "CommandFailed"
	// ReasonEndsAgain: what a command waits for, a static pod or a unit, ends again and again; trying again cannot help.
	ReasonEndsAgain Reason = "EndsAgainAndAgain"
	// ReasonRefusedByKubeadm: kubeadm's own checks refuse the host; trying again helps only where they are of what comes by itself.
	ReasonRefusedByKubeadm Reason = "RefusedByKubeadm"
	// ReasonTimeout: it did not happen in the time given.
	ReasonTimeout Reason = "Timeout"
	// ReasonLost: a detached command ended without a result (reboot, killed).
	ReasonLost Reason = "Lost"
	// ReasonNotDone: Apply reported no error, but the check afterwards still found work.
	ReasonNotDone Reason = "NotDone"
	// ReasonNoSpace: the file system is full.
	ReasonNoSpace Reason = "NoSpace"
	// ReasonHost: any other failure of the host to do it.
	ReasonHost Reason = "Host"
)

// ResourceError says which resource failed and how. Apply stops at the first.
type ResourceError struct {
	Resource string `json:"resource"`
	Kind     Kind   `json:"kind"`
	Reason   Reason `json:"reason"`
	Message  string `json:"message"`
	// ExitCode is of the command that failed, 0 when no command was involved.
	ExitCode int `json:"exitCode,omitempty"`
	// Output is the last lines of its output, redacted.
	Output []string `json:"output,omitempty"`
	// Retryable says that the same request may succeed later.
	Retryable bool `json:"retryable,omitempty"`
	// Digest is the blob concerned, if one was.
	Digest string `json:"digest,omitempty"`
}

func (e *ResourceError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q: %s", e.Kind, e.Resource, e.Message)
	if e.ExitCode != 0 {
		fmt.Fprintf(&b, " (exit code %d)", e.ExitCode)
	}
	if n := len(e.Output); n > 0 && !strings.Contains(e.Message, e.Output[n-1]) {
		fmt.Fprintf(&b, ": %s", e.Output[n-1])
	}
	return b.String()
}

// FencedError refuses a change that did not come with the current token: another session has taken the host over, or
// the lease was never acquired.
type FencedError struct {
	// Got is the token of the request (0: none), Current the newest token of the host.
	Got     int64 `json:"got"`
	Current int64 `json:"current"`
}

func (e *FencedError) Error() string {
	if e.Got == 0 {
		return "the host refuses changes without its lease: acquire the lease first"
	}
	return fmt.Sprintf("fencing token %d is not valid (newest on the host is %d): another session took the host over; stop here", e.Got, e.Current)
}

// LeaseHeldError says that another session holds the lease.
type LeaseHeldError struct {
	Holder    string `json:"holder"`
	Operation string `json:"operation,omitempty"`
}

func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("the host's lease is held by %q (operation %q): wait for it to end or stop it", e.Holder, e.Operation)
}

// OwnedByOtherError says that the host belongs to another cluster. Nothing was touched.
type OwnedByOtherError struct {
	Owner Owner `json:"owner"`
}

func (e *OwnedByOtherError) Error() string {
	return fmt.Sprintf("the host belongs to cluster %q (UID %s): reset it there before using it elsewhere", e.Owner.ClusterName, e.Owner.ClusterUID)
}

// ProtocolMismatchError says that helper and controller speak different versions.
type ProtocolMismatchError struct {
	Controller int `json:"controller"`
	Helper     int `json:"helper"`
}

func (e *ProtocolMismatchError) Error() string {
	return fmt.Sprintf("the host helper speaks protocol %d, this program %d: place the helper that belongs to this program", e.Helper, e.Controller)
}

// InvalidError says that a request is malformed.
type InvalidError struct {
	Message string `json:"message"`
}

func (e *InvalidError) Error() string { return "invalid request: " + e.Message }

// ErrorReply carries any of the errors over the wire: exactly one typed field, or Message for an untyped one.
type ErrorReply struct {
	Resource *ResourceError         `json:"resource,omitempty"`
	Fenced   *FencedError           `json:"fenced,omitempty"`
	Held     *LeaseHeldError        `json:"held,omitempty"`
	Owned    *OwnedByOtherError     `json:"owned,omitempty"`
	Protocol *ProtocolMismatchError `json:"protocol,omitempty"`
	Invalid  *InvalidError          `json:"invalid,omitempty"`
	Message  string                 `json:"message,omitempty"`
	// Verdicts are those reached before the error.
	Verdicts []Verdict `json:"verdicts,omitempty"`
	// BytesDirect and BytesTunnel count the blob bytes received before the error.
	BytesDirect int64 `json:"bytesDirect,omitempty"`
	BytesTunnel int64 `json:"bytesTunnel,omitempty"`
}
