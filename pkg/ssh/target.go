package ssh

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// DefaultPort is where sshd listens unless told otherwise (RFC 4253, section 4.1).
	DefaultPort = 22
	// DefaultConnectTimeout bounds TCP and the whole handshake together.
	DefaultConnectTimeout = 15 * time.Second
	// DefaultKeepAliveInterval is how often a silent connection is asked whether it still lives.
	DefaultKeepAliveInterval = 5 * time.Second
	// DefaultKeepAliveMisses is how many questions may stay unanswered before the connection counts as lost.
	DefaultKeepAliveMisses = 3

	// maxBastions bounds a chain of bastions, so that a Target that leads back to itself is an error and no endless loop.
	maxBastions = 4
)

// Target says how to reach one host.
type Target struct {
	// Name is what people call the host; it appears in every error. Address is used when it is empty.
	Name string
	// Address is an IP address or a DNS name, without port.
	Address string
	// Judge, when set, may refuse the IP address that is about to be connected to; behind a bastion, which looks names up itself, only one
	// that Address gives as such. Its error is that of field "address".
	Judge func(netip.Addr) error
	// Port is DefaultPort when zero.
	Port int
	// User is the account to log in with.
	User string
	// Auth proves who we are.
	Auth Auth
	// HostKeys says how the host proves who it is.
	HostKeys HostKeyPolicy
	// Bastion, when set, is the host through which this one is reached. Its host key is verified like any other.
	Bastion *Target
	// Sudo says how a command becomes root when User is not root.
	Sudo Sudo
	// ConnectTimeout bounds TCP and handshake together, for this host alone (a bastion has its own).
	// DefaultConnectTimeout when zero.
	ConnectTimeout time.Duration
	// KeepAlive says when a silent connection counts as lost.
	KeepAlive KeepAlive
}

// KeepAlive says when a silent connection counts as lost: after Misses intervals without a sign of life.
type KeepAlive struct {
	// Interval is DefaultKeepAliveInterval when zero.
	Interval time.Duration
	// Misses is DefaultKeepAliveMisses when zero.
	Misses int
}

// settings is a Target that has been checked, with its defaults filled in and its keys parsed.
type settings struct {
	endpoint  Endpoint
	judge     func(netip.Addr) error
	user      string
	policy    hostKeyPolicy
	auth      credentials
	sudo      sudoSettings
	timeout   time.Duration
	keepAlive KeepAlive
}

// check validates a Target together with its bastions, so that a mistake in the configuration is reported before any
// packet is sent.
func (t Target) check() (settings, error) {
	depth := 0
	for b := t.Bastion; b != nil; b = b.Bastion {
		if depth++; depth > maxBastions {
			return settings{}, &TargetError{Endpoint: t.endpoint(), Field: "bastion",
				Reason: "the chain has more than " + strconv.Itoa(maxBastions) + " bastions; does it lead back to itself?"}
		}
	}
	if t.Bastion != nil {
		if _, err := t.Bastion.check(); err != nil {
			return settings{}, err
		}
	}
	return t.checkOne()
}

// checkOne validates a Target without its bastions.
func (t Target) checkOne() (settings, error) {
	bad := func(field, reason string) (settings, error) {
		return settings{}, &TargetError{Endpoint: t.endpoint(), Field: field, Reason: reason}
	}
	switch {
	case t.Address == "":
		return bad("address", "is empty")
	case strings.ContainsFunc(t.Address, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' }):
		return bad("address", "is neither an IP address nor a DNS name")
	case t.Port < 0 || t.Port > 65535:
		return bad("port", "is not between 1 and 65535")
	case t.User == "":
		return bad("user", "is empty")
	case strings.ContainsFunc(t.User, unicode.IsControl):
		return bad("user", "contains a control character")
	case t.ConnectTimeout < 0:
		return bad("connectTimeout", "is negative")
	case t.KeepAlive.Interval < 0 || t.KeepAlive.Misses < 0:
		return bad("keepAlive", "is negative")
	}
	s := settings{endpoint: t.endpoint(), judge: t.Judge, user: t.User, timeout: t.ConnectTimeout, keepAlive: t.KeepAlive}
	if s.timeout == 0 {
		s.timeout = DefaultConnectTimeout
	}
	if s.keepAlive.Interval == 0 {
		s.keepAlive.Interval = DefaultKeepAliveInterval
	}
	if s.keepAlive.Misses == 0 {
		s.keepAlive.Misses = DefaultKeepAliveMisses
	}
	var reason string
	if s.sudo, reason = t.Sudo.settings(t.User); reason != "" {
		return bad("sudo", reason)
	}
	if s.auth, reason = t.Auth.credentials(); reason != "" {
		return bad("auth", reason)
	}
	if s.policy, reason = t.HostKeys.parse(t.Address); reason != "" {
		return bad("hostKeys", reason)
	}
	return s, nil
}

func (t Target) endpoint() Endpoint {
	port := t.Port
	if port == 0 {
		port = DefaultPort
	}
	name := t.Name
	if name == "" {
		name = t.Address
	}
	return Endpoint{Host: name, Address: net.JoinHostPort(t.Address, strconv.Itoa(port))}
}
