package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// clientVersion is what we call ourselves in the version exchange; it tells an administrator who reads sshd's log.
const clientVersion = "SSH-2.0-kubewright"

// Dial connects to t, through its bastions if it has any, verifies the host key, and logs in. Cancelling ctx aborts it;
// once it has returned, ctx has no influence on the connection any more.
//
// The error is a *TargetError, *UnreachableError, *HostKeyChangedError, *UnknownHostKeyError, *HostKeyRecordError or
// *AuthError; if it concerns a bastion, it is wrapped in an *UnreachableError of PhaseBastion.
func Dial(ctx context.Context, t Target) (*Client, error) {
	s, err := t.check()
	if err != nil {
		return nil, err
	}
	if t.Bastion == nil {
		return connect(ctx, s, nil, func() {})
	}
	jump, err := Dial(ctx, *t.Bastion)
	if err != nil {
		return nil, &UnreachableError{Endpoint: s.endpoint, Phase: PhaseBastion, Err: err}
	}
	release := func() { _ = jump.Close() }
	c, err := connect(ctx, s, jump, release)
	if err != nil {
		release()
		return nil, err
	}
	return c, nil
}

// connect makes one connection, over jump when that is not nil. afterClose runs once when the connection is gone; it does
// not run if none came about.
func connect(ctx context.Context, s settings, jump *Client, afterClose func()) (*Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout,
		fmt.Errorf("no answer within %s: %w", s.timeout, context.DeadlineExceeded))
	defer cancel()

	raw, err := dialRaw(ctx, s, jump)
	if refused, ok := errors.AsType[*addressError](err); ok {
		return nil, &TargetError{Endpoint: s.endpoint, Field: "address", Reason: refused.Error()}
	}
	if jump != nil && IsProhibited(err) {
		return nil, &UnreachableError{Endpoint: s.endpoint, Phase: PhaseBastion,
			Err: &ForwardingProhibitedError{Endpoint: jump.endpoint, User: jump.user, To: s.endpoint.Address}}
	}
	if err != nil {
		return nil, &UnreachableError{Endpoint: s.endpoint, Phase: PhaseTCP, Err: causeOf(ctx, err)}
	}
	w := &wire{Conn: raw}
	keys := &verifier{ctx: ctx, endpoint: s.endpoint, policy: s.policy}
	tries := &attempt{}
	config := &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: keyExchanges(), Ciphers: cipherOrder(), MACs: macs()},
		User:              s.user,
		Auth:              s.auth.methods(tries),
		ClientVersion:     clientVersion,
		HostKeyAlgorithms: s.policy.algorithms(),
		HostKeyCallback:   func(_ string, _ net.Addr, key ssh.PublicKey) error { return keys.check(key) },
		AuthCallback: func(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
			tries.noteAllowed(c.AllowedMethods)
			return nil, nil
		},
	}
	// Closing the stream is the only way to end a handshake that works on a tunnel, too, where there are no deadlines.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, chans, reqs, err := ssh.NewClientConn(w, s.endpoint.Address, config)
	if !stop() && err == nil {
		// The time ran out between the end of the handshake and here: the stream is closed already.
		_ = conn.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, handshakeError(ctx, s, keys, tries, &heard{err})
	}
	key, _ := keys.result()
	return newClient(s, w, ssh.NewClient(conn, chans, reqs), keyLine(key), jump, afterClose), nil
}

// dialRaw opens the stream under a connection.
func dialRaw(ctx context.Context, s settings, jump *Client) (net.Conn, error) {
	if jump != nil {
		if to, err := netip.ParseAddrPort(s.endpoint.Address); err == nil {
			if err := s.judged(to.Addr()); err != nil {
				return nil, err
			}
		}
		return jump.DialContext(ctx, "tcp", s.endpoint.Address)
	}
	// The address is judged when it is connected to: what a name stood for when it was looked at before does not count.
	d := net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", address, err)
		}
		return s.judged(to.Addr())
	}}
	return d.DialContext(ctx, "tcp", s.endpoint.Address)
}

// judged asks Target.Judge.
func (s settings) judged(addr netip.Addr) error {
	if s.judge == nil {
		return nil
	}
	if err := s.judge(addr); err != nil {
		return &addressError{err}
	}
	return nil
}

// addressError is a refusal of Target.Judge.
type addressError struct{ err error }

func (e *addressError) Error() string { return e.err.Error() }
func (e *addressError) Unwrap() error { return e.err }

// IsProhibited reports whether a server refused a tunnel because it allows none to there, whatever may listen: OpenSSH says so for
// AllowTcpForwarding, DisableForwarding, PermitOpen and the options of a key alike (RFC 4254, section 5.1).
func IsProhibited(err error) bool {
	var refused *ssh.OpenChannelError
	return errors.As(err, &refused) && refused.Reason == ssh.Prohibited
}

// handshakeError finds the type of error that says what happened in a handshake that failed with err.
func handshakeError(ctx context.Context, s settings, keys *verifier, tries *attempt, err error) error {
	accepted, refused := keys.result()
	if refused != nil {
		return refused
	}
	var changed *HostKeyChangedError
	if errors.As(err, &changed) {
		return changed
	}
	var mismatch *ssh.AlgorithmNegotiationError
	negotiated := errors.As(err, &mismatch)
	if negotiated && s.policy.knows() && strings.Contains(mismatch.What, "host key") {
		// The host has keys, but none of a type that we know of it.
		return &HostKeyChangedError{Endpoint: s.endpoint, Want: s.policy.fingerprints(),
			Got: "no key of a known type, only " + inbound.Head(strings.Join(mismatch.RequestedAlgorithms, ", "), maxHeard)}
	}
	if negotiated {
		return &UnreachableError{Endpoint: s.endpoint, Phase: PhaseHandshake, Err: &AlgorithmError{Endpoint: s.endpoint, What: mismatch.What, Offered: mismatch.RequestedAlgorithms}}
	}
	if accepted != nil && ctx.Err() == nil && !isTransport(err) {
		tried, allowed := tries.result()
		return &AuthError{Endpoint: s.endpoint, User: s.user, Methods: tried, Allowed: allowed, Err: err}
	}
	return &UnreachableError{Endpoint: s.endpoint, Phase: PhaseHandshake, Err: causeOf(ctx, err)}
}

// causeOf prefers the reason for which ctx ended over its consequence, such as "use of closed connection".
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// isTransport says whether err comes from the stream and not from what the peer said over it.
func isTransport(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
