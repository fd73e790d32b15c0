//go:build e2e

package install

import (
	"regexp"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// TestAHostBehindABastionGetsItsContentThroughIt installs on hosts with a password for login and sudo, one of them reached only through
// the other. Keys are recorded on first use.
func TestAHostBehindABastionGetsItsContentThroughIt(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "bastion", fixture.Options{
		ControlPlanes: []string{"n1"}, Workers: []string{"n2"}, User: "pw",
		Edit: func(kind string, object map[string]any) {
			spec, _ := object["spec"].(map[string]any)
			if kind != "Host" {
				return
			}
			spec["hostKeys"] = map[string]any{"policy": "TrustOnFirstUse", "passwordOnFirstUse": true}
			if object["metadata"].(map[string]any)["name"] == "n2" {
				spec["bastionRef"] = map[string]any{"name": "n1"}
			}
		},
	})
	out := mustUp(t, ctx, fleet, i)
	t.Log(tail(out, 10))
	if nodes := kubectl(t, ctx, i, "get", "nodes", "--no-headers"); strings.Count(nodes, " Ready ") != 2 {
		t.Errorf("nodes are\n%s", nodes)
	}
	// The far host has seen logins from the bastion only.
	from := run(t, ctx, fleet, "n2", "journalctl", "--unit=ssh.service", "--no-pager", "--output=cat")
	bastion, err := fleet.Host("n1")
	if err != nil {
		t.Fatal(err)
	}
	for _, login := range regexp.MustCompile(`Accepted \w+ for pw from (\S+)`).FindAllStringSubmatch(from, -1) {
		if login[1] != bastion.Address.String() {
			t.Errorf("n2 was reached from %s, not through the bastion", login[1])
		}
	}
	for _, host := range []string{"n1", "n2"} {
		for _, dir := range []string{"/var/lib/kubewright", "/var/lib/kubewright-helper", "/var/log"} {
			if out, err := fleet.Exec(ctx, host, "grep", "--recursive", "--files-with-matches", "--fixed-strings", fleet.Password("pw"), dir); err == nil {
				t.Errorf("the password stands on %s in %s", host, out)
			}
		}
	}
}
