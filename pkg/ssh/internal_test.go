package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestCommandsThatAreRefused(t *testing.T) {
	for name, c := range map[string]Command{
		"a relative path":                 {Path: "bin/x"},
		"a path that climbs":              {Path: "/bin/../x"},
		"a path with a double slash":      {Path: "/bin//x"},
		"the root":                        {Path: "/"},
		"a path with a blank":             {Path: "/bin/a b"},
		"a path with a tilde":             {Path: "/bin/~"},
		"an empty argument":               {Path: "/bin/x", Args: []string{""}},
		"a quote":                         {Path: "/bin/x", Args: []string{"it's"}},
		"a double quote":                  {Path: "/bin/x", Args: []string{`"`}},
		"a variable":                      {Path: "/bin/x", Args: []string{"$HOME"}},
		"a command substitution":          {Path: "/bin/x", Args: []string{"`id`"}},
		"a separator":                     {Path: "/bin/x", Args: []string{"a;b"}},
		"a line break":                    {Path: "/bin/x", Args: []string{"a\nb"}},
		"NUL":                             {Path: "/bin/x", Args: []string{"a\x00"}},
		"a pattern":                       {Path: "/bin/x", Args: []string{"*"}},
		"a backslash":                     {Path: "/bin/x", Args: []string{`a\b`}},
		"a letter outside ASCII":          {Path: "/bin/x", Args: []string{"ü"}},
		"bytes that are no text":          {Path: "/bin/x", Args: []string{"\xff"}},
		"a leading = that zsh expands":    {Path: "/bin/x", Args: []string{"=ls"}},
		"an argument of excessive length": {Path: "/bin/x", Args: []string{strings.Repeat("a", maxWord+1)}},
	} {
		t.Run(name, func(t *testing.T) {
			if field, reason := c.check(); reason == "" || field == "" {
				t.Errorf("%+v was accepted", c)
			}
		})
	}
}

func TestEveryAcceptedCharacterMeansItselfToEveryShell(t *testing.T) {
	var words []string
	for b := range 256 {
		for _, w := range []string{string([]byte{byte(b)}), "a" + string([]byte{byte(b)}), string([]byte{byte(b)}) + "a", strings.Repeat(string([]byte{byte(b)}), 2)} {
			if checkWord(w) == "" {
				words = append(words, w)
			}
		}
	}
	// 70 characters in four places, less = in the three where it leads.
	if len(words) != 4*70-3 {
		t.Fatalf("%d words were accepted", len(words))
	}
	for _, shell := range []string{"sh", "bash", "dash", "zsh", "fish", "tcsh", "ksh"} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip("not on this machine")
			}
			out, err := exec.Command(path, "-c", execString(SudoNone, "", append([]string{"/usr/bin/printf", "%s,,"}, words...)...)).Output()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(out), strings.Join(words, ",,")+",,"; got != want {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"", "a", "-v", "a=b", "=a", "/opt/x", "a b", "it's", "$(id)", "\x00", "ü", "a\n"} {
		f.Add("/bin/"+s, s)
	}
	// An independent statement of what is allowed.
	word := regexp.MustCompile(`\A[A-Za-z0-9_./:,+-][A-Za-z0-9_./:,+=-]*\z`)
	f.Fuzz(func(t *testing.T, p, arg string) {
		_, reason := Command{Path: p, Args: []string{arg}}.check()
		allowed := word.MatchString(arg) && len(arg) <= maxWord && word.MatchString(p) && len(p) <= maxWord &&
			strings.HasPrefix(p, "/") && path.Clean(p) == p && p != "/"
		if allowed != (reason == "") {
			t.Fatalf("path %q, argument %q: %q", p, arg, reason)
		}
		if allowed {
			got := strings.Fields(execString(SudoPassword, "marker", p, arg))
			if len(got) != 9 || got[7] != p || got[8] != arg {
				t.Fatalf("became %q", got)
			}
		}
	})
}

func TestThePlacingScriptMeansTheSameInEveryLoginShell(t *testing.T) {
	for _, script := range []string{placeScript, helperScript, announceScript} {
		if i := strings.IndexAny(script, "'!\\\n"); i >= 0 {
			t.Errorf("a script holds %q", script[i])
		}
	}
	words := placeWords(Placement{Path: "/opt/x/y", Digest: strings.Repeat("0", 64), Size: 5, Mode: 0o750})
	for i, w := range words {
		if i != 2 && checkWord(w) != "" {
			t.Errorf("word %d is %q", i, w)
		}
	}
	if words[len(words)-1] != "750" {
		t.Errorf("the mode is %q", words[len(words)-1])
	}
}

func TestSecretsDoNotShowHoweverTheyArePrinted(t *testing.T) {
	const secret = "swordfish"
	to := Target{
		Name: "n1", Address: "127.0.0.1", User: "ops",
		Auth: Auth{PrivateKey: []byte(secret), Passphrase: []byte(secret), Password: secret},
		Sudo: Sudo{Mode: SudoPassword, Password: secret},
	}
	settled, _ := to.Sudo.settings("ops")
	creds, _ := Auth{Password: secret}.credentials()
	forms := []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%d", []byte(secret)), fmt.Sprintf("% x", secret), fmt.Sprintf("%#v", []byte(secret))}
	for name, v := range map[string]any{
		"Target": to, "*Target": &to, "Auth": to.Auth, "*Auth": &to.Auth, "Sudo": to.Sudo, "*Sudo": &to.Sudo,
		"settings": settings{sudo: settled, auth: creds}, "Client": Client{sudo: settled}, "*Client": &Client{sudo: settled},
		"Pool": &Pool{}, "Process": Process{secret: settled.password},
	} {
		var text strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t"} {
			fmt.Fprintf(&text, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&text, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			text.Write(b)
		}
		for _, f := range forms {
			if strings.Contains(text.String(), f) {
				t.Errorf("%s shows %s in %s", name, f, text.String())
			}
		}
	}
}

func TestAHostMayNotChangeItsKeyWithinAConnection(t *testing.T) {
	key := func() ssh.PublicKey {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k, err := ssh.NewPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	a, b := key(), key()
	records := 0
	v := &verifier{ctx: t.Context(), policy: hostKeyPolicy{mode: TrustOnFirstUse, record: func(context.Context, string) error {
		records++
		return nil
	}}}
	var changed *HostKeyChangedError
	if err := errors.Join(v.check(a), v.check(a)); err != nil || records != 1 {
		t.Fatalf("%v after %d records", err, records)
	}
	if err := v.check(b); !errors.As(err, &changed) || records != 1 {
		t.Fatalf("got %v", err)
	}
}

func TestTheMarkerIsFoundHoweverItArrives(t *testing.T) {
	const marker = "kubewright-sudo-0123456789abcdef:"
	text := "a lecture\nkubewright-sudo-0123" + marker + marker + "\nSorry, try again.\n" + marker
	for size := 1; size <= len(text); size++ {
		s := newTail(marker)
		for at := 0; at < len(text); at += size {
			_, _ = s.Write([]byte(text[at:min(at+size, len(text))]))
		}
		if n := len(s.marked); n != 3 {
			t.Errorf("in pieces of %d it was found %d times", size, n)
		}
		if got := s.String(); got != "a lecture\nkubewright-sudo-0123\nSorry, try again.\n" {
			t.Errorf("in pieces of %d there was left %q", size, got)
		}
	}
	s := newTail(marker)
	_, _ = s.Write([]byte(strings.Repeat("x", 3*tailSize) + marker + strings.Repeat("y", tailSize) + marker[:10]))
	_, _ = s.Write([]byte(marker[10:] + strings.Repeat("z", 5)))
	if n := len(s.marked); n != 2 || len(s.String()) > tailSize || !strings.HasSuffix(s.String(), "yyyzzzzz") {
		t.Errorf("after a flood it was found %d times, %d bytes were kept", n, len(s.String()))
	}
}

func TestSudoVerdictsOnWhatSudoSays(t *testing.T) {
	for _, tc := range []struct {
		stderr string
		status int
		want   SudoReason
	}{
		{"Sorry, try again.\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n", 1, WrongPassword},
		{"sudo: 3 incorrect password attempts\n", 1, WrongPassword},
		{"sudo: Authentication failed, try again.\nsudo: Maximum 3 incorrect authentication attempts\n", 1, WrongPassword},
		{"sudo: a password is required\n", 1, PasswordRequired},
		{"sudo: interactive authentication is required\n", 1, PasswordRequired},
		{"ops is not in the sudoers file.  This incident will be reported.\n", 1, NotAllowed},
		{"Sorry, user ops is not allowed to execute '/opt/helper' as root on n1.\n", 1, NotAllowed},
		{"Sorry, user ops may not run sudo on n1.\n", 1, NotAllowed},
		{"sudo: sorry, you must have a tty to run sudo\n", 1, NotAllowed},
		{"sudo: I'm sorry ops. I'm afraid I can't do that\n", 1, NotAllowed},
		{"env: 'sudo': No such file or directory\n", 127, NotInstalled},
		{"sudo: /opt/helper: command not found\n", 1, ""},
		{"the disk is full\n", 1, ""},
		{"sudo: a password is required\n", 2, ""},
	} {
		if got, ok := sudoVerdict(tc.status, tc.stderr); got != tc.want || ok != (tc.want != "") {
			t.Errorf("%d %q: got %q", tc.status, tc.stderr, got)
		}
	}
}

func TestWhatIsRetryable(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("step: %w", &UnreachableError{Phase: PhaseBastion, Err: err}) }
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"nothing", nil, false},
		{"an error of somebody else", fs.ErrNotExist, false},
		{"a timeout", &UnreachableError{Err: context.DeadlineExceeded}, true},
		{"a cancelled dial", &UnreachableError{Err: context.Canceled}, false},
		{"a bastion out of reach", wrap(&UnreachableError{Phase: PhaseTCP}), true},
		{"a bastion with a changed key", wrap(&HostKeyChangedError{}), false},
		{"a bastion without known key", wrap(&UnknownHostKeyError{}), false},
		{"a bastion that refuses us", wrap(&AuthError{}), false},
		{"a lost connection", fmt.Errorf("start: %w", &ConnectionLostError{}), true},
		{"a refused session", &SessionError{}, true},
		{"a key that could not be recorded", &HostKeyRecordError{}, true},
		{"a wrong sudo password", &SudoError{Reason: WrongPassword}, false},
		{"a sudo that did not answer", &SudoError{Reason: NoAnswer}, true},
		{"a program that failed", &ExitError{Status: 1}, false},
		{"a file that cannot be placed", &PlaceError{}, false},
		{"a mistake in the configuration", &TargetError{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := IsRetryable(tc.err); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestASecretOnTheCutOfWhatIsKeptIsHidden(t *testing.T) {
	const secret = "hunter-two-secret"
	for cut := range secret {
		kept := newTail("marker")
		_, _ = kept.Write([]byte(secret + strings.Repeat(".", tailSize-len(secret)+cut)))
		if got := kept.redacted(func() string { return secret }); strings.HasPrefix(got, secret[min(cut, len(secret)-3):]) {
			t.Errorf("%d bytes cut off: %.30q", cut, got)
		}
	}
}
