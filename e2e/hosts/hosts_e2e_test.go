//go:build e2e

package hosts

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bootFleet boots a fleet for one test. Its name is fixed, so that a run that crashed is cleaned up by the next one.
func bootFleet(t *testing.T, name string, count int) (*Fleet, Options) {
	t.Helper()
	o := Options{Name: name, Count: count, StateDir: filepath.Join(t.TempDir(), name), Log: t.Logf}
	begin := time.Now()
	fleet, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d hosts booted in %s", count, time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := fleet.Down(ctx); err != nil {
			t.Errorf("remove the fleet: %v", err)
		}
	})
	return fleet, o
}

// run runs a program on a host through the engine and returns its trimmed output.
func run(t *testing.T, f *Fleet, host string, argv ...string) string {
	t.Helper()
	text, err := f.Exec(t.Context(), host, argv...)
	if err != nil {
		t.Errorf("%s on %s: %v", strings.Join(argv, " "), host, err)
	}
	return strings.TrimSpace(string(text))
}

// overSSH logs in and runs a command line, with something on its standard input.
func overSSH(t *testing.T, f *Fleet, host, user, line, stdin string) (string, error) {
	t.Helper()
	client, err := f.Dial(t.Context(), host, user)
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Close() }()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer func() { _ = session.Close() }()
	session.Stdin = strings.NewReader(stdin)
	text, err := session.CombinedOutput(line)
	return strings.TrimSpace(string(text)), err
}

func TestAHostLooksLikeAFreshAirGappedServer(t *testing.T) {
	f, _ := bootFleet(t, "hosts-look", 2)

	t.Run("systemd runs and nothing has failed", func(t *testing.T) {
		for _, host := range f.Hosts() {
			if got := run(t, f, host.Name, "systemctl", "is-system-running"); got != "running" {
				t.Errorf("%s is %q", host.Name, got)
			}
		}
	})
	t.Run("there is no default route, and nothing outside is reachable", func(t *testing.T) {
		for _, family := range []string{"-4", "-6"} {
			if got := run(t, f, "n1", "ip", family, "route", "show", "default"); got != "" {
				t.Errorf("default route %q", got)
			}
		}
		// An address of the documentation range, so nobody's machine is tried.
		_, err := f.Exec(t.Context(), "n1", "ip", "route", "get", "192.0.2.1")
		var failed *CommandError
		if !errors.As(err, &failed) || !strings.Contains(failed.Stderr, "unreachable") {
			t.Errorf("a route to outside: %v", err)
		}
	})
	t.Run("even a host that sets a default route itself does not get out", func(t *testing.T) {
		run(t, f, "n2", "ip", "route", "add", "default", "via", f.Gateway.String())
		defer run(t, f, "n2", "ip", "route", "flush", "default")
		rules, err := command(t.Context(), nil, "iptables", "-S")
		if err != nil {
			t.Skipf("cannot look at the packet filter: %v", err)
		}
		if want := "! -d " + f.Subnet.String(); !strings.Contains(string(rules), want) {
			t.Errorf("no rule drops what leaves the network (%s):\n%s", want, rules)
		}
	})
	t.Run("the nameserver is no loopback address", func(t *testing.T) {
		if got := run(t, f, "n1", "cat", "/etc/resolv.conf"); got != "nameserver "+f.Gateway.String() {
			t.Errorf("resolv.conf %q", got)
		}
	})
	t.Run("names and machine ids are each host's own", func(t *testing.T) {
		if one, two := run(t, f, "n1", "cat", "/etc/machine-id"), run(t, f, "n2", "cat", "/etc/machine-id"); one == two || len(one) != 32 {
			t.Errorf("machine ids %q and %q", one, two)
		}
		if got := run(t, f, "n2", "hostname"); got != "n2" {
			t.Errorf("hostname %q", got)
		}
	})
	t.Run("hosts reach each other", func(t *testing.T) {
		client, err := f.Dial(t.Context(), "n1", "root")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		conn, err := client.Dial("tcp", net.JoinHostPort(f.Hosts()[1].Address.String(), "22"))
		if err != nil {
			t.Fatal(err)
		}
		greeting := make([]byte, 4)
		if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "SSH-" {
			t.Errorf("greeting %q, %v", greeting, err)
		}
	})
	t.Run("users log in and become root in their own ways", func(t *testing.T) {
		for name, test := range map[string]struct{ user, line, stdin string }{
			"root by key":                      {"root", "id -u", ""},
			"ops by key, sudo unasked":         {"ops", "sudo -n id -u", ""},
			"pw by password, sudo by password": {"pw", "sudo -S -p '' id -u", HardPassword + "\n"},
		} {
			t.Run(name, func(t *testing.T) {
				if got, err := overSSH(t, f, "n1", test.user, test.line, test.stdin); got != "0" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	})
	t.Run("a wrong password opens neither login nor sudo", func(t *testing.T) {
		if got, err := overSSH(t, f, "n1", "pw", "sudo -S -p '' id -u", "wrong\n"); err == nil {
			t.Errorf("sudo with a wrong password: %q", got)
		}
		wrong := &Fleet{Name: f.Name, KeyPath: f.KeyPath, hosts: f.Hosts(), Users: []User{{Name: "pw", Password: "wrong"}}}
		if client, err := wrong.Dial(t.Context(), "n1", "pw"); err == nil {
			_ = client.Close()
			t.Error("a wrong password logged in")
		}
	})
	t.Run("a host shows the keys that the fleet lists, and no others are accepted", func(t *testing.T) {
		keys := run(t, f, "n1", "cat", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ecdsa_key.pub")
		if want := strings.Join(f.Hosts()[0].HostKeys, "\n"); keys != want {
			t.Errorf("keys\n%s\nwant\n%s", keys, want)
		}
		swapped := f.Hosts()
		swapped[0].HostKeys = swapped[1].HostKeys
		impostor := &Fleet{Name: f.Name, KeyPath: f.KeyPath, hosts: swapped}
		if client, err := impostor.Dial(t.Context(), "n1", "root"); err == nil {
			_ = client.Close()
			t.Error("a host with another key was accepted")
		}
	})
	t.Run("no password is left in the clear", func(t *testing.T) {
		if got := run(t, f, "n1", "ls", "/etc/e2e-host"); got != "resolv.conf" {
			t.Errorf("/etc/e2e-host holds %q", got)
		}
		text, err := docker(t.Context(), "inspect", f.Hosts()[0].Container)
		if err != nil || strings.Contains(string(text), "PASS") {
			t.Errorf("the container's description holds a password, or %v", err)
		}
	})
	t.Run("state directories are no overlay, cgroups can be written, mounts are shared", func(t *testing.T) {
		for _, path := range stateVolumes {
			if got := run(t, f, "n1", "stat", "-f", "-c", "%T", path); got == "overlayfs" {
				t.Errorf("%s is on %s", path, got)
			}
		}
		if got := run(t, f, "n1", "findmnt", "-n", "-o", "PROPAGATION", "/"); got != "shared" {
			t.Errorf("/ is %q", got)
		}
		run(t, f, "n1", "systemd-run", "--wait", "--quiet", "-p", "MemoryMax=64M", "true")
	})
}

func TestAHostSurvivesWhatIsDoneToIt(t *testing.T) {
	f, o := bootFleet(t, "hosts-faults", 1)
	ctx := t.Context()
	before := f.Hosts()[0]
	deaf := func() bool {
		inner, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return banner(inner, before.Address) != nil
	}

	t.Run("killed and started again it has its address, key, disks and no default route", func(t *testing.T) {
		if err := f.WriteFile(ctx, "n1", "/var/lib/etcd/deep/proof", 0o600, []byte(`it's "there"`)); err != nil {
			t.Fatal(err)
		}
		if err := f.Kill(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if !deaf() {
			t.Error("a killed host answers")
		}
		begin := time.Now()
		if err := f.Start(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		t.Logf("started again in %s", time.Since(begin).Round(time.Millisecond))
		if got, err := overSSH(t, f, "n1", "root", "cat /var/lib/etcd/deep/proof; ip route show default; cat /etc/resolv.conf", ""); err != nil || got != `it's "there"nameserver `+f.Gateway.String() {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("paused it keeps connections and says nothing", func(t *testing.T) {
		if err := f.Pause(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if !deaf() {
			t.Error("a paused host answers")
		}
		if err := f.Unpause(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if err := waitBanner(ctx, before); err != nil {
			t.Error(err)
		}
	})
	t.Run("disconnected it cannot be reached, and connected again it has its address and no default route", func(t *testing.T) {
		if err := f.Disconnect(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if !deaf() {
			t.Error("a disconnected host answers")
		}
		if err := f.Connect(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		if err := waitBanner(ctx, before); err != nil {
			t.Error(err)
		}
		if got := run(t, f, "n1", "ip", "route", "show", "default"); got != "" {
			t.Errorf("default route %q", got)
		}
	})
	t.Run("a host with a small disk can be added, and removed without a trace", func(t *testing.T) {
		added, err := f.Add(ctx, HostSpec{Name: "small", Tmpfs: map[string]string{"/var/lib/containerd": "32m"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, f, "small", "stat", "-f", "-c", "%T %b %S", "/var/lib/containerd"); got != "tmpfs 8192 4096" {
			t.Errorf("file system, blocks, block size: %q", got)
		}
		if _, err := f.Add(ctx, HostSpec{Name: "small"}); err == nil {
			t.Error("two hosts of one name")
		}
		if err := f.Remove(ctx, "small"); err != nil {
			t.Fatal(err)
		}
		if exists, _ := docker(ctx, "ps", "-aq", "--filter", "name="+added[0].Container); len(exists) > 0 {
			t.Error("the container is still there")
		}
		if _, err := f.Host("small"); !errors.Is(err, ErrNoHost) {
			t.Errorf("error %v, want ErrNoHost", err)
		}
	})
	t.Run("what runs on it fails with its own exit code and words", func(t *testing.T) {
		_, err := f.Exec(ctx, "n1", "bash", "-c", "echo why >&2; exit 7")
		var failed *CommandError
		if !errors.As(err, &failed) || failed.ExitCode != 7 || strings.TrimSpace(failed.Stderr) != "why" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("another process finds the fleet", func(t *testing.T) {
		found, err := Open(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if host, err := found.Host("n1"); err != nil || host.Address != before.Address || found.Gateway != f.Gateway {
			t.Errorf("found %+v, %v", host, err)
		}
		client, err := found.Dial(ctx, "n1", "pw")
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
	})
}

func TestAFleetReplacesWhatACrashedRunLeftAndDownLeavesNothing(t *testing.T) {
	f, o := bootFleet(t, "hosts-crash", 1)
	ctx := t.Context()
	old := f.Hosts()[0]
	// The crashed run's files are lost, only what carries the label is left.
	if err := os.RemoveAll(o.StateDir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, o); !errors.Is(err, ErrNoFleet) {
		t.Errorf("error %v, want ErrNoFleet", err)
	}
	f, err := Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if now := f.Hosts()[0]; now.HostKeys[0] == old.HostKeys[0] || now.Address != old.Address {
		t.Errorf("the host is %+v, before it was %+v: want a new one at the old address", now, old)
	}
	kept, err := Ensure(ctx, o)
	if err != nil || kept.Hosts()[0].HostKeys[0] != f.Hosts()[0].HostKeys[0] {
		t.Errorf("a healthy fleet was not kept: %v", err)
	}
	volumes, err := docker(ctx, "inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", old.Container)
	if err != nil {
		t.Fatal(err)
	}
	if len(strings.Fields(string(volumes))) != len(stateVolumes) {
		t.Errorf("volumes %q, want %d", volumes, len(stateVolumes))
	}
	if err := Down(ctx, o); err != nil {
		t.Fatal(err)
	}
	for _, volume := range strings.Fields(string(volumes)) {
		if _, err := docker(ctx, "volume", "inspect", volume); err == nil {
			t.Errorf("volume %s is still there", volume)
		}
	}
	for _, kind := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q"}} {
		left, err := docker(ctx, append(kind, "--filter", "label="+labelFleet+"="+o.Name)...)
		if err != nil || len(left) > 0 {
			t.Errorf("left: %s, %v", left, err)
		}
	}
	if _, err := os.Stat(o.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory is still there: %v", err)
	}
	if err := Down(ctx, o); err != nil {
		t.Errorf("down of nothing: %v", err)
	}
}
