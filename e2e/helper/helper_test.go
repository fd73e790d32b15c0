//go:build e2e

package helper

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/client"
)

const remoteHelper = "/root/kubewright-host-test"

var owner = api.Owner{ClusterName: "on-host-test", ClusterUID: "on-host-test"}

type machine struct{ ssh []string }

// dial boots a host and places a fresh helper on it.
func dial(t *testing.T) *machine {
	t.Helper()
	fleet, err := hosts.Up(t.Context(), hosts.Options{Name: "helper", Count: 1, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := fleet.Down(context.Background()); err != nil {
			t.Errorf("take the fleet down: %v", err)
		}
	})
	host := fleet.Hosts()[0]
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(host.Address.String()+" "+host.HostKeys[0]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &machine{ssh: []string{"ssh", "-i", fleet.KeyPath, "-o", "UserKnownHostsFile=" + known, "-o", "BatchMode=yes", "-l", "root", host.Address.String()}}
	bin := filepath.Join(t.TempDir(), "kubewright-host")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "../../cmd/kubewright-host")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the helper: %v\n%s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	m.run(t, data, "cat > "+remoteHelper+" && chmod 755 "+remoteHelper)
	return m
}

func (m *machine) run(t *testing.T, stdin []byte, command string) string {
	t.Helper()
	cmd := exec.Command(m.ssh[0], append(slices.Clone(m.ssh[1:]), command)...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

type pipe struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

func (p *pipe) Close() error {
	_ = p.WriteCloser.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	return nil
}

func (m *machine) connect(t *testing.T, operation string) *client.Client {
	t.Helper()
	return m.open(t, client.Options{Operation: operation, Holder: t.Name()})
}

func (m *machine) open(t *testing.T, opts client.Options) *client.Client {
	t.Helper()
	cmd := exec.Command(m.ssh[0], append(slices.Clone(m.ssh[1:]), remoteHelper+" serve")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(t.Context(), &pipe{Reader: out, WriteCloser: in, cmd: cmd}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (m *machine) changing(t *testing.T, operation string) *client.Client {
	t.Helper()
	c := m.connect(t, operation)
	if _, err := c.AcquireLease(t.Context(), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	return c
}

func request(rs ...api.Resource) api.ApplyRequest {
	return api.ApplyRequest{Step: "on-host", Owner: owner, Resources: rs}
}

func TestFactsOfARealMachine(t *testing.T) {
	m := dial(t)
	start := time.Now()
	c := m.connect(t, "facts")
	f, err := c.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("connected with facts in %s: %+v", time.Since(start), f)
	if f.SystemdVersion == 0 || f.Cgroup == "" || f.MachineID == "" || f.UID != 0 || f.Kernel == "" {
		t.Errorf("facts are incomplete: %+v", f)
	}
	if !slices.ContainsFunc(f.Listening, func(l api.Listening) bool { return l.Port == 22 && l.Process == "sshd" }) {
		t.Errorf("sshd is not seen listening: %+v", f.Listening)
	}
	start = time.Now()
	if _, err := c.Facts(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("facts again in %s", time.Since(start))
}

func TestACommandOutlivesItsHelperAndIsAttachedToNotRunTwice(t *testing.T) {
	m := dial(t)
	const script = `echo begin; echo run >> /root/kw-runs; for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done; cat "$1"; touch /root/kw-made`
	command := api.Resource{ID: "long", Command: &api.Command{
		Name: "long", Key: "k1", Argv: []string{"/bin/sh", "-c", script, "sh", "/run/kubewright/long/secret"},
		Files:   []api.CommandFile{{Path: "secret", Content: []byte("a-very-secret-thing\n"), Secret: true}},
		Creates: []string{"/root/kw-made"}, Owns: []string{"/root/kw-runs"},
	}}
	first := m.changing(t, "op-1")
	started := make(chan struct{})
	lost := make(chan error, 1)
	go func() {
		seen := false
		_, err := first.Apply(context.Background(), request(command), func(p api.Progress) {
			if p.Message == "line 2" && !seen {
				seen = true
				close(started)
			}
		})
		lost <- err
	}()
	<-started
	m.run(t, nil, `for p in $(pgrep -f "`+remoteHelper+` [s]erve"); do kill -9 $p; done`)
	var lostErr *client.LostError
	if err := <-lost; !errors.As(err, &lostErr) {
		t.Fatalf("got %v, want a LostError", err)
	}

	second := m.changing(t, "op-2")
	vs, err := second.Check(t.Context(), api.CheckRequest{Resources: []api.Resource{command}})
	if err != nil || !vs[0].Running {
		t.Fatalf("the command is not seen running: %+v, %v", vs, err)
	}
	var lines []string
	vs, err = second.Apply(t.Context(), request(command), func(p api.Progress) { lines = append(lines, p.Message) })
	if err != nil {
		t.Fatal(err)
	}
	if vs[0].State != api.Done || !slices.Contains(lines, "line 6") || !slices.Contains(lines, "begin") {
		t.Errorf("attached with %+v and lines %q", vs, lines)
	}
	if strings.Contains(strings.Join(lines, "\n"), "secret-thing") {
		t.Errorf("the secret is in the output: %q", lines)
	}
	if got := m.run(t, nil, "cat /root/kw-runs; ls /run/kubewright; grep -r secret-thing /var/lib/kubewright || true"); got != "run\n" {
		t.Errorf("it ran or left: %q", got)
	}
	vs, err = second.Apply(t.Context(), request(command), nil)
	if err != nil || vs[0].Changed {
		t.Errorf("again: %+v, %v", vs, err)
	}
	report, err := second.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("reset: %+v, %v", report, err)
	}
	if got := m.run(t, nil, "ls /root | grep kw- || true"); got != "" {
		t.Errorf("reset left %q", got)
	}
}

func TestAFailingCommandTellsItsExitCodeAndLastLines(t *testing.T) {
	m := dial(t)
	c := m.changing(t, "op-1")
	failing := api.Resource{ID: "f", Command: &api.Command{
		Name: "failing", Key: "k", Argv: []string{"/bin/sh", "-c", "echo run >> /root/kw-failing; echo it broke; exit 3"}, Owns: []string{"/root/kw-failing"},
	}}
	// The second attempt comes while systemd still clears up the first, and must be a run of its own.
	for range 2 {
		_, err := c.Apply(t.Context(), request(failing), nil)
		var re *api.ResourceError
		if !errors.As(err, &re) || re.ExitCode != 3 || !slices.Contains(re.Output, "it broke") {
			t.Fatalf("got %#v", err)
		}
	}
	if got := m.run(t, nil, "cat /root/kw-failing"); got != "run\nrun\n" {
		t.Errorf("it ran: %q", got)
	}
	if _, err := c.Reset(t.Context(), api.ResetRequest{}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAUnitIsStartedRestartedForNewInputsAndRemovedByReset(t *testing.T) {
	m := dial(t)
	c := m.changing(t, "op-1")
	const unitFile = "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
	unit := func(inputs, content string) []api.Resource {
		return []api.Resource{
			{ID: "file", File: &api.File{Path: "/etc/systemd/system/kw-test.service", Content: []byte(content)}},
			{ID: "unit", Unit: &api.Unit{Name: "kw-test.service", Enabled: true, Active: true, Inputs: inputs}},
		}
	}
	pid := func() string { return m.run(t, nil, "systemctl show -p MainPID --value kw-test.service") }
	if _, err := c.Apply(t.Context(), request(unit("1", unitFile)...), nil); err != nil {
		t.Fatal(err)
	}
	before := pid()
	vs, err := c.Apply(t.Context(), request(unit("1", unitFile)...), nil)
	if err != nil || vs[1].Changed || pid() != before {
		t.Errorf("again: %+v, %v", vs, err)
	}
	if _, err := c.Apply(t.Context(), request(unit("2", unitFile+"# changed\n")...), nil); err != nil {
		t.Fatal(err)
	}
	if pid() == before {
		t.Error("other inputs did not restart it")
	}
	failing := strings.Replace(unitFile, "/bin/sleep infinity", "/bin/sh -c \"echo no luck; exit 7\"", 1)
	_, err = c.Apply(t.Context(), request(unit("3", failing)...), nil)
	var re *api.ResourceError
	if !errors.As(err, &re) || !strings.Contains(strings.Join(re.Output, "\n"), "no luck") {
		t.Errorf("a failing unit: %#v", err)
	}
	report, err := c.Reset(t.Context(), api.ResetRequest{}, nil)
	if err != nil || report.Errors != 0 {
		t.Fatalf("reset: %+v, %v", report, err)
	}
	if got := m.run(t, nil, "systemctl list-unit-files kw-test.service --no-legend; systemctl list-units --all --no-legend kw-test.service; ls /etc/systemd/system/multi-user.target.wants | grep kw- || true"); got != "" {
		t.Errorf("reset left %q", got)
	}
}
