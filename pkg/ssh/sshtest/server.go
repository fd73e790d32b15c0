package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config says how a Server behaves when it behaves.
type Config struct {
	// HostKeys are what it presents; a fresh ed25519 key when empty.
	HostKeys []ssh.Signer
	// Users may log in.
	Users map[string]User
	// Handler runs commands and returns their exit status; without one, every command ends with status 0 at once.
	Handler Handler
	// MaxSessions bounds the open sessions of one connection, as sshd's option does; 0 is no bound.
	MaxSessions int
	// Forward allows tunnels (direct-tcpip); they lead wherever the test's process can connect to.
	Forward bool
	// Redirect leads tunnels to an address elsewhere, by "host:port".
	Redirect map[string]string
	// RekeyThreshold makes the server exchange keys anew after so many bytes; the library's default when 0.
	RekeyThreshold uint64
	// Algorithms are what it knows; the library's default where empty.
	Algorithms ssh.Config
	// UserAuthorities sign certificates with which the accounts they name may be logged in to.
	UserAuthorities []ssh.PublicKey
}

// User is an account.
type User struct {
	// Password is accepted by the password method, and by keyboard-interactive if that is on; empty accepts none.
	Password string
	// KeyboardInteractive offers a dialogue in place of the password method.
	KeyboardInteractive bool
	// Keys are accepted by the publickey method.
	Keys []ssh.PublicKey
}

// Faults are what a Server does wrong. Those of a connection are read when it is accepted, the others when they apply.
type Faults struct {
	// Greeting is sent in place of the SSH version, and then the connection is closed.
	Greeting []byte
	// Silent accepts the connection and never says a word.
	Silent bool
	// HoldHandshake keeps the server silent until the channel is closed; then all goes on.
	HoldHandshake <-chan struct{}
	// DropAfterReceived closes the connection without ceremony once so many bytes came from the client; 0 is never.
	DropAfterReceived int64
	// DropAfterSent does so once so many bytes went to the client; 0 is never.
	DropAfterSent int64
	// StallAfterReceived stops reading and writing, without closing, once so many bytes came from the client; 0 is never.
	StallAfterReceived int64
	// RefuseExec refuses to start commands.
	RefuseExec bool
	// VanishExec accepts a command and closes its session without output or status.
	VanishExec bool
	// IgnoreRequests leaves global requests, such as keepalives, unanswered.
	IgnoreRequests bool
}

// Attempt is one credential that a client offered.
type Attempt struct {
	// User is the account.
	User string
	// Method is "password", "keyboard-interactive" or "publickey".
	Method string
	// Secret is the password, or the key in authorized_keys form.
	Secret string
}

// Server is an SSH server on loopback.
type Server struct {
	config   Config
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	hostKeys []ssh.Signer
	faults   Faults
	conns    map[*conn]struct{}
	attempts []Attempt
	commands []string
	accepted int
	peak     int
	running  int
	closed   bool
	changed  chan struct{} // closed and replaced whenever something above changes
}

// Start runs a Server until the test ends.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	if len(c.HostKeys) == 0 {
		c.HostKeys = []ssh.Signer{NewKey(t)}
	}
	s := &Server{config: c, listener: l, hostKeys: c.HostKeys, conns: map[*conn]struct{}{}, changed: make(chan struct{})}
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(s.Close)
	return s
}

// NewKey makes an ed25519 key, for a host or a user.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	return signer
}

// Line is a public key in authorized_keys form, without line break.
func Line(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }

// Host is the address it listens on.
func (s *Server) Host() string { return s.listener.Addr().(*net.TCPAddr).IP.String() }

// Port is the port it listens on.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Addr is host and port.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host(), strconv.Itoa(s.Port())) }

// HostKeyLines are the public keys it presents now, in authorized_keys form.
func (s *Server) HostKeyLines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, k := range s.hostKeys {
		out = append(out, Line(k.PublicKey()))
	}
	return out
}

// SetHostKeys changes what new connections are presented.
func (s *Server) SetHostKeys(keys ...ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKeys = keys
}

// SetFaults changes what goes wrong from now on.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

func (s *Server) currentFaults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// DropAll closes all connections without ceremony.
func (s *Server) DropAll() {
	for _, c := range s.live() {
		_ = c.Close()
	}
}

// StallAll stops reading from and writing to all connections that are open now, without closing them.
func (s *Server) StallAll() {
	for _, c := range s.live() {
		c.stall()
	}
}

func (s *Server) live() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*conn
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}

// Attempts are the credentials that were offered so far. The "none" method, which offers nothing, is not among them.
func (s *Server) Attempts() []Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Attempt(nil), s.attempts...)
}

// Commands are the strings that were asked to be executed so far, as they came.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Accepted is how many TCP connections were accepted so far.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open is how many connections are open now.
func (s *Server) Open() int { return len(s.live()) }

// Running is how many commands run now. A command may outlive its connection.
func (s *Server) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// PeakHandshakes is how many connections were at most in their handshake at the same time.
func (s *Server) PeakHandshakes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// Await returns when condition holds; it is looked at again whenever a connection or a command came or went. It fails the
// test when that does not happen within half a minute.
func (s *Server) Await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if condition() {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("sshtest: waited in vain until %s", what)
		}
	}
}

// notify wakes up Await; the caller holds s.mu.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Close ends the server and waits for all that it runs.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.listener.Close()
	s.DropAll()
	s.wg.Wait()
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		c := newConn(raw, s.faults)
		closed := s.closed
		if !closed {
			s.conns[c] = struct{}{}
			s.accepted++
			c.handshaking = true
			n := 0
			for o := range s.conns {
				if o.handshaking {
					n++
				}
			}
			s.peak = max(s.peak, n)
			s.wg.Add(1)
			s.notify()
		}
		s.mu.Unlock()
		if closed {
			_ = c.Close()
			return
		}
		go func() {
			defer s.wg.Done()
			s.serve(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.notify()
			s.mu.Unlock()
		}()
	}
}

func (s *Server) serve(c *conn) {
	switch {
	case c.faults.Greeting != nil:
		_, _ = c.Write(c.faults.Greeting)
		return
	case c.faults.Silent:
		_, _ = io.Copy(io.Discard, c)
		return
	case c.faults.HoldHandshake != nil:
		select {
		case <-c.faults.HoldHandshake:
		case <-c.gone:
			return
		}
	}
	sc, channels, requests, err := ssh.NewServerConn(c, s.serverConfig())
	s.mu.Lock()
	c.handshaking = false
	s.notify()
	s.mu.Unlock()
	if err != nil {
		return
	}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for r := range requests {
			if r.WantReply && !s.currentFaults().IgnoreRequests {
				_ = r.Reply(false, nil)
			}
		}
	}()
	sessions := 0
	var mu sync.Mutex
	for n := range channels {
		switch n.ChannelType() {
		case "session":
			mu.Lock()
			full := s.config.MaxSessions > 0 && sessions >= s.config.MaxSessions
			if !full {
				sessions++
			}
			mu.Unlock()
			if full {
				_ = n.Reject(ssh.ConnectionFailed, "open failed")
				continue
			}
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				s.session(sc.User(), n)
				mu.Lock()
				sessions--
				mu.Unlock()
			}()
		case "direct-tcpip":
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				s.forward(n)
			}()
		default:
			_ = n.Reject(ssh.UnknownChannelType, "not here")
		}
	}
}

var errRefused = errors.New("refused")

func (s *Server) serverConfig() *ssh.ServerConfig {
	note := func(a Attempt) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.attempts = append(s.attempts, a)
		s.notify()
	}
	password := func(m ssh.ConnMetadata, method, given string) error {
		note(Attempt{User: m.User(), Method: method, Secret: given})
		u := s.config.Users[m.User()]
		if u.Password == "" || given != u.Password || u.KeyboardInteractive != (method == "keyboard-interactive") {
			return errRefused
		}
		return nil
	}
	c := &ssh.ServerConfig{
		Config: s.config.Algorithms,
		PublicKeyCallback: func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			note(Attempt{User: m.User(), Method: "publickey", Secret: Line(key)})
			if _, ok := key.(*ssh.Certificate); ok {
				return s.certificates().Authenticate(m, key)
			}
			for _, k := range s.config.Users[m.User()].Keys {
				if Line(k) == Line(key) {
					return &ssh.Permissions{}, nil
				}
			}
			return nil, errRefused
		},
	}
	c.RekeyThreshold = s.config.RekeyThreshold
	var plain, dialogue bool
	for _, u := range s.config.Users {
		plain = plain || u.Password != "" && !u.KeyboardInteractive
		dialogue = dialogue || u.KeyboardInteractive
	}
	if plain {
		c.PasswordCallback = func(m ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			return nil, password(m, "password", string(given))
		}
	}
	if dialogue {
		c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			// Like PAM modules that are told to, it asks a second time within the same dialogue.
			for range 2 {
				answers, err := ask("", "", []string{"Password: "}, []bool{false})
				if err != nil {
					return nil, err
				}
				if len(answers) == 1 && password(m, "keyboard-interactive", answers[0]) == nil {
					return &ssh.Permissions{}, nil
				}
			}
			return nil, errRefused
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.hostKeys {
		c.AddHostKey(k)
	}
	return c
}

// certificates judges those of users.
func (s *Server) certificates() *ssh.CertChecker {
	return &ssh.CertChecker{IsUserAuthority: func(key ssh.PublicKey) bool {
		for _, a := range s.config.UserAuthorities {
			if Line(a) == Line(key) {
				return true
			}
		}
		return false
	}}
}

// forward connects a tunnel to where it should lead.
func (s *Server) forward(n ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(n.ExtraData(), &to); err != nil || !s.config.Forward {
		_ = n.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	address := net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port)))
	if elsewhere, ok := s.config.Redirect[address]; ok {
		address = elsewhere
	}
	out, err := net.Dial("tcp", address)
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	ch, requests, err := n.Accept()
	if err != nil {
		_ = out.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(ch, out)
		_ = ch.Close()
	}()
	_, _ = io.Copy(out, ch)
	_ = out.Close()
	<-done
}
