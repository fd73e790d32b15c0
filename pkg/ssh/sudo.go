package ssh

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// SudoMode says how a command becomes root.
type SudoMode int

const (
	// SudoNone runs commands as the login user.
	SudoNone SudoMode = iota
	// SudoNoPassword uses sudo and expects that it asks nothing.
	SudoNoPassword
	// SudoPassword uses sudo and answers its question for a password. That sudo does not ask is fine too.
	SudoPassword
)

// String names the mode.
func (m SudoMode) String() string {
	switch m {
	case SudoNoPassword:
		return "NoPassword"
	case SudoPassword:
		return "Password"
	}
	return "None"
}

// Sudo says how a command becomes root. It has no effect for the user root.
type Sudo struct {
	// Mode is the way.
	Mode SudoMode
	// Password is what SudoPassword answers with. It may hold anything but line breaks and NUL.
	Password string
}

// String hides the password.
func (s Sudo) String() string { return s.Mode.String() }

// GoString hides the password.
func (s Sudo) GoString() string { return s.Mode.String() }

// Format hides the password for every verb, also for those that ignore String.
func (s Sudo) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.Mode.String()) }

// MarshalJSON hides the password.
func (s Sudo) MarshalJSON() ([]byte, error) { return []byte(`"` + s.Mode.String() + `"`), nil }

// MarshalText hides the password.
func (s Sudo) MarshalText() ([]byte, error) { return []byte(s.Mode.String()), nil }

// LogValue hides the password from structured logs.
func (s Sudo) LogValue() slog.Value { return slog.StringValue(s.Mode.String()) }

// sudoSettings hold the password behind a function: whatever prints the surrounding struct prints an address.
type sudoSettings struct {
	mode     SudoMode
	password func() string
}

func (s Sudo) settings(user string) (sudoSettings, string) {
	if user == "root" {
		return sudoSettings{}, ""
	}
	switch s.Mode {
	case SudoNone, SudoNoPassword:
		return sudoSettings{mode: s.Mode}, ""
	case SudoPassword:
		switch {
		case s.Password == "":
			return sudoSettings{}, "the password is empty"
		case forbiddenInSudoPassword(s.Password):
			return sudoSettings{}, "the password contains a line break or NUL, which sudo cannot read"
		}
		return sudoSettings{mode: SudoPassword, password: func() string { return s.Password }}, ""
	}
	return sudoSettings{}, "the mode is unknown"
}

// sudoVerdict reads from what a failed sudo said why it did not run the program; ok is false when the failure is the
// program's own. The wording is that of sudo in the C locale (sudo's own sources: tgetpass.c, auth/sudo_auth.c,
// logging.c, policy.c) and of sudo-rs, which some distributions install in its place.
func sudoVerdict(status int, stderr string) (reason SudoReason, ok bool) {
	has := func(texts ...string) bool {
		for _, t := range texts {
			if strings.Contains(stderr, t) {
				return true
			}
		}
		return false
	}
	switch {
	case status == 127 && has("sudo"):
		return NotInstalled, true
	case status != 1:
		return "", false
	case has("incorrect password attempt", "incorrect authentication attempt", "Sorry, try again", "Authentication failed, try again"):
		return WrongPassword, true
	case has("is not in the sudoers file", "is not allowed to run sudo", "is not allowed to execute", "may not run sudo",
		"you must have a tty", "I'm afraid I can't do that", "account validation failure", "Account expired", "no valid sudoers sources"):
		return NotAllowed, true
	case has("a password is required", "a terminal is required", "interactive authentication is required", "no password was provided"):
		return PasswordRequired, true
	}
	return "", false
}
