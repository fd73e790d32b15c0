package ssh

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// HostKeyMode says what happens when no key of a host is known yet.
type HostKeyMode int

const (
	// Strict refuses a host of which no key is known. It is the zero value on purpose.
	Strict HostKeyMode = iota
	// TrustOnFirstUse records the key that the host presents first and holds it to that key from then on.
	TrustOnFirstUse
)

// String names the mode as the API does.
func (m HostKeyMode) String() string {
	if m == TrustOnFirstUse {
		return "TrustOnFirstUse"
	}
	return "Strict"
}

// HostKeyPolicy says which keys a host may present.
type HostKeyPolicy struct {
	// Mode matters only while Known is empty, of keys and of authorities. A key that is known is never replaced by this package.
	Mode HostKeyMode
	// Known are the keys of the host, one "type base64 [comment]" line each, as in authorized_keys. A line that begins with
	// "@cert-authority " holds a key whose certificates for hosts are trusted, as in known_hosts without its list of hosts.
	Known []string
	// Principal is the name that a certificate of the host must be for; Target.Address when empty.
	Principal string
	// Record is called once, with the line to remember, when a key is trusted on first use: after the host has proved
	// that it owns the key and before any credential is sent. Its error ends the connection: an *OtherKeyError makes the
	// key a changed one, a *KeyRefusedError an unknown one, and everything else is worth another try. It is required with
	// TrustOnFirstUse while Known is empty, since trust that nobody remembers is no trust.
	Record func(ctx context.Context, line string) error
}

// hostKeyPolicy is a HostKeyPolicy whose keys are parsed.
type hostKeyPolicy struct {
	mode  HostKeyMode
	known []ssh.PublicKey
	// authorities sign certificates of hosts, which must be for principal.
	authorities []ssh.PublicKey
	principal   string
	record      func(ctx context.Context, line string) error
}

// parse reads the known keys; the second result says what is wrong.
func (p HostKeyPolicy) parse(address string) (hostKeyPolicy, string) {
	out := hostKeyPolicy{mode: p.Mode, record: p.Record, principal: p.Principal}
	if out.principal == "" {
		out.principal = address
	}
	for i, line := range p.Known {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		line, authority := strings.CutPrefix(line, authorityMarker+" ")
		key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		switch {
		case err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0:
			return out, "known key " + strconv.Itoa(i+1) + ` is not a line of the form "type base64"`
		case len(algorithmsFor(key.Type())) == 0:
			return out, "known key " + strconv.Itoa(i+1) + " is of type " + key.Type() + ", which is not accepted: use ed25519, ecdsa or rsa"
		}
		if authority {
			out.authorities = append(out.authorities, key)
		} else {
			out.known = append(out.known, key)
		}
	}
	switch {
	case p.Mode != Strict && p.Mode != TrustOnFirstUse:
		return out, "the mode is unknown"
	case p.Mode == TrustOnFirstUse && !out.knows() && p.Record == nil:
		return out, "trust on first use needs a way to record the key"
	}
	return out, ""
}

// keyTypes are the accepted types of host keys, best first.
func keyTypes() []string {
	return []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA}
}

// algorithmsFor are the safe signature algorithms for a key type. RSA with SHA-1 and DSA are left out.
func algorithmsFor(keyType string) []string {
	switch {
	case keyType == ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	case slices.Contains(keyTypes(), keyType):
		return []string{keyType}
	}
	return nil
}

// algorithms are those to ask the host for: only of the types that are known, or a host that has several keys would
// present another one and look as if it had changed.
func (p hostKeyPolicy) algorithms() []string {
	var out []string
	if len(p.authorities) > 0 {
		out = append(out, certificateAlgorithms()...)
	}
	for _, t := range keyTypes() {
		if !p.knows() || slices.ContainsFunc(p.known, func(k ssh.PublicKey) bool { return k.Type() == t }) {
			out = append(out, algorithmsFor(t)...)
		}
	}
	return out
}

// knows reports whether anything is known of the host: a key, or who vouches for it.
func (p hostKeyPolicy) knows() bool { return len(p.known) > 0 || len(p.authorities) > 0 }

func (p hostKeyPolicy) fingerprints() []string {
	out := make([]string, 0, len(p.known)+len(p.authorities))
	for _, k := range p.known {
		out = append(out, fingerprint(k))
	}
	for _, k := range p.authorities {
		out = append(out, "a certificate for "+p.principal+" signed by "+fingerprint(k))
	}
	return out
}

// judge accepts or refuses key under the policy; for a first use it records the key.
func (p hostKeyPolicy) judge(ctx context.Context, e Endpoint, key ssh.PublicKey) error {
	for _, k := range p.known {
		if sameKey(k, key) {
			return nil
		}
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		err := vouched(cert, p.authorities, p.principal, time.Now())
		if err == nil {
			return nil
		}
		return &HostKeyChangedError{Endpoint: e, Want: p.fingerprints(), Got: "a certificate of " + fingerprint(cert.Key) + " that is not accepted: " + err.Error()}
	}
	switch {
	case p.knows():
		return &HostKeyChangedError{Endpoint: e, Want: p.fingerprints(), Got: fingerprint(key)}
	case p.mode != TrustOnFirstUse:
		return &UnknownHostKeyError{Endpoint: e, Got: fingerprint(key)}
	}
	return notRecorded(e, key, p.record(ctx, keyLine(key)))
}

// notRecorded is what the answer of HostKeyPolicy.Record means for a connection.
func notRecorded(e Endpoint, key ssh.PublicKey, err error) error {
	var other *OtherKeyError
	var refused *KeyRefusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &other):
		return &HostKeyChangedError{Endpoint: e, Want: []string{Fingerprint(other.Recorded)}, Got: fingerprint(key)}
	case errors.As(err, &refused):
		return &UnknownHostKeyError{Endpoint: e, Got: fingerprint(key), Why: refused.Why, Next: refused.Next}
	}
	return &HostKeyRecordError{Endpoint: e, Err: err}
}

// verifier judges the host key of one connection. Every key exchange brings the key again; the first verdict holds for
// that key, and another key within one connection is refused.
type verifier struct {
	ctx      context.Context //nolint:containedctx // SSH asks for a verdict without a context; this one bounds the handshake
	endpoint Endpoint
	policy   hostKeyPolicy

	mu       sync.Mutex
	accepted ssh.PublicKey
	err      error
}

func (v *verifier) check(key ssh.PublicKey) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.accepted != nil {
		if sameKey(v.accepted, key) {
			return nil
		}
		return &HostKeyChangedError{Endpoint: v.endpoint, Want: []string{fingerprint(v.accepted)}, Got: fingerprint(key)}
	}
	if v.err = v.policy.judge(v.ctx, v.endpoint, key); v.err == nil {
		v.accepted = key
	}
	return v.err
}

// result tells which key was accepted (nil when none) and why one was refused.
func (v *verifier) result() (ssh.PublicKey, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.accepted, v.err
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// keyLine is the form in which a key is recorded and can be given back in HostKeyPolicy.Known.
func keyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// Fingerprint is what people compare of a key as it is recorded, "type base64": see `ssh-keygen -l`.
func Fingerprint(line string) string {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "a key that cannot be read"
	}
	return fingerprint(key)
}

// fingerprint is what people compare: the type, and the SHA-256 as `ssh-keygen -l` prints it.
func fingerprint(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }
