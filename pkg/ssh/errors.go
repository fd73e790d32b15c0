package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// maxHeard bounds what an error repeats of what the other side said, in bytes.
const maxHeard = 1024

// heard is an error of the protocol, which may repeat what the other side said: why it disconnects, or refuses a channel.
type heard struct{ err error }

// Error implements error.
func (h *heard) Error() string { return inbound.Head(h.err.Error(), maxHeard) }

// Unwrap gives the error as it came.
func (h *heard) Unwrap() error { return h.err }

// Endpoint names a host in an error: what people call it, and where it was looked for.
type Endpoint struct {
	// Host is Target.Name.
	Host string
	// Address is host and port, as dialled.
	Address string
}

// String is "name (address)".
func (e Endpoint) String() string { return fmt.Sprintf("host %s (%s)", e.Host, e.Address) }

// TargetError says that a Target, a Command or a Placement cannot be used as it stands. Nothing was sent.
type TargetError struct {
	Endpoint
	// Field is the offending field.
	Field string
	// Reason completes the sentence that Field begins. It never quotes a secret.
	Reason string
}

// Error implements error.
func (e *TargetError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Endpoint, e.Field, e.Reason) }

// HostKeyChangedError says that the host presented a key other than those known. No credential was sent.
type HostKeyChangedError struct {
	Endpoint
	// Want are the fingerprints of the known keys.
	Want []string
	// Got is the fingerprint of the presented key, or what the host offers instead when it has no key of a known type.
	Got string
}

// Error implements error.
func (e *HostKeyChangedError) Error() string {
	return fmt.Sprintf("%s: the host key changed: known is %s, presented was %s; no credential was sent. If the machine was "+
		"reinstalled, remove its recorded key; if not, find out who answers at this address",
		e.Endpoint, strings.Join(e.Want, ", "), e.Got)
}

// UnknownHostKeyError says that no key of the host is known and that the policy, or HostKeyPolicy.Record, trusts none on
// first use. No credential was sent.
type UnknownHostKeyError struct {
	Endpoint
	// Got is the fingerprint of the presented key, to be compared with the host's own.
	Got string
	// Why and Next are those of a KeyRefusedError; empty when the policy is Strict.
	Why, Next string
}

// Error implements error.
func (e *UnknownHostKeyError) Error() string {
	why, next := e.Why, e.Next
	if why == "" {
		why, next = "the policy is Strict", "give the host's public key, or use TrustOnFirstUse"
	}
	return fmt.Sprintf("%s: no host key is known and %s; it presented %s: %s", e.Endpoint, why, e.Got, next)
}

// OtherKeyError is what HostKeyPolicy.Record returns when another key of the host was recorded since Known was read.
type OtherKeyError struct {
	// Recorded is that key, as it was given to Record.
	Recorded string
}

// Error implements error.
func (e *OtherKeyError) Error() string {
	return "another key of the host was recorded meanwhile: " + Fingerprint(e.Recorded)
}

// KeyRefusedError is what HostKeyPolicy.Record returns for a key that must not be trusted on first use here.
type KeyRefusedError struct {
	// Why completes "no host key is known and", Next says what to do.
	Why, Next string
}

// Error implements error.
func (e *KeyRefusedError) Error() string {
	return "the host key is not trusted: " + e.Why + "; " + e.Next
}

// HostKeyRecordError says that the key of a first use could not be recorded, so it was not trusted. No credential was sent.
type HostKeyRecordError struct {
	Endpoint
	// Err is what HostKeyPolicy.Record returned.
	Err error
}

// Error implements error.
func (e *HostKeyRecordError) Error() string {
	return fmt.Sprintf("%s: the host key could not be recorded, so it was not trusted: %v", e.Endpoint, e.Err)
}

// Unwrap gives the cause.
func (e *HostKeyRecordError) Unwrap() error { return e.Err }

// AuthError says that the host refused us. It never holds a credential.
type AuthError struct {
	Endpoint
	// User is the account that was asked for.
	User string
	// Methods are those for which a credential was offered.
	Methods []string
	// Allowed are those that the host would accept, as far as it said.
	Allowed []string
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *AuthError) Error() string {
	tried := "nothing the host would accept"
	if len(e.Methods) > 0 {
		tried = strings.Join(e.Methods, ", ")
	}
	allowed := ""
	if len(e.Allowed) > 0 {
		allowed = "; the host accepts " + strings.Join(e.Allowed, ", ")
	}
	return fmt.Sprintf("%s: login as %s was refused (tried %s%s): check user and credentials", e.Endpoint, e.User, tried, allowed)
}

// Unwrap gives the cause.
func (e *AuthError) Unwrap() error { return e.Err }

// Phase is how far a connection came.
type Phase string

const (
	// PhaseTCP is name resolution and the TCP connection, or the tunnel through the bastion in its place.
	PhaseTCP Phase = "tcp"
	// PhaseHandshake is everything from the version exchange to the end of authentication.
	PhaseHandshake Phase = "handshake"
	// PhaseBastion is the connection to the bastion; its own error is the cause.
	PhaseBastion Phase = "bastion"
)

// UnreachableError says that no connection came about, and how far it came.
type UnreachableError struct {
	Endpoint
	// Phase is where it ended.
	Phase Phase
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s: unreachable (%s): %v", e.Endpoint, e.Phase, e.Err)
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// AlgorithmError says that a host's sshd offers no algorithm of a kind that is safe. Nothing was sent.
type AlgorithmError struct {
	Endpoint
	// What is the kind: key exchange, host key, cipher or MAC.
	What string
	// Offered is what the sshd has.
	Offered []string
}

// Error implements error.
func (e *AlgorithmError) Error() string {
	return fmt.Sprintf("its sshd offers no safe algorithm for %s, only %s: update it, or allow others in its sshd_config "+
		"(KexAlgorithms, HostKeyAlgorithms, Ciphers, MACs)", e.What, strings.Join(e.Offered, ", "))
}

// ForwardingProhibitedError says that a bastion, which stands and let us in, allows no connections through it to the next host.
type ForwardingProhibitedError struct {
	// Endpoint is the bastion.
	Endpoint
	// User is the account that was logged in.
	User string
	// To is the address and port that it was to connect to.
	To string
}

// Error implements error.
func (e *ForwardingProhibitedError) Error() string {
	return fmt.Sprintf("%s: sshd of this bastion forbids user %s to connect to %s through it: allow it in its sshd_config "+
		"(AllowTcpForwarding yes or local, DisableForwarding no, and PermitOpen, if it is set, with %s), "+
		"and see that the key has no restriction in authorized_keys",
		e.Endpoint, e.User, e.To, e.To)
}

// ConnectionLostError says that a connection that stood is gone: the peer or the network dropped it, or it stopped
// answering keepalives.
type ConnectionLostError struct {
	Endpoint
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *ConnectionLostError) Error() string {
	return fmt.Sprintf("%s: connection lost: %v", e.Endpoint, e.Err)
}

// Unwrap gives the cause.
func (e *ConnectionLostError) Unwrap() error { return e.Err }

// SessionError says that the host did not let a program start or ended its session without a word, or refused a tunnel,
// though the connection stands.
type SessionError struct {
	Endpoint
	// What was asked for.
	What string
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *SessionError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Endpoint, e.What, e.Err) }

// Unwrap gives the cause.
func (e *SessionError) Unwrap() error { return e.Err }

// ExitError says that a program ran and failed.
type ExitError struct {
	Endpoint
	// Path is the program.
	Path string
	// Status is its exit status; 126 and 127 come from the login shell when it could not run it.
	Status int
	// Signal is the signal that ended it, without SIG; empty when it ended by itself.
	Signal string
	// Stderr is the end of what it wrote to standard error.
	Stderr string
}

// Error implements error.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("ended with status %d", e.Status)
	if e.Signal != "" {
		how = "was killed by signal " + e.Signal
	}
	return fmt.Sprintf("%s: %s %s%s", e.Endpoint, e.Path, how, quoteTail(e.Stderr))
}

// SudoReason is why sudo did not run a program.
type SudoReason string

const (
	// WrongPassword means that sudo refused the password.
	WrongPassword SudoReason = "WrongPassword"
	// PasswordRequired means that sudo wants a password and none was given.
	PasswordRequired SudoReason = "PasswordRequired"
	// NotAllowed means that the user may not use sudo for this.
	NotAllowed SudoReason = "NotAllowed"
	// NotInstalled means that there is no sudo on the host.
	NotInstalled SudoReason = "NotInstalled"
	// NoAnswer means that sudo neither asked for a password nor ran the program in time.
	NoAnswer SudoReason = "NoAnswer"
)

// SudoError says why sudo did not run a program.
type SudoError struct {
	Endpoint
	// User is the account that called sudo.
	User string
	// Reason is what people and programs decide on.
	Reason SudoReason
	// Stderr is the end of what sudo said.
	Stderr string
}

// Error implements error.
func (e *SudoError) Error() string {
	var what string
	switch e.Reason {
	case WrongPassword:
		what = "sudo refused the password of " + e.User + ": correct it in the credentials of the host"
	case PasswordRequired:
		what = "sudo wants a password of " + e.User + ": add it to the credentials of the host, or allow NOPASSWD"
	case NotAllowed:
		what = "sudo does not allow " + e.User + " to become root: add a sudoers rule, or log in as another user"
	case NotInstalled:
		what = "sudo is not installed: install it, or log in as root"
	case NoAnswer:
		what = "sudo neither asked for the password of " + e.User + " nor ran the program in time: try it by hand"
	}
	return fmt.Sprintf("%s: %s%s", e.Endpoint, what, quoteTail(e.Stderr))
}

// PlaceError says that a file could not be put on the host, though the connection stands.
type PlaceError struct {
	Endpoint
	// Path is where the file should go.
	Path string
	// Reason is what stands in the way and what to do about it.
	Reason string
	// Err is the cause; nil when the host itself refused.
	Err error
}

// Error implements error.
func (e *PlaceError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: place %s: %s: %v", e.Endpoint, e.Path, e.Reason, e.Err)
	}
	return fmt.Sprintf("%s: place %s: %s", e.Endpoint, e.Path, e.Reason)
}

// Unwrap gives the cause.
func (e *PlaceError) Unwrap() error { return e.Err }

// IsRetryable says whether the same call may succeed later without anybody changing anything. A cause that needs a
// person (a changed key, a refused login, a wrong password, a bastion that forbids forwarding) wins over a wrapping error that would be retryable.
func IsRetryable(err error) bool {
	var (
		target   *TargetError
		changed  *HostKeyChangedError
		unknown  *UnknownHostKeyError
		auth     *AuthError
		sudo     *SudoError
		record   *HostKeyRecordError
		far      *UnreachableError
		lost     *ConnectionLostError
		forbid   *ForwardingProhibitedError
		old      *AlgorithmError
		session  *SessionError
		canceled = errors.Is(err, context.Canceled)
	)
	switch {
	case err == nil, canceled:
		return false
	case errors.As(err, &target), errors.As(err, &changed), errors.As(err, &unknown), errors.As(err, &auth),
		errors.As(err, &forbid), errors.As(err, &old):
		return false
	case errors.As(err, &sudo):
		return sudo.Reason == NoAnswer
	}
	return errors.As(err, &record) || errors.As(err, &far) || errors.As(err, &lost) || errors.As(err, &session)
}

// quoteTail appends what a program said to an error, on one line and without control characters.
func quoteTail(text string) string {
	text = strings.Join(strings.FieldsFunc(inbound.Text(text), func(r rune) bool { return r == '\n' || r == '\t' }), " | ")
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return ": " + text
}
