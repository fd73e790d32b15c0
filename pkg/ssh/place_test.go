package ssh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// placement is content for path; opened counts how often it was opened.
func placement(path string, content []byte, opened *int) kssh.Placement {
	return kssh.Placement{Path: path, Digest: digest(content), Size: int64(len(content)), Mode: 0o755,
		Open: func() (io.ReadCloser, error) {
			*opened++
			return io.NopCloser(bytes.NewReader(content)), nil
		}}
}

// shellServer runs commands in a real shell of this machine.
func shellServer(t *testing.T, shell string) *sshtest.Server {
	t.Helper()
	return server(t, func(c *sshtest.Config) { c.Handler = sshtest.Shell(shell, "PATH="+os.Getenv("PATH")) })
}

// others returns which entries dir has besides those named.
func others(t *testing.T, dir string, known ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if !strings.Contains(strings.Join(known, " "), e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestPlaceInEveryLoginShell(t *testing.T) {
	content := bytes.Repeat([]byte("kubewright"), 300000)
	for _, shell := range []string{"sh", "dash", "bash", "zsh", "fish", "csh", "tcsh", "ksh"} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip("not on this machine")
			}
			s := shellServer(t, path)
			c := dial(t, target(s))
			file := filepath.Join(t.TempDir(), "new", "bin", "helper")
			opened := 0
			for round := range 2 {
				if err := c.Place(t.Context(), placement(file, content, &opened)); err != nil {
					t.Fatalf("round %d: %v", round+1, err)
				}
			}
			if opened != 1 {
				t.Errorf("the content was sent %d times", opened)
			}
			got, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes are there: %v", len(got), err)
			}
			for path, mode := range map[string]fs.FileMode{file: 0o755, filepath.Dir(file): 0o755} {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
					t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
			}
			if left := others(t, filepath.Dir(file), "helper"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if n := c.Stats().Sessions; n != 2 {
				t.Errorf("it took %d sessions for two placements", n)
			}
		})
	}
}

func TestPlace(t *testing.T) {
	content := []byte("the right content")
	write := func(t *testing.T, path, text string, mode fs.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		change  func(*kssh.Placement)
		reason  string // empty for success
		sent    bool
	}{
		{"a new file is sent", nil, nil, "", true},
		{"a file with the right content is left alone", func(t *testing.T, dir string) { write(t, dir+"/f", string(content), 0o755) }, nil, "", false},
		{"a file with other content of the same size is replaced", func(t *testing.T, dir string) { write(t, dir+"/f", "the wrong content", 0o755) }, nil, "", true},
		{"a file with the wrong mode is replaced", func(t *testing.T, dir string) { write(t, dir+"/f", string(content), 0o777) }, nil, "", true},
		{"a symbolic link is replaced and not followed", func(t *testing.T, dir string) {
			write(t, dir+"/victim", "the wrong content", 0o644)
			if err := os.Symlink(dir+"/victim", dir+"/f"); err != nil {
				t.Fatal(err)
			}
		}, nil, "", true},
		{"a directory in its place is refused", func(t *testing.T, dir string) { _ = os.Mkdir(dir+"/f", 0o755) }, nil, "a directory is in the way", false},
		{"a file where its directory should be is refused", nil,
			func(p *kssh.Placement) { p.Path = "/etc/passwd/f" }, "cannot be made", false},
		{"a directory that others can write to is refused", func(t *testing.T, dir string) { _ = os.Chmod(dir, 0o777) }, nil, "writable by other users", false},
		{"a directory that the group can write to is refused", func(t *testing.T, dir string) { _ = os.Chmod(dir, 0o775) }, nil, "writable by other users", false},
		{"a directory like /tmp is refused", func(t *testing.T, dir string) { _ = os.Chmod(dir, 0o777|fs.ModeSticky) }, nil, "writable by other users", false},
		{"a directory below one that everybody can write to is refused", func(t *testing.T, dir string) { _ = os.Chmod(dir, 0o777) },
			func(p *kssh.Placement) { p.Path = filepath.Dir(p.Path) + "/sub/f" }, "writable by everybody", false},
		{"a directory that is a symbolic link is refused", func(t *testing.T, dir string) {
			if err := os.Symlink(dir, dir+"/link"); err != nil {
				t.Fatal(err)
			}
		}, func(p *kssh.Placement) { p.Path = filepath.Dir(p.Path) + "/link/f" }, "symbolic link", false},
		{"content that does not match the digest leaves nothing", nil, func(p *kssh.Placement) {
			p.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("the wrong content")), nil }
		}, "the content that arrived has digest " + digest([]byte("the wrong content")), false},
		{"content that is too short leaves nothing", nil, func(p *kssh.Placement) {
			p.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("the")), nil }
		}, "only 3 bytes", false},
		{"content that cannot be opened leaves nothing", nil, func(p *kssh.Placement) {
			p.Open = func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }
		}, "cannot be opened", false},
		{"content that cannot be read leaves nothing", nil, func(p *kssh.Placement) {
			p.Open = func() (io.ReadCloser, error) { return io.NopCloser(&failing{}), nil }
		}, "cannot be read: the tape is torn", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if tc.prepare != nil {
				tc.prepare(t, dir)
			}
			before := others(t, dir, "f")
			s := shellServer(t, "/bin/sh")
			c := dial(t, target(s))
			opened := 0
			p := placement(dir+"/f", content, &opened)
			if tc.change != nil {
				tc.change(&p)
			}
			var err error
			soon(t, "Place", func() { err = c.Place(t.Context(), p) })
			if tc.reason != "" {
				var place *kssh.PlaceError
				if !errors.As(err, &place) || !strings.Contains(err.Error(), tc.reason) || place.Host != "n1" || place.Path != p.Path || kssh.IsRetryable(err) {
					t.Fatalf("got %v", err)
				}
				s.Await(t, "the script has ended", func() bool { return s.Running() == 0 })
			} else if err != nil {
				t.Fatal(err)
			}
			if (opened > 0) != tc.sent {
				t.Errorf("the content was opened %d times", opened)
			}
			if tc.reason == "" {
				got, err := os.ReadFile(p.Path)
				info, _ := os.Lstat(p.Path)
				if err != nil || !bytes.Equal(got, content) || info.Mode() != 0o755 {
					t.Errorf("there is %q, %v, %v", got, info.Mode(), err)
				}
			}
			if after := others(t, dir, "f"); strings.Join(after, " ") != strings.Join(before, " ") {
				t.Errorf("the directory had %v and has %v", before, after)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the tape is torn") }

func TestPlaceWithSudo(t *testing.T) {
	shell := sshtest.Shell("/bin/sh", "PATH="+os.Getenv("PATH"))
	s := server(t, func(c *sshtest.Config) { c.Handler = sshtest.Sudo{Password: hard}.Handler(shell) })
	to := target(s)
	to.Sudo = kssh.Sudo{Mode: kssh.SudoPassword, Password: hard}
	content := bytes.Repeat([]byte{1, 2, 3, '\n'}, 1<<18)
	opened := 0
	p := placement(filepath.Join(t.TempDir(), "d", "f"), content, &opened)
	if err := dial(t, to).Place(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(p.Path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes are there: %v", len(got), err)
	}
	to.Sudo.Password = "other"
	var sudo *kssh.SudoError
	if err := dial(t, to).Place(t.Context(), p); !errors.As(err, &sudo) || sudo.Reason != kssh.WrongPassword {
		t.Errorf("got %v", err)
	}
}

func TestAPlacementThatIsCutOff(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	dir := filepath.Join(t.TempDir(), "d")
	s := shellServer(t, "/bin/sh")
	opened := 0
	p := placement(dir+"/f", content, &opened)
	noRubbish := func(t *testing.T) {
		t.Helper()
		s.Await(t, "the script has ended", func() bool { return s.Running() == 0 })
		// What the next try goes on with may stay.
		if left := others(t, dir, ".kubewright."+digest(content)+".part"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	t.Run("by a lost connection leaves no file", func(t *testing.T) {
		s.SetFaults(sshtest.Faults{DropAfterReceived: 1 << 20})
		c := dial(t, target(s))
		s.SetFaults(sshtest.Faults{})
		var err error
		soon(t, "Place", func() { err = c.Place(t.Context(), p) })
		var lost *kssh.ConnectionLostError
		if !errors.As(err, &lost) || !kssh.IsRetryable(err) {
			t.Fatalf("got %v", err)
		}
		noRubbish(t)
	})
	t.Run("by a connection that stalls ends with the keepalive", func(t *testing.T) {
		s.SetFaults(sshtest.Faults{StallAfterReceived: 1 << 20})
		c := dial(t, quick(target(s)))
		s.SetFaults(sshtest.Faults{})
		var err error
		soon(t, "Place", func() { err = c.Place(t.Context(), p) })
		var lost *kssh.ConnectionLostError
		if !errors.As(err, &lost) {
			t.Fatalf("got %v", err)
		}
		s.DropAll()
		noRubbish(t)
	})
	t.Run("by cancelling ends at once", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := dial(t, target(s))
		q := p
		q.Open = func() (io.ReadCloser, error) {
			cancel()
			return io.NopCloser(struct{ io.Reader }{zeros{}}), nil
		}
		var err error
		soon(t, "Place", func() { err = c.Place(ctx, q) })
		if !errors.Is(err, context.Canceled) || c.Err() != nil {
			t.Fatalf("got %v", err)
		}
		_ = c.Close()
		noRubbish(t)
	})
	t.Run("succeeds when it is tried again", func(t *testing.T) {
		if err := dial(t, target(s)).Place(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(p.Path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes are there: %v", len(got), err)
		}
	})
}

func TestALoginShellThatPrintsIsToldApartFromThePlacingScript(t *testing.T) {
	shell := sshtest.Shell("/bin/sh", "PATH="+os.Getenv("PATH"))
	s := server(t, func(c *sshtest.Config) {
		c.Handler = func(e *sshtest.Exec) int {
			_, _ = io.WriteString(e.Stdout, "present\nerror welcome to n1\n")
			return shell(e)
		}
	})
	opened := 0
	p := placement(filepath.Join(t.TempDir(), "f"), []byte("x"), &opened)
	if err := dial(t, target(s)).Place(t.Context(), p); err != nil || opened != 1 {
		t.Fatalf("got %v, sent %d times", err, opened)
	}
}

func TestRunHelperKnowsWhetherTheProgramCanRun(t *testing.T) {
	dir := t.TempDir()
	program := func(name, text string, mode fs.FileMode) string {
		if err := os.WriteFile(dir+"/"+name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	for _, tc := range []struct {
		name, path string
		status     int
	}{
		{"one that waits for input without a word is running", program("silent", "#!/bin/sh\n[ $1 = version ] || cat\n", 0o755), 0},
		{"one that is not there has status 127", dir + "/none", 127},
		{"one that is not executable has status 127", program("plain", "#!/bin/sh\n", 0o644), 127},
		{"one for another platform has status 126", program("foreign", "\x7fELF\x02\x01\x01\x00", 0o755), 126},
		{"one that fails at once has status 126", program("failing", "#!/bin/sh\necho a library is missing >&2; exit 1\n", 0o755), 126},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, target(shellServer(t, "/bin/sh")))
			var p *kssh.Process
			var err error
			soon(t, "RunHelper", func() { p, err = c.RunHelper(t.Context(), kssh.Command{Path: tc.path, Args: []string{"serve"}}) })
			if tc.status != 0 {
				var exit *kssh.ExitError
				if !errors.As(err, &exit) || exit.Status != tc.status || exit.Stderr == "" {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(p.Stdin, "echo")
			_ = p.Stdin.Close()
			if out, err := io.ReadAll(p.Stdout); err != nil || string(out) != "echo" {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

func TestPlacementsThatCannotBe(t *testing.T) {
	s := shellServer(t, "/bin/sh")
	c := dial(t, target(s))
	for name, change := range map[string]func(*kssh.Placement){
		"a path with a command in it":   func(p *kssh.Placement) { p.Path = "/opt/x;reboot" },
		"a path with a quote in it":     func(p *kssh.Placement) { p.Path = "/opt/x'y" },
		"a relative path":               func(p *kssh.Placement) { p.Path = "opt/x" },
		"a path that climbs":            func(p *kssh.Placement) { p.Path = "/opt/../etc/x" },
		"a path below the root":         func(p *kssh.Placement) { p.Path = "/x" },
		"a digest that is none":         func(p *kssh.Placement) { p.Digest = "$(reboot)" },
		"a digest with upper case":      func(p *kssh.Placement) { p.Digest = strings.Repeat("A", 64) },
		"a size of nothing":             func(p *kssh.Placement) { p.Size = 0 },
		"a mode with setuid":            func(p *kssh.Placement) { p.Mode = 0o755 | fs.ModeSetuid },
		"a mode that lets others write": func(p *kssh.Placement) { p.Mode = 0o757 },
		"no content":                    func(p *kssh.Placement) { p.Open = nil },
	} {
		t.Run(name, func(t *testing.T) {
			opened := 0
			p := placement("/opt/kubewright-test/x", []byte("x"), &opened)
			change(&p)
			var bad *kssh.TargetError
			if err := c.Place(t.Context(), p); !errors.As(err, &bad) || bad.Host != "n1" {
				t.Fatalf("got %v", err)
			}
		})
	}
	if got := s.Commands(); len(got) > 0 {
		t.Errorf("ran %v", got)
	}
}
