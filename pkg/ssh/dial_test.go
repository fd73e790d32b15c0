package ssh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func userKey(t *testing.T, passphrase string) (private []byte, public ssh.PublicKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	if public, err = ssh.NewPublicKey(pub); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), public
}

func ecdsaHostKey(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestLogin(t *testing.T) {
	plain, plainPub := userKey(t, "")
	locked, lockedPub := userKey(t, hard)
	for _, tc := range []struct {
		name    string
		user    sshtest.User
		auth    kssh.Auth
		methods []string
		refused bool
	}{
		{"a private key is enough", sshtest.User{Keys: []ssh.PublicKey{plainPub}}, kssh.Auth{PrivateKey: plain}, []string{"publickey"}, false},
		{"an encrypted private key is opened by its passphrase", sshtest.User{Keys: []ssh.PublicKey{lockedPub}},
			kssh.Auth{PrivateKey: locked, Passphrase: []byte(hard)}, []string{"publickey"}, false},
		{"a password with special characters arrives as it is", sshtest.User{Password: hard}, kssh.Auth{Password: hard}, []string{"password"}, false},
		{"a password answers a dialogue", sshtest.User{Password: hard, KeyboardInteractive: true}, kssh.Auth{Password: hard},
			[]string{"keyboard-interactive"}, false},
		{"a password is used after a key that is refused", sshtest.User{Password: hard}, kssh.Auth{PrivateKey: plain, Password: hard},
			[]string{"publickey", "password"}, false},
		{"a wrong password is offered once and is an AuthError", sshtest.User{Password: hard}, kssh.Auth{Password: "swordfish"},
			[]string{"password"}, true},
		{"a wrong password in a dialogue is offered once and is an AuthError", sshtest.User{Password: hard, KeyboardInteractive: true},
			kssh.Auth{Password: "swordfish"}, []string{"keyboard-interactive"}, true},
		{"a wrong key is an AuthError", sshtest.User{Password: hard}, kssh.Auth{PrivateKey: plain}, []string{"publickey"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := server(t, func(c *sshtest.Config) { c.Users = map[string]sshtest.User{"ops": tc.user} })
			to := target(s)
			to.Auth = tc.auth
			c, err := kssh.Dial(t.Context(), to)
			var methods []string
			for _, a := range s.Attempts() {
				if !slices.Contains(methods, a.Method) || a.Method != "publickey" {
					methods = append(methods, a.Method)
				}
			}
			if !reflect.DeepEqual(methods, tc.methods) {
				t.Errorf("offered %v, want %v", methods, tc.methods)
			}
			if !tc.refused {
				if err != nil {
					t.Fatal(err)
				}
				if c.HostKey() != s.HostKeyLines()[0] || c.RemoteAddr().String() != s.Addr() {
					t.Errorf("host key %s at %s", c.HostKey(), c.RemoteAddr())
				}
				_ = c.Close()
				return
			}
			var auth *kssh.AuthError
			if !errors.As(err, &auth) || !reflect.DeepEqual(auth.Methods, tc.methods) || auth.Host != "n1" || auth.Address != s.Addr() {
				t.Fatalf("got %#v", err)
			}
			if strings.Contains(err.Error(), "swordfish") || kssh.IsRetryable(err) {
				t.Errorf("error %q", err)
			}
		})
	}
}

func TestHostKeys(t *testing.T) {
	old, other, ec := sshtest.NewKey(t), sshtest.NewKey(t), ecdsaHostKey(t)
	line := func(s ssh.Signer) string { return sshtest.Line(s.PublicKey()) }
	for _, tc := range []struct {
		name     string
		presents []ssh.Signer
		mode     kssh.HostKeyMode
		known    []string
		want     any // pointer to the expected error type; nil for success
		records  int
	}{
		{"a known key is accepted", []ssh.Signer{old}, kssh.Strict, []string{line(old)}, nil, 0},
		{"a host with several keys presents the known one", []ssh.Signer{old, ec}, kssh.Strict, []string{line(ec)}, nil, 0},
		{"one of several known keys is enough", []ssh.Signer{old}, kssh.Strict, []string{line(other), line(ec), line(old)}, nil, 0},
		{"another key of the same type is a changed key", []ssh.Signer{other}, kssh.Strict, []string{line(old)}, new(*kssh.HostKeyChangedError), 0},
		{"another key is a changed key on trust of first use, too, and is not recorded", []ssh.Signer{other}, kssh.TrustOnFirstUse,
			[]string{line(old)}, new(*kssh.HostKeyChangedError), 0},
		{"a host that lost the known type of key has changed", []ssh.Signer{ec}, kssh.TrustOnFirstUse, []string{line(old)},
			new(*kssh.HostKeyChangedError), 0},
		{"without a known key Strict refuses", []ssh.Signer{old}, kssh.Strict, nil, new(*kssh.UnknownHostKeyError), 0},
		{"without a known key the first is recorded, ed25519 if there is one", []ssh.Signer{ec, old}, kssh.TrustOnFirstUse, nil, nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := server(t, func(c *sshtest.Config) { c.HostKeys = tc.presents })
			m := &memory{look: func() {
				if n := len(s.Attempts()); n > 0 {
					t.Errorf("%d credentials were offered before the key was recorded", n)
				}
			}}
			to := target(s)
			to.HostKeys = kssh.HostKeyPolicy{Mode: tc.mode, Known: tc.known, Record: m.record}
			c, err := kssh.Dial(t.Context(), to)
			if err == nil {
				_ = c.Close()
			}
			if len(m.lines) != tc.records {
				t.Errorf("recorded %v", m.lines)
			}
			if tc.records > 0 && m.lines[0] != line(old) {
				t.Errorf("recorded %v, want %v", m.lines, line(old))
			}
			if tc.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.As(err, tc.want) || kssh.IsRetryable(err) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), "n1") || !strings.Contains(err.Error(), s.Addr()) {
				t.Errorf("the error does not say which host: %v", err)
			}
			if got := s.Attempts(); len(got) > 0 {
				t.Errorf("credentials were offered: %v", got)
			}
		})
	}
}

func TestAKeyThatCannotBeRecordedIsNotTrusted(t *testing.T) {
	s := server(t, nil)
	cause := errors.New("conflict")
	to := target(s)
	to.HostKeys = (&memory{err: cause}).tofu()
	_, err := kssh.Dial(t.Context(), to)
	var record *kssh.HostKeyRecordError
	if !errors.As(err, &record) || !errors.Is(err, cause) || !kssh.IsRetryable(err) || len(s.Attempts()) > 0 {
		t.Fatalf("got %v, attempts %v", err, s.Attempts())
	}
}

func TestAnotherKeyThanTheRecordedOneIsAChangedKeyAlsoWhenThePolicyDidNotKnowIt(t *testing.T) {
	s := server(t, nil)
	var recorded string
	to := target(s)
	to.HostKeys = kssh.HostKeyPolicy{Mode: kssh.TrustOnFirstUse, Record: func(_ context.Context, line string) error {
		if recorded != "" && recorded != line {
			return fmt.Errorf("record: %w", &kssh.OtherKeyError{Recorded: recorded})
		}
		recorded = line
		return nil
	}}
	dial(t, to)
	before := len(s.Attempts())
	s.SetHostKeys(sshtest.NewKey(t))
	_, err := kssh.Dial(t.Context(), to)
	var changed *kssh.HostKeyChangedError
	if !errors.As(err, &changed) || kssh.IsRetryable(err) || len(changed.Want) != 1 || changed.Want[0] != kssh.Fingerprint(recorded) ||
		changed.Got != kssh.Fingerprint(s.HostKeyLines()[0]) {
		t.Errorf("got %v", err)
	}
	if got := s.Attempts(); len(got) > before {
		t.Errorf("credentials were offered: %v", got[before:])
	}
}

func TestAKeyThatNobodyMayTrustHereIsAnUnknownKey(t *testing.T) {
	s := server(t, nil)
	to := target(s)
	to.HostKeys = (&memory{err: &kssh.KeyRefusedError{Why: "nobody records one", Next: "ask somebody"}}).tofu()
	_, err := kssh.Dial(t.Context(), to)
	var unknown *kssh.UnknownHostKeyError
	if !errors.As(err, &unknown) || kssh.IsRetryable(err) {
		t.Fatalf("got %v", err)
	}
	if got := s.Attempts(); len(got) > 0 {
		t.Errorf("credentials were offered: %v", got)
	}
	for _, text := range []string{"n1", s.Addr(), "nobody records one", kssh.Fingerprint(s.HostKeyLines()[0]), "ask somebody"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func TestAKeyIsRecordedOnceThoughKeysAreExchangedAgain(t *testing.T) {
	s := server(t, func(c *sshtest.Config) { c.RekeyThreshold = 64 << 10 })
	m := &memory{}
	to := target(s)
	to.HostKeys = m.tofu()
	c := dial(t, to)
	before := c.Stats().BytesReceived
	echo(t, c, 1<<20)
	if len(m.lines) != 1 {
		t.Errorf("recorded %d times", len(m.lines))
	}
	if got := c.Stats().BytesReceived - before; got < 1<<20 {
		t.Errorf("only %d bytes came back", got)
	}
}

func TestUnreachable(t *testing.T) {
	never := make(chan struct{})
	open := make(chan struct{})
	close(open)
	for _, tc := range []struct {
		name   string
		faults sshtest.Faults
		phase  kssh.Phase
	}{
		{"a server that never speaks runs into the deadline", sshtest.Faults{Silent: true}, kssh.PhaseHandshake},
		{"a server that is too slow runs into the deadline", sshtest.Faults{HoldHandshake: never}, kssh.PhaseHandshake},
		{"a server that stalls after the version runs into the deadline", sshtest.Faults{StallAfterReceived: 1}, kssh.PhaseHandshake},
		{"a server that speaks another protocol", sshtest.Faults{Greeting: []byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, kssh.PhaseHandshake},
		{"a server that sends garbage without end of line", sshtest.Faults{Greeting: slices.Repeat([]byte{0x16}, 100000)}, kssh.PhaseHandshake},
		{"a server that hangs up at once", sshtest.Faults{Greeting: []byte{}}, kssh.PhaseHandshake},
		{"a server that hangs up during the key exchange", sshtest.Faults{DropAfterSent: 300}, kssh.PhaseHandshake},
		{"a server that takes its time, but not too long", sshtest.Faults{HoldHandshake: open}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := server(t, nil)
			s.SetFaults(tc.faults)
			to := target(s)
			to.ConnectTimeout = 300 * time.Millisecond
			if tc.phase == "" {
				to.ConnectTimeout = 20 * time.Second
				dial(t, to)
				return
			}
			var err error
			soon(t, "Dial", func() { _, err = kssh.Dial(t.Context(), to) })
			var far *kssh.UnreachableError
			if !errors.As(err, &far) || far.Phase != tc.phase || far.Host != "n1" || far.Address != s.Addr() || !kssh.IsRetryable(err) {
				t.Fatalf("got %v", err)
			}
			if got := s.Attempts(); len(got) > 0 {
				t.Errorf("credentials were offered: %v", got)
			}
		})
	}
	t.Run("a port that nobody listens on", func(t *testing.T) {
		s := server(t, nil)
		to := target(s)
		to.Port = closedPort(t)
		_, err := kssh.Dial(t.Context(), to)
		var far *kssh.UnreachableError
		if !errors.As(err, &far) || far.Phase != kssh.PhaseTCP || !kssh.IsRetryable(err) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("cancelling ends a handshake that hangs", func(t *testing.T) {
		s := server(t, nil)
		s.SetFaults(sshtest.Faults{Silent: true})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			s.Await(t, "the connection is there", func() bool { return s.Accepted() == 1 })
			cancel()
		}()
		var err error
		soon(t, "Dial", func() { _, err = kssh.Dial(ctx, target(s)) })
		if !errors.Is(err, context.Canceled) || kssh.IsRetryable(err) {
			t.Fatalf("got %v", err)
		}
		s.Await(t, "the connection is closed", func() bool { return s.Open() == 0 })
	})
}

func TestTargetsThatCannotBe(t *testing.T) {
	locked, _ := userKey(t, "swordfish")
	_, pub := userKey(t, "")
	good := kssh.Target{Name: "n1", Address: "127.0.0.1", Port: 1, User: "ops", Auth: kssh.Auth{Password: "swordfish"},
		HostKeys: kssh.HostKeyPolicy{Known: []string{sshtest.Line(pub)}}}
	loop := good
	loop.Bastion = &loop
	for _, tc := range []struct {
		name, field string
		change      func(*kssh.Target)
	}{
		{"no address", "address", func(t *kssh.Target) { t.Address = "" }},
		{"an address with a blank", "address", func(t *kssh.Target) { t.Address = "a b" }},
		{"a port out of range", "port", func(t *kssh.Target) { t.Port = 65536 }},
		{"no user", "user", func(t *kssh.Target) { t.User = "" }},
		{"a user with a line break", "user", func(t *kssh.Target) { t.User = "a\nb" }},
		{"no credential", "auth", func(t *kssh.Target) { t.Auth = kssh.Auth{} }},
		{"a private key that is none", "auth", func(t *kssh.Target) { t.Auth.PrivateKey = []byte("swordfish") }},
		{"an encrypted key without passphrase", "auth", func(t *kssh.Target) { t.Auth.PrivateKey = locked }},
		{"an encrypted key with a wrong passphrase", "auth", func(t *kssh.Target) {
			t.Auth.PrivateKey, t.Auth.Passphrase = locked, []byte("swordfish2")
		}},
		{"a known key that is none", "hostKeys", func(t *kssh.Target) { t.HostKeys.Known = []string{"ssh-ed25519 !"} }},
		{"a known key with options", "hostKeys", func(t *kssh.Target) { t.HostKeys.Known = []string{"cert-authority " + sshtest.Line(pub)} }},
		{"a first use that nobody records", "hostKeys", func(t *kssh.Target) { t.HostKeys = kssh.HostKeyPolicy{Mode: kssh.TrustOnFirstUse} }},
		{"a sudo password with a line break", "sudo", func(t *kssh.Target) {
			t.Sudo = kssh.Sudo{Mode: kssh.SudoPassword, Password: "swordfish\n"}
		}},
		{"a sudo password with NUL", "sudo", func(t *kssh.Target) {
			t.Sudo = kssh.Sudo{Mode: kssh.SudoPassword, Password: "swordfish\x00"}
		}},
		{"an empty sudo password", "sudo", func(t *kssh.Target) { t.Sudo = kssh.Sudo{Mode: kssh.SudoPassword} }},
		{"a bastion that leads back to itself", "bastion", func(t *kssh.Target) { t.Bastion = &loop }},
		{"a mistake in the bastion", "user", func(t *kssh.Target) { b := good; b.User = ""; t.Bastion = &b }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to := good
			tc.change(&to)
			_, err := kssh.Dial(t.Context(), to)
			var bad *kssh.TargetError
			if !errors.As(err, &bad) || bad.Field != tc.field || bad.Host != "n1" || kssh.IsRetryable(err) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "swordfish") {
				t.Errorf("the error quotes a secret: %v", err)
			}
		})
	}
}

func TestBastion(t *testing.T) {
	via := func(inner, outer *sshtest.Server) kssh.Target {
		b := target(outer)
		b.Name = "bastion"
		to := target(inner)
		to.Bastion = &b
		return to
	}
	t.Run("a host is reached through it, with both keys verified", func(t *testing.T) {
		inner, outer := server(t, nil), server(t, nil)
		c := dial(t, via(inner, outer))
		echo(t, c, 100000)
		_ = c.Close()
		outer.Await(t, "the connection to the bastion is closed with the other", func() bool { return outer.Open() == 0 })
	})
	t.Run("a bastion whose key changed gets no credential, and the host hears nothing", func(t *testing.T) {
		inner, outer := server(t, nil), server(t, nil)
		to := via(inner, outer)
		outer.SetHostKeys(sshtest.NewKey(t))
		_, err := kssh.Dial(t.Context(), to)
		var far *kssh.UnreachableError
		var changed *kssh.HostKeyChangedError
		if !errors.As(err, &far) || far.Phase != kssh.PhaseBastion || !errors.As(err, &changed) || changed.Host != "bastion" || kssh.IsRetryable(err) {
			t.Fatalf("got %v", err)
		}
		if len(outer.Attempts()) > 0 || inner.Accepted() > 0 {
			t.Error("a credential was offered")
		}
	})
	t.Run("a host behind it whose key changed gets no credential", func(t *testing.T) {
		inner, outer := server(t, nil), server(t, nil)
		to := via(inner, outer)
		inner.SetHostKeys(sshtest.NewKey(t))
		_, err := kssh.Dial(t.Context(), to)
		var changed *kssh.HostKeyChangedError
		if !errors.As(err, &changed) || changed.Host != "n1" || len(inner.Attempts()) > 0 {
			t.Fatalf("got %v, attempts %v", err, inner.Attempts())
		}
		outer.Await(t, "the connection to the bastion is closed", func() bool { return outer.Open() == 0 })
	})
	t.Run("a host that never speaks runs into its own deadline", func(t *testing.T) {
		inner, outer := server(t, nil), server(t, nil)
		inner.SetFaults(sshtest.Faults{Silent: true})
		to := via(inner, outer)
		to.ConnectTimeout = 300 * time.Millisecond
		var err error
		soon(t, "Dial", func() { _, err = kssh.Dial(t.Context(), to) })
		var far *kssh.UnreachableError
		if !errors.As(err, &far) || far.Phase != kssh.PhaseHandshake || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("a bastion that forbids tunnels is named with what to change in its sshd", func(t *testing.T) {
		inner, outer := server(t, nil), server(t, func(c *sshtest.Config) { c.Forward = false })
		_, err := kssh.Dial(t.Context(), via(inner, outer))
		var far *kssh.UnreachableError
		var forbidden *kssh.ForwardingProhibitedError
		if !errors.As(err, &far) || far.Phase != kssh.PhaseBastion || !errors.As(err, &forbidden) || forbidden.Host != "bastion" || forbidden.To != inner.Addr() {
			t.Fatalf("got %v", err)
		}
		for _, word := range []string{"bastion", "AllowTcpForwarding", "DisableForwarding", "PermitOpen", inner.Addr()} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not name %s", err, word)
			}
		}
		if kssh.IsRetryable(err) {
			t.Error("it would be tried again, though only a person can change it")
		}
	})
	t.Run("its loss ends the connection of the host and is named as the cause", func(t *testing.T) {
		inner, outer := server(t, nil), server(t, nil)
		c := dial(t, via(inner, outer))
		outer.DropAll()
		soon(t, "Done", func() { <-c.Done() })
		var lost *kssh.ConnectionLostError
		if !errors.As(c.Err(), &lost) || lost.Host != "n1" || !strings.Contains(c.Err().Error(), "bastion") {
			t.Fatalf("got %v", c.Err())
		}
	})
}
