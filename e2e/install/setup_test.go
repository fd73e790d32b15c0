//go:build e2e

package install

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

// version every test here installs.
const version = "v1.36.3"

var controlPlanes, workers = []string{"n1", "n2", "n3"}, []string{"n4"}

// testContext ends a little before the test's own deadline, so that cleaning up still happens.
func testContext(t *testing.T) context.Context {
	t.Helper()
	deadline, ok := t.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Hour)
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(-time.Minute))
	t.Cleanup(cancel)
	return ctx
}

// prepare boots a fleet of its own for the test and describes a cluster on it.
func prepare(t *testing.T, ctx context.Context, name string, o fixture.Options) (*hosts.Fleet, *kubewright.Installation) {
	t.Helper()
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	i, err := kubewright.Built(repository)
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := hosts.Up(ctx, hosts.Options{Name: name, Count: len(o.ControlPlanes) + len(o.Workers), Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's context may have ended; what was booted goes all the same.
		if err := fleet.Down(context.Background()); err != nil {
			t.Errorf("take the fleet down: %v", err)
		}
	})
	i.Dir, i.Name = t.TempDir(), name
	o.Version = version
	if err := i.Describe(fleet, o); err != nil {
		t.Fatal(err)
	}
	return fleet, i
}

// mustUp runs `kubewright up` to its end. When it fails, so does the test, with what hosts say of it before what kubewright says.
func mustUp(t *testing.T, ctx context.Context, fleet *hosts.Fleet, i *kubewright.Installation) string {
	t.Helper()
	out, err := i.Up(ctx)
	if err != nil {
		t.Log(fleet.Evidence(ctx))
		t.Fatalf("kubewright up: %v\n%s", err, out)
	}
	return out
}

// run executes a program on a host and fails the test when it fails.
func run(t *testing.T, ctx context.Context, fleet *hosts.Fleet, host string, argv ...string) string {
	t.Helper()
	out, err := fleet.Exec(ctx, host, argv...)
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	return string(out)
}

// kubectl fails the test when the command does.
func kubectl(t *testing.T, ctx context.Context, i *kubewright.Installation, args ...string) string {
	t.Helper()
	out, err := i.Kubectl(ctx, "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// requireWholeCluster looks at the cluster with other eyes than the product's: kubectl, etcdctl and files on hosts.
func requireWholeCluster(t *testing.T, ctx context.Context, fleet *hosts.Fleet, i *kubewright.Installation) {
	t.Helper()
	nodes := kubectl(t, ctx, i, "get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
	want := "n1 " + version + " True\nn2 " + version + " True\nn3 " + version + " True\nn4 " + version + " True\n"
	if nodes != want {
		t.Errorf("nodes are\n%swant\n%s", nodes, want)
	}
	members := run(t, ctx, fleet, "n1", "/usr/local/bin/etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
		"--cert=/etc/kubernetes/pki/etcd/server.crt", "--key=/etc/kubernetes/pki/etcd/server.key", "member", "list")
	if got := strings.Count(members, "started"); got != 3 || strings.Count(members, "\n") != 3 || strings.Contains(members, ", true") {
		t.Errorf("etcd should have exactly 3 voting members, it has\n%s", members)
	}
	authority := run(t, ctx, fleet, "n1", "sha256sum", "/etc/kubernetes/pki/ca.crt")
	for _, host := range []string{"n2", "n3", "n4"} {
		if other := run(t, ctx, fleet, host, "sha256sum", "/etc/kubernetes/pki/ca.crt"); other != authority {
			t.Errorf("%s trusts another authority (%s) than n1 (%s)", host, other, authority)
		}
	}
	for _, h := range fleet.Hosts() {
		if units := run(t, ctx, fleet, h.Name, "systemctl", "list-units", "--all", "--plain", "--no-legend", "kubewright-kubeadm-*"); units != "" {
			t.Errorf("%s still has units of commands:\n%s", h.Name, units)
		}
	}
}
