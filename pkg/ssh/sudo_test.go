package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func TestSudo(t *testing.T) {
	for _, tc := range []struct {
		name   string
		host   sshtest.Sudo
		sudo   kssh.Sudo
		reason kssh.SudoReason // empty for success
		argv   []string
	}{
		{"without sudo the program is run as it is", sshtest.Sudo{}, kssh.Sudo{}, "",
			[]string{"/bin/sh"}},
		{"NOPASSWD", sshtest.Sudo{NoPassword: true}, kssh.Sudo{Mode: kssh.SudoNoPassword}, "",
			[]string{"env", "LC_ALL=C", "sudo", "-n", "--", "/bin/sh"}},
		{"the password is given when sudo asks", sshtest.Sudo{Password: "x"}, kssh.Sudo{Mode: kssh.SudoPassword, Password: "x"}, "",
			[]string{"env", "LC_ALL=C", "sudo", "-S", "-p", "MARKER", "--", "/bin/sh"}},
		{"a password with special characters", sshtest.Sudo{Password: hard}, kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}, "", nil},
		{"a lecture before the question", sshtest.Sudo{Password: hard, Lecture: strings.Repeat("Trust, but verify.\n", 2000)},
			kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}, "", nil},
		{"a password that sudo does not ask for is not sent", sshtest.Sudo{NoPassword: true},
			kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}, "", nil},
		{"a wrong password", sshtest.Sudo{Password: "other"}, kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}, kssh.WrongPassword, nil},
		{"a wrong password where sudo asks only once", sshtest.Sudo{Password: "other", Tries: 1},
			kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}, kssh.WrongPassword, nil},
		{"a password is wanted and none is there", sshtest.Sudo{Password: "other"}, kssh.Sudo{Mode: kssh.SudoNoPassword}, kssh.PasswordRequired, nil},
		{"a user who may not", sshtest.Sudo{Password: hard, NotAllowed: true}, kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}, kssh.NotAllowed, nil},
		{"a user who may not, without password", sshtest.Sudo{NoPassword: true, NotAllowed: true}, kssh.Sudo{Mode: kssh.SudoNoPassword}, kssh.NotAllowed, nil},
		{"no sudo on the host", sshtest.Sudo{NotInstalled: true}, kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}, kssh.NotInstalled, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var argv []string
			var heard atomic.Int32
			tc.host.Heard = func(string) { heard.Add(1) }
			h := tc.host.Handler(sshtest.Plain(helper))
			s := server(t, func(c *sshtest.Config) {
				c.Handler = func(e *sshtest.Exec) int {
					argv = e.Argv
					return h(e)
				}
			})
			to := target(s)
			to.Sudo = tc.sudo
			c := dial(t, to)
			var p *kssh.Process
			var err error
			soon(t, "RunHelper", func() {
				p, err = c.RunHelper(t.Context(), kssh.Command{Path: "/opt/helper", Args: []string{"serve"}, Sudo: true})
			})
			for _, cmd := range s.Commands() {
				if strings.Contains(cmd, hard) {
					t.Errorf("the password is in the command: %s", cmd)
				}
			}
			if len(argv) > 5 && tc.argv != nil && len(tc.argv) > 5 && tc.argv[5] == "MARKER" {
				tc.argv[5] = argv[5]
			}
			if tc.argv != nil && !reflect.DeepEqual(argv[:min(len(argv), len(tc.argv))], tc.argv) {
				t.Errorf("ran %v, want %v", argv, tc.argv)
			}
			if n := heard.Load(); n > 1 {
				t.Errorf("the password was sent %d times, which may lock the account", n)
			}
			if tc.reason != "" {
				s.Await(t, "sudo has ended", func() bool { return s.Running() == 0 })
				var sudo *kssh.SudoError
				if !errors.As(err, &sudo) || sudo.Reason != tc.reason || sudo.Host != "n1" || sudo.User != "ops" ||
					kssh.IsRetryable(err) || strings.Contains(err.Error(), hard) || strings.Contains(err.Error(), "kubewright-sudo") {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// The program must get its input whole, and nothing else.
			_, _ = io.WriteString(p.Stdin, "first line\nsecond")
			_ = p.Stdin.Close()
			out, err := io.ReadAll(p.Stdout)
			if want := "hello\nfirst line\nsecond"; err != nil || string(out) != want {
				t.Errorf("got %q, %v, want %q", out, err, want)
			}
			if err := p.Wait(); err != nil {
				t.Error(err)
			}
			if strings.Contains(p.Stderr(), "kubewright-sudo") {
				t.Errorf("standard error holds the prompt: %q", p.Stderr())
			}
		})
	}
}

func TestSudoOfRootIsNoSudo(t *testing.T) {
	s := server(t, func(c *sshtest.Config) { c.Users["root"] = sshtest.User{Password: hard} })
	to := target(s)
	to.User, to.Sudo = "root", kssh.Sudo{Mode: kssh.SudoPassword}
	p, err := dial(t, to).Start(t.Context(), kssh.Command{Path: "/opt/helper", Sudo: true})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if got := s.Commands(); !reflect.DeepEqual(got, []string{"/opt/helper"}) {
		t.Errorf("ran %q", got)
	}
}

func TestSudoThatNeitherAsksNorRunsIsEndedByCancelling(t *testing.T) {
	s := server(t, func(c *sshtest.Config) { c.Handler = sshtest.Sudo{Mute: true}.Handler(sshtest.Plain(helper)) })
	to := target(s)
	to.Sudo = kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}
	c := dial(t, to)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s.Await(t, "sudo runs", func() bool { return len(s.Commands()) == 1 })
		cancel()
	}()
	var err error
	soon(t, "Start", func() { _, err = c.Start(ctx, kssh.Command{Path: "/opt/helper", Sudo: true}) })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestALoginShellThatPrintsBeforeSudoAsksDoesNotGetIntoTheOutput(t *testing.T) {
	s := server(t, func(c *sshtest.Config) {
		c.Handler = sshtest.Sudo{Password: hard, NoisyShell: strings.Repeat("welcome to kubewright-ready\n", 10000)}.Handler(sshtest.Plain(helper))
	})
	to := target(s)
	to.Sudo = kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}
	p, err := dial(t, to).Start(t.Context(), kssh.Command{Path: "/opt/helper", Sudo: true})
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Stdin.Close()
	if out, err := io.ReadAll(p.Stdout); err != nil || string(out) != "hello\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestAPasswordNeverAppearsInWhatAFailedProgramSaid(t *testing.T) {
	s := server(t, func(c *sshtest.Config) {
		c.Handler = sshtest.Sudo{Password: hard}.Handler(sshtest.Plain(func(e *sshtest.Exec) int {
			var b bytes.Buffer
			b.WriteString("it was " + hard + "\n")
			_, _ = b.WriteTo(e.Stderr)
			return 2
		}))
	})
	to := target(s)
	to.Sudo = kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}
	p, err := dial(t, to).Start(t.Context(), kssh.Command{Path: "/opt/helper", Sudo: true})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Wait()
	var exit *kssh.ExitError
	if !errors.As(err, &exit) || strings.Contains(err.Error(), hard) || !strings.Contains(err.Error(), "it was [redacted]") {
		t.Fatalf("got %v", err)
	}
}
