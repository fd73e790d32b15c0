package hosts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestWithoutAnEngineTheErrorSaysWhatToDo(t *testing.T) {
	const nowhere = "unix:///nonexistent/kubewright.sock"
	advice := "docker.io iptables missing, and this is neither Debian nor Ubuntu: install it by hand"
	if os.Geteuid() != 0 {
		advice = "run this as root on Debian or Ubuntu to have Docker installed and started, or start Docker and give this user access to it"
	}
	for name, test := range map[string]struct {
		host string
		want []string
	}{
		"the engine that DOCKER_HOST names is not exchanged for another one": {nowhere, []string{"DOCKER_HOST is " + nowhere, "start that engine or unset DOCKER_HOST"}},
		"nothing can be installed": {"", []string{advice}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DOCKER_HOST", test.host)
			t.Setenv("PATH", t.TempDir()) // neither docker nor anything that could install it
			err := EnsureEngine(t.Context(), EngineOptions{Dir: t.TempDir()})
			if !errors.Is(err, ErrNoEngine) {
				t.Fatalf("got %v, want an ErrNoEngine", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

func TestOnlyAnEngineOfOursIsStopped(t *testing.T) {
	t.Run("no engine was started by us", func(t *testing.T) {
		stopped, err := StopEngine(t.Context(), EngineOptions{Dir: t.TempDir()})
		if stopped || err != nil {
			t.Errorf("stopped %v, error %v", stopped, err)
		}
	})
	t.Run("the process id belongs to somebody else by now", func(t *testing.T) {
		other := exec.Command("cat")
		stdin, err := other.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		o := EngineOptions{Dir: t.TempDir()}
		if err := os.WriteFile(o.pidFile(), []byte(strconv.Itoa(other.Process.Pid)), 0o600); err != nil {
			t.Fatal(err)
		}
		stopped, err := StopEngine(t.Context(), o)
		if stopped || err != nil {
			t.Errorf("stopped %v, error %v", stopped, err)
		}
		if err := stdin.Close(); err != nil {
			t.Fatal(err)
		}
		// Had it been signalled, it would not have ended well.
		if err := other.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
		if _, err := os.Stat(o.pidFile()); err == nil {
			t.Error("the stale process id was kept")
		}
	})
	t.Run("a process id that would signal everybody is refused", func(t *testing.T) {
		for _, text := range []string{"-1", "0", "1", "dockerd", ""} {
			o := EngineOptions{Dir: t.TempDir()}
			if err := os.WriteFile(filepath.Join(o.Dir, "dockerd.pid"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if stopped, err := StopEngine(t.Context(), o); stopped || err == nil {
				t.Errorf("%q: stopped %v, error %v", text, stopped, err)
			}
		}
	})
}
