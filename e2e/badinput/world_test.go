//go:build e2e

package badinput

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

const (
	fleetName = "badinput"
	version   = "v1.36.3"
	// patience bounds one call of the program: an error that takes longer is no help to anybody.
	patience = 3 * time.Minute
)

// world is what all cases share: two hosts, the program, its bundle.
type world struct {
	fleet           *hosts.Fleet
	program, bundle string
	// dir keeps what is made once for all cases.
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	built, err := kubewright.Built(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	o := hosts.Options{Name: fleetName, Count: 2, Log: t.Logf}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := hosts.Down(ctx, o); err != nil {
			t.Errorf("remove the fleet: %v", err)
		}
	})
	fleet, err := hosts.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &world{fleet: fleet, program: built.Program, bundle: built.Bundle, dir: t.TempDir()}
}

// options describe a cluster of n1 and n2, as most cases begin with.
func (w *world) options() fixture.Options {
	return fixture.Options{Version: version, ControlPlanes: []string{"n1"}, Workers: []string{"n2"}, User: "ops"}
}

// attempt is one user at a new state directory.
type attempt struct {
	*world
	*kubewright.Installation
}

func (w *world) attempt(t *testing.T, cluster string) *attempt {
	t.Helper()
	a := &attempt{w, &kubewright.Installation{Program: w.program, Bundle: w.bundle, Dir: t.TempDir(), Name: cluster}}
	if err := w.lend(a.StateDir()); err != nil {
		t.Fatal(err)
	}
	return a
}

// lend gives a new state directory what an earlier one has.
func (w *world) lend(to string) error {
	return kubewright.ShareState(filepath.Join(w.dir, "state"), to)
}

// keep puts aside what the next state directories can use.
func (a *attempt) keep() error {
	return kubewright.ShareState(a.StateDir(), filepath.Join(a.dir, "state"))
}

// call runs the program on the described cluster.
func (a *attempt) call(t *testing.T, verb string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := a.Command(ctx, verb, "-f", a.ClusterFile(), "--bundle", a.Bundle)
	began := time.Now()
	text, err := command.CombinedOutput()
	t.Logf("kubewright %s took %s and said\n%s", verb, time.Since(began).Round(100*time.Millisecond), text)
	if ctx.Err() != nil {
		t.Fatalf("kubewright %s did not end within %s", verb, patience)
	}
	return string(text), kubewright.ExitCode(err)
}

// refused runs `kubewright up`, which must say all of says, end with code, and change nothing on hosts.
func (a *attempt) refused(t *testing.T, code int, says ...string) string {
	t.Helper()
	before := a.look(t)
	output, got := a.call(t, "up")
	if got != code {
		t.Errorf("it ended with code %d, want %d", got, code)
	}
	requireSays(t, output, says...)
	requireSame(t, before, a.look(t))
	return output
}

// requireSays wants each text in what follows "Error:", where a user looks.
func requireSays(t *testing.T, output string, says ...string) {
	t.Helper()
	parts := strings.SplitAfter(output, "Error: ")
	if len(parts) != 2 {
		t.Errorf("it reported %d errors, want one", len(parts)-1)
	}
	for _, text := range says {
		if !strings.Contains(parts[len(parts)-1], text) {
			t.Errorf("the error does not say %q", text)
		}
	}
}

func (w *world) exec(t *testing.T, host string, argv ...string) string {
	t.Helper()
	// A test's own context has ended when its cleanup runs.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	out, err := w.fleet.Exec(ctx, host, argv...)
	if err != nil {
		t.Fatalf("%s on %s: %v", strings.Join(argv, " "), host, err)
	}
	return string(out)
}

// put writes a file on a host and removes it, with the directories in gone, at the end.
func (w *world) put(t *testing.T, host, path, content string, gone ...string) {
	t.Helper()
	if err := w.fleet.WriteFile(t.Context(), host, path, 0o644, []byte(content)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.exec(t, host, append([]string{"rm", "-rf", path}, gone...)...) })
}

// listen has something accept connections on a port of a host until the end.
func (w *world) listen(t *testing.T, host string, port int) {
	t.Helper()
	unit := fmt.Sprintf("squatter-%d", port)
	w.exec(t, host, "systemd-run", "--quiet", "--collect", "--unit", unit, "systemd-socket-activate", "--listen", fmt.Sprint(port), "cat")
	t.Cleanup(func() { w.exec(t, host, "systemctl", "stop", unit) })
	w.exec(t, host, "timeout", "20", "bash", "-c", fmt.Sprintf("until ss -Hltn sport = :%d | grep -q LISTEN; do :; done", port))
}
