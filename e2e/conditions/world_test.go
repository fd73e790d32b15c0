//go:build e2e

package conditions

import (
	"context"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
	"github.com/kubewright/kubewright/e2e/listing"
)

const (
	clusterName = "conditions"
	version     = "v1.36.3"
	// patience bounds one call of the program, which no test should come near to.
	patience = 10 * time.Minute
)

// world is what all lines share: two hosts, the program, its bundle.
type world struct {
	// fleetName is another one for each checkout, so that two can be tested side by side.
	fleetName       string
	fleet           *hosts.Fleet
	program, bundle string
	// dir keeps what is made once for all lines.
	dir string
	// spoilt says that a line failed and left hosts that nobody should build upon.
	spoilt bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	built, err := kubewright.Built(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	checkout := fnv.New32a()
	_, _ = checkout.Write([]byte(built.Program)) // a hash takes everything
	w := &world{fleetName: fmt.Sprintf("conditions-%08x", checkout.Sum32()), program: built.Program, bundle: built.Bundle, dir: t.TempDir()}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := hosts.Down(ctx, hosts.Options{Name: w.fleetName}); err != nil {
			t.Errorf("remove the fleet: %v", err)
		}
	})
	return w
}

// site is one user with a new state directory and hosts that are nobody's.
type site struct {
	*world
	*kubewright.Installation
	ctx  context.Context
	said string
}

// site boots hosts when there are none, or when the line before this one failed.
func (w *world) site(t *testing.T) *site {
	t.Helper()
	if w.fleet == nil || w.spoilt {
		fleet, err := hosts.Up(t.Context(), hosts.Options{Name: w.fleetName, Count: 2, Log: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		w.fleet, w.spoilt = fleet, false
	}
	// A test's own context has ended when its cleanup runs.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 4*patience)
	t.Cleanup(cancel)
	s := &site{world: w, ctx: ctx, Installation: &kubewright.Installation{Program: w.program, Bundle: w.bundle, Dir: t.TempDir(), Name: clusterName}}
	if err := kubewright.ShareState(filepath.Join(w.dir, "state"), s.StateDir()); err != nil {
		t.Fatal(err)
	}
	return s
}

// describe writes the user's file.
func (s *site) describe(t *testing.T, workers bool, edit fixture.Edit) {
	t.Helper()
	o := fixture.Options{Version: version, ControlPlanes: []string{"n1"}, User: "ops", Edit: edit}
	if workers {
		o.Workers = []string{"n2"}
	}
	if err := s.Describe(s.fleet, o); err != nil {
		t.Fatal(err)
	}
}

// up runs `kubewright up` to its end.
func (s *site) up(t *testing.T) (out string, code int) {
	t.Helper()
	out, code = s.call(t, "up", "-f", s.ClusterFile(), "--bundle", s.Bundle, "--kubeconfig", s.Kubeconfig())
	if err := kubewright.ShareState(s.StateDir(), filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	return out, code
}

// mustUp is up that has to succeed.
func (s *site) mustUp(t *testing.T) string {
	t.Helper()
	out, code := s.up(t)
	if code != succeeded {
		t.Fatalf("kubewright up ended with code %d\n%s", code, s.evidence())
	}
	return out
}

// mustCall is call that has to succeed.
func (s *site) mustCall(t *testing.T, args ...string) string {
	t.Helper()
	out, code := s.call(t, args...)
	if code != succeeded {
		t.Fatalf("kubewright %s ended with code %d\n%s", args[0], code, s.evidence())
	}
	return out
}

// call runs the program to its end.
func (s *site) call(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	began := time.Now()
	text, err := s.Command(ctx, args...).CombinedOutput()
	s.said = string(text)
	t.Logf("kubewright %s took %s and said\n%s", args[0], time.Since(began).Round(100*time.Millisecond), text)
	if ctx.Err() != nil {
		t.Fatalf("kubewright %s did not end within %s", args[0], patience)
	}
	return s.said, kubewright.ExitCode(err)
}

// remove gives the hosts back.
func (s *site) remove(t *testing.T) {
	t.Helper()
	if out, code := s.call(t, "delete", s.Name, "--reset", "--yes"); code != succeeded {
		t.Fatalf("kubewright delete ended with code %d\n%s", code, out)
	}
}

// kubectl runs the bundle's kubectl on the cluster.
func (s *site) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.Kubectl(s.ctx, "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exec runs a program on a host, which must succeed.
func (s *site) exec(t *testing.T, host string, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	out, err := s.fleet.Exec(ctx, host, argv...)
	if err != nil {
		t.Fatalf("%s on %s: %v", strings.Join(argv, " "), host, err)
	}
	return string(out)
}

// put writes a file on a host and removes it, with the paths in gone, at the end.
func (s *site) put(t *testing.T, host, path, content string, gone ...string) {
	t.Helper()
	if err := s.fleet.WriteFile(s.ctx, host, path, 0o644, []byte(content)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.exec(t, host, append([]string{"rm", "-rf", path}, gone...)...) })
}

// evidence is what the hosts themselves say.
func (s *site) evidence() string { return s.fleet.Evidence(s.ctx) }

// remains lists what the hosts are made of.
func (s *site) remains(t *testing.T) listing.View {
	t.Helper()
	v, err := listing.Take(s.ctx, s.fleet, listing.Remains)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// requireSame fails when a host looks different from before.
func requireSame(t *testing.T, before, after listing.View) {
	t.Helper()
	for _, difference := range listing.Differences(before, after) {
		t.Error(difference)
	}
}
