package bundlecmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/bundle/sign"
)

// secretFile writes a file that only its owner can read.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// terminal is a terminal of which the test has the other end.
func terminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("this machine has no terminals to give: %v", err)
	}
	t.Cleanup(func() { _ = user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return user, program
}

// typed runs a command on a terminal on which somebody answers each prompt, and returns the prompts.
func typed(t *testing.T, answers []string, args ...string) (string, error) {
	t.Helper()
	user, program := terminal(t)
	prompts, asked := io.Pipe()
	cmd := New()
	cmd.SilenceErrors = true
	cmd.SetArgs(args)
	cmd.SetIn(program)
	cmd.SetOut(&bytes.Buffer{})
	cmd.SetErr(asked)
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(t.Context())
		asked.CloseWithError(io.EOF) //nolint:errcheck // it never fails
		done <- err
	}()
	// Whoever types waits for the prompt.
	var shown strings.Builder
	buf := make([]byte, 256)
	for {
		n, err := prompts.Read(buf)
		shown.Write(buf[:n])
		if err != nil {
			break
		}
		if strings.HasSuffix(shown.String(), ": ") && len(answers) > 0 {
			if _, err := io.WriteString(user, answers[0]+"\n"); err != nil {
				t.Fatal(err)
			}
			answers = answers[1:]
		}
	}
	return shown.String(), <-done
}

func TestAnEncryptedKeySignsForWhoKnowsThePassphrase(t *testing.T) {
	path, root := written(t)
	name := filepath.Join(t.TempDir(), "release")
	if _, err := call(t, "keygen", "-o", name, "--passphrase-file", secretFile(t, "correct horse\n")); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(name + ".key")
	if err != nil || !strings.Contains(string(raw), "ENCRYPTED SIGSTORE PRIVATE KEY") {
		t.Fatalf("%v\n%s", err, raw)
	}
	for passphrase, says := range map[string]string{
		"correct horse": "", "correct horse\n": "", "correct horse\r\n": "", " correct horse": "does not open the key", "battery staple": "does not open the key", "\n": "is empty",
	} {
		_, err := call(t, "sign", path, "--key", name+".key", "--passphrase-file", secretFile(t, passphrase))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("with %q: %v", passphrase, err)
		}
	}
	if _, err := call(t, "verify", path, "--key", name+".pub", "--digest", root.String()); err != nil {
		t.Error(err)
	}
	if _, err := call(t, "sign", path, "--key", name+".key"); err == nil || !strings.Contains(err.Error(), "--passphrase-file") {
		t.Errorf("without a terminal: %v", err)
	}
	open := secretFile(t, "correct horse")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, "sign", path, "--key", name+".key", "--passphrase-file", open); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a passphrase that all can read: %v", err)
	}
	if _, err := call(t, "keygen", "-o", name+"2", "--passphrase-file", secretFile(t, "short")); err == nil || !strings.Contains(err.Error(), "at least") {
		t.Errorf("a short passphrase: %v", err)
	}
}

func TestAPassphraseIsAskedForOnTheTerminal(t *testing.T) {
	path, _ := written(t)
	name := filepath.Join(t.TempDir(), "release")
	if shown, err := typed(t, []string{"correct horse", "correct house"}, "keygen", "-o", name, "--encrypt"); err == nil || !strings.Contains(err.Error(), "differ") {
		t.Fatalf("two passphrases: %v, %s", err, shown)
	}
	if _, err := os.Stat(name + ".key"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a key was written: %v", err)
	}
	shown, err := typed(t, []string{"correct horse", "correct horse"}, "keygen", "-o", name, "--encrypt")
	if err != nil || strings.Count(shown, ": ") != 2 {
		t.Fatalf("%v, %s", err, shown)
	}
	_, err = typed(t, []string{"battery staple"}, "sign", path, "--key", name+".key")
	if _, ok := errors.AsType[*sign.PassphraseError](err); !ok {
		t.Errorf("with another passphrase: %v", err)
	}
	if shown, err := typed(t, []string{"correct horse"}, "sign", path, "--key", name+".key"); err != nil || strings.Count(shown, ": ") != 1 {
		t.Errorf("%v, %s", err, shown)
	}
	if _, err := typed(t, []string{""}, "sign", path, "--key", name+".key"); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("without an answer: %v", err)
	}
}
