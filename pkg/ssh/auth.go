package ssh

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// redacted stands wherever a value that holds secrets is printed or serialised.
const redacted = "[redacted]"

// Auth is what we log in with. A private key is tried before a password; at least one of the two is needed. However it
// is printed or serialised, its content does not appear.
type Auth struct {
	// PrivateKey is a private key in PEM or OpenSSH form.
	PrivateKey []byte
	// Passphrase opens PrivateKey when that is encrypted.
	Passphrase []byte
	// Certificate is a user certificate for PrivateKey, the content of a file *-cert.pub; empty for none. It is offered before the bare key.
	Certificate []byte
	// Password is used for the password method, or for a keyboard-interactive dialogue of a single hidden question.
	Password string
}

// String hides the secrets.
func (Auth) String() string { return redacted }

// GoString hides the secrets.
func (Auth) GoString() string { return redacted }

// Format hides the secrets for every verb, also for those that ignore String (such as %d).
func (Auth) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON hides the secrets.
func (Auth) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText hides the secrets.
func (Auth) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the secrets from structured logs.
func (Auth) LogValue() slog.Value { return slog.StringValue(redacted) }

// credentials hold secrets behind functions: whatever prints the surrounding struct prints addresses.
type credentials struct {
	signers  []ssh.Signer
	password func() string
}

// credentials parses a; the second result says what is wrong with it, without quoting it.
func (a Auth) credentials() (credentials, string) {
	var c credentials
	if len(a.PrivateKey) > 0 {
		var signer ssh.Signer
		var err error
		if len(a.Passphrase) > 0 {
			signer, err = ssh.ParsePrivateKeyWithPassphrase(a.PrivateKey, a.Passphrase)
		} else {
			signer, err = ssh.ParsePrivateKey(a.PrivateKey)
		}
		var locked *ssh.PassphraseMissingError
		switch {
		case errors.As(err, &locked):
			return c, "the private key is encrypted: give its passphrase"
		case err != nil && len(a.Passphrase) > 0:
			return c, "the private key cannot be read: is it in PEM or OpenSSH form, and the passphrase the right one?"
		case err != nil:
			return c, "the private key cannot be read: is it in PEM or OpenSSH form, and complete?"
		}
		if signer, err = withoutSHA1(signer); err != nil {
			return c, "the private key cannot be used: " + err.Error()
		}
		if len(a.Certificate) > 0 {
			signed, reason := certificateOf(signer, a.Certificate, time.Now())
			if reason != "" {
				return c, reason
			}
			c.signers = append(c.signers, signed)
		}
		c.signers = append(c.signers, signer)
	} else if len(a.Certificate) > 0 {
		return c, "there is a certificate and no private key that it is for"
	}
	if a.Password != "" {
		c.password = func() string { return a.Password }
	}
	if len(c.signers) == 0 && c.password == nil {
		return c, "there is neither a private key nor a password"
	}
	return c, ""
}

// attempt records how one authentication went, for the error message.
type attempt struct {
	mu      sync.Mutex
	tried   []string
	allowed []string
}

func (a *attempt) note(method string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tried = append(a.tried, method)
}

func (a *attempt) noteAllowed(methods []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// SSH has half a dozen methods, of short names.
	a.allowed = nil
	for _, method := range methods[:min(len(methods), 10)] {
		a.allowed = append(a.allowed, inbound.Head(method, 50))
	}
}

func (a *attempt) result() (tried, allowed []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tried, a.allowed
}

func (a *attempt) has(method string) bool {
	tried, _ := a.result()
	for _, t := range tried {
		if t == method {
			return true
		}
	}
	return false
}

const (
	methodPublicKey           = "publickey"
	methodPassword            = "password"
	methodKeyboardInteractive = "keyboard-interactive"
)

var errNotAnswered = errors.New("the dialogue is not a plain question for the password")

// methods are the ways to log in, in the order in which they are tried.
func (c credentials) methods(a *attempt) []ssh.AuthMethod {
	var out []ssh.AuthMethod
	if len(c.signers) > 0 {
		out = append(out, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			a.note(methodPublicKey)
			return c.signers, nil
		}))
	}
	if c.password != nil {
		out = append(out,
			ssh.PasswordCallback(func() (string, error) {
				a.note(methodPassword)
				return c.password(), nil
			}),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
				if len(questions) == 0 {
					return nil, nil
				}
				// A second try with a password that was already refused would only count towards a lockout, and
				// anything but one hidden question is not about the password.
				if a.has(methodPassword) || a.has(methodKeyboardInteractive) || len(questions) != 1 || echos[0] {
					return nil, errNotAnswered
				}
				a.note(methodKeyboardInteractive)
				return []string{c.password()}, nil
			}))
	}
	return out
}

// forbiddenInSudoPassword are the characters that would end the line on which sudo reads a password.
func forbiddenInSudoPassword(password string) bool { return strings.ContainsAny(password, "\n\r\x00") }
