//go:build e2e

package install

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

// badInput is the exit code for input that was refused before anything was done.
const badInput = 2

// TestABaseAndADeltaInstallHostsThatReachNothing installs from two files that only together are a bundle, on hosts that reach nobody but
// each other: all content has to come through the connections to their sshd.
func TestABaseAndADeltaInstallHostsThatReachNothing(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "delta", fixture.Options{ControlPlanes: []string{"n1"}, Workers: []string{"n2"}, User: "ops"})
	whole := i.Bundle
	base, delta := partOf(t, ctx, whole), filepath.Join(i.Dir, "whole.delta")
	if out, err := exec.CommandContext(ctx, i.Program, "bundle", "diff", base, whole, "-o", delta).CombinedOutput(); err != nil {
		t.Fatalf("kubewright bundle diff: %v\n%s", err, out)
	}
	for _, h := range fleet.Hosts() {
		shutIn(t, ctx, fleet, h.Name)
	}

	i.Bundle = delta
	out, err := i.Up(ctx)
	if kubewright.ExitCode(err) != badInput || !strings.Contains(out, "--base") {
		t.Fatalf("the delta by itself should be refused as bad input, with --base as the way out: %v\n%s", err, out)
	}
	i.Bases = []string{base}
	out = mustUp(t, ctx, fleet, i)
	t.Log(tail(out, 10))
	if moved := requireContent(t, out, i, len(fleet.Hosts())); moved.OverSSH == 0 {
		t.Errorf("of %d bytes none went over SSH, though the hosts reach nobody but each other", moved.All)
	}
	if nodes := kubectl(t, ctx, i, "get", "nodes", "--no-headers"); strings.Count(nodes, " Ready ") != 2 || strings.Count(nodes, version) != 2 {
		t.Errorf("nodes are\n%s", nodes)
	}
	if report, err := i.AskService(ctx); err != nil {
		t.Errorf("a Service does not answer: %v\n%s", err, report)
	}
	for _, h := range fleet.Hosts() {
		for _, tried := range attempts(t, ctx, fleet, h.Name) {
			// A host sees first whether it reaches the machine that serves the content directly.
			if !strings.HasPrefix(tried, fleet.Gateway.String()+" ") {
				t.Errorf("%s tried to reach %s, outside of the cluster", h.Name, tried)
			}
		}
	}
	if out, err = i.Up(ctx); err != nil || !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("the same command again: %v\n%s", err, out)
	}
	requireNoContent(t, out)
	if out, err := i.Command(ctx, "delete", i.Name, "--reset", "--yes").CombinedOutput(); err != nil {
		t.Errorf("kubewright delete does not find both files again: %v\n%s", err, out)
	}
}

// inside are the default networks of pods and Services; what goes to a Service's address seems to leave by the host's own link.
const inside = "10.244.0.0/16, 10.96.0.0/12"

// shutIn refuses and notes the connections a host begins to anybody outside the fleet and its cluster, and sees that this works.
func shutIn(t *testing.T, ctx context.Context, fleet *hosts.Fleet, host string) {
	t.Helper()
	all := []string{inside}
	for _, h := range fleet.Hosts() {
		all = append(all, h.Address.String())
	}
	inNetwork(t, ctx, fleet, host, "nft", fmt.Sprintf(`table inet shut_in { set tried { type ipv4_addr . inet_service; flags dynamic; }
		chain out { type filter hook output priority 0; oifname "eth0" meta l4proto tcp ip daddr != { %s } ct state new add @tried { ip daddr . tcp dport } reject; }; }`, strings.Join(all, ", ")))
	// sshd of this machine need not run: what is refused by the rule is noted.
	if out, err := fleet.Exec(ctx, host, "bash", "-c", "exec 3<>/dev/tcp/"+fleet.Gateway.String()+"/22"); err == nil {
		t.Fatalf("%s still reaches %s: %s", host, fleet.Gateway, out)
	}
	if tried := attempts(t, ctx, fleet, host); len(tried) != 1 {
		t.Fatalf("on %s an attempt to reach %s was noted as %v", host, fleet.Gateway, tried)
	}
	inNetwork(t, ctx, fleet, host, "nft", "flush", "set", "inet", "shut_in", "tried")
}

var triedAddress = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+ \. \S+`)

// attempts lists what a host tried to reach outside, as address and port.
func attempts(t *testing.T, ctx context.Context, fleet *hosts.Fleet, host string) []string {
	t.Helper()
	return triedAddress.FindAllString(inNetwork(t, ctx, fleet, host, "nft", "list", "set", "inet", "shut_in", "tried"), -1)
}

// inNetwork runs a program of this machine in the network of a host.
func inNetwork(t *testing.T, ctx context.Context, fleet *hosts.Fleet, host string, argv ...string) string {
	t.Helper()
	out, err := fleet.InNetwork(ctx, host, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
