//go:build e2e

package badinput

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
)

// asPasswordUser logs in with a password, which sudo asks for as well.
func asPasswordUser(_ *testing.T, _ *world, _ *attempt, o *fixture.Options) []string {
	o.User = "pw"
	return nil
}

func (w *world) testHardPassword(t *testing.T) {
	a, o := w.attempt(t, "badinput"), w.options()
	o.User = "pw"
	if err := a.Describe(w.fleet, o); err != nil {
		t.Fatal(err)
	}
	before := w.look(t)
	output, code := a.call(t, "plan")
	if code != 0 {
		t.Errorf("it ended with code %d", code)
	}
	for _, text := range []string{"n1\n", "n2\n", "control-plane/init", "node/join"} {
		if !strings.Contains(output, text) {
			t.Errorf("the plan does not show %q", text)
		}
	}
	if strings.Contains(output, hosts.HardPassword) {
		t.Error("the password was printed")
	}
	requireSame(t, before, w.look(t))
}

func (w *world) testRecordedKeyChanges(t *testing.T) {
	a, o := w.attempt(t, "badinput"), w.options()
	o.User = "pw"
	o.Edit = func(kind string, object map[string]any) {
		if kind == "Host" {
			object["spec"].(map[string]any)["hostKeys"] = map[string]any{"policy": "TrustOnFirstUse", "passwordOnFirstUse": true}
		}
	}
	if err := a.Describe(w.fleet, o); err != nil {
		t.Fatal(err)
	}
	// Something else is wrong the first time, so that the keys are recorded and nothing is installed.
	w.listen(t, "n1", 6443)
	a.refused(t, failed, "n1: host/preflight: Port-6443")

	w.exec(t, "n2", "bash", "-c", "mkdir /etc/ssh/old && mv /etc/ssh/ssh_host_* /etc/ssh/old/ && ssh-keygen -A && systemctl restart ssh")
	t.Cleanup(func() {
		w.exec(t, "n2", "bash", "-c", "rm /etc/ssh/ssh_host_* && mv /etc/ssh/old/* /etc/ssh/ && rmdir /etc/ssh/old && systemctl restart ssh")
	})
	logins := w.logins(t, "n2")
	if !strings.Contains(logins, "Accepted password for pw") {
		t.Fatalf("sshd's log does not show the first login, so it would show no other: %s", logins)
	}
	output := a.refused(t, failed, "n2: host/connect: HostKeyChanged", "the host key changed", "no credential was sent", "n1: host/preflight: Port-6443")
	if strings.Contains(output, hosts.HardPassword) {
		t.Error("the password was printed")
	}
	if now := w.logins(t, "n2"); now != logins {
		t.Errorf("n2 was offered a credential:\n%s", now)
	}
}

// logins are what sshd of a host wrote about credentials it was offered.
func (w *world) logins(t *testing.T, host string) string {
	t.Helper()
	return w.exec(t, host, "bash", "-c", "journalctl --unit ssh --output cat --no-pager | grep -E '^(Accepted|Failed|Postponed)' || true")
}

func (w *world) testClaimedHost(t *testing.T) {
	a, o := w.attempt(t, "first"), w.options()
	if err := a.Describe(w.fleet, o); err != nil {
		t.Fatal(err)
	}
	// The first Cluster does not come up, but it is the one that has the hosts.
	w.listen(t, "n1", 6443)
	a.refused(t, failed, "n1: host/preflight: Port-6443")
	a.Name = "second"
	if err := a.Describe(w.fleet, o); err != nil {
		t.Fatal(err)
	}
	a.refused(t, failed, "cluster default/second", "host n1 is claimed by cluster first", "host n2 is claimed by cluster first", "take it out of one of the two")
}

// afterError is what follows "Error:".
func afterError(output string) string {
	_, after, _ := strings.Cut(output, "Error: ")
	return after
}

func cleanup(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
