package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/cli"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

// edit replaces a text in the place's file, which must hold it.
func (p place) edit(old, new string) {
	p.t.Helper()
	content, err := os.ReadFile(p.file)
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		p.t.Fatalf("the file has no %q", old)
	}
	if err := os.WriteFile(p.file, []byte(strings.Replace(string(content), old, new, 1)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// kept does what a runner does on a cluster that exists: it plans, gives up hosts that leave, and brings about the operation's version.
func kept(t *testing.T) func(context.Context, provision.Request, func(engine.Event)) (*provision.Outcome, error) {
	t.Helper()
	return func(ctx context.Context, r provision.Request, emit func(engine.Event)) (*provision.Outcome, error) {
		digest := fmt.Sprintf("sha256:of-%s-%d", r.Cluster.Spec.Version, len(r.Hosts))
		if r.Operation.Spec.Mode == v1alpha1.PlanMode {
			return &provision.Outcome{
				Initialized: true, Changed: true, PlanDigest: digest,
				Plan: []v1alpha1.PlannedChange{{Step: "kubelet/config", Host: "n1", Why: "maxPods is 110, want 60"}},
			}, nil
		}
		if r.ApprovedPlan != "" && r.ApprovedPlan != digest {
			return &provision.Outcome{Initialized: true}, &provision.PlanChangedError{Approved: r.ApprovedPlan, Now: digest}
		}
		outcome, err := install(engine.StateChanged)(ctx, r, emit)
		if r.Operation.Spec.Version != "" {
			outcome.Version = r.Operation.Spec.Version
		}
		outcome.Removed = map[string]provision.RemovedHost{}
		for _, name := range r.Leaving {
			outcome.Removed[name] = provision.RemovedHost{Problem: "no route to host"}
		}
		outcome.Nodes.Joined = int32(len(r.Hosts) - len(r.Leaving))
		outcome.Nodes.Ready = outcome.Nodes.Joined
		return outcome, err
	}
}

const thirdHost = `---
apiVersion: kubewright.io/v1alpha1
kind: Host
metadata: {name: n3}
spec: {address: 192.0.2.3, credentialsRef: {name: ssh}}
---
apiVersion: v1
kind: Secret
`

func TestAnEditedFileIsPlannedAppliedAndToldOf(t *testing.T) {
	p := newPlace(t, file)
	runner := &fakeRunner{run: kept(t)}
	if code, _, _ := kubewright(t.Context(), t, runner, p.up()...); code != cli.ExitOK {
		t.Fatalf("exit code %d", code)
	}

	// A host is taken in and another leaves; its Host object stays although the file does not have it any more.
	p.edit("---\napiVersion: v1\nkind: Secret\n", thirdHost)
	p.edit("hosts: [n2]", "hosts: [n3]")
	p.edit("apiVersion: kubewright.io/v1alpha1\nkind: Host\nmetadata: {name: n2}\nspec: {address: 192.0.2.2, credentialsRef: {name: ssh}}\n---\n", "")
	last := func() provision.Request {
		calls := runner.calls()
		return calls[len(calls)-1]
	}
	code, out, _ := kubewright(t.Context(), t, runner, "plan", "-f", p.file, "--bundle", bundleFor(t), "--state-dir", p.state, "--exit-code")
	if code != cli.ExitChanges {
		t.Errorf("plan: exit code %d, want %d", code, cli.ExitChanges)
	}
	wantText(t, out, "Plan for cluster default/demo:\n\n1 host leaves the cluster default/demo:\n  n2: worker of pool pool: it is drained", "maxPods is 110, want 60", "Drained        no node", "Digest of the plan: sha256:of-v1.36.3-3")
	planned := last()
	ran := len(runner.calls())
	code, out, errs := kubewright(t.Context(), t, runner, p.up()...)
	if code != cli.ExitBadInput || len(runner.calls()) != ran {
		t.Errorf("a host leaves without --yes: exit code %d, %d operations", code, len(runner.calls())-ran)
	}
	wantText(t, out, "1 host leaves the cluster", "n2: worker of pool pool")
	wantText(t, errs, "was not confirmed, so nothing was done", "--yes", "put them back into "+p.file)
	if _, out, _ = kubewright(t.Context(), t, nil, "status", "--state-dir", p.state); !strings.Contains(out, "  n2 ") {
		t.Errorf("what was not confirmed was stored:\n%s", out)
	}
	if code, out, _ = kubewright(t.Context(), t, runner, p.up("--yes")...); code != cli.ExitOK {
		t.Fatalf("exit code %d after hosts were exchanged", code)
	}
	wantText(t, out, "demo-scale-g2-1", "node/join on 3 hosts", "n2: quarantined", "no route to host", "n3")
	for what, request := range map[string]provision.Request{"plan": planned, "operation": last()} {
		if !slices.Equal(request.Leaving, []string{"n2"}) || len(request.Hosts) != 3 || !strings.HasPrefix(request.BackupRecipient, "age1") {
			t.Errorf("the %s was given %d hosts of which %v leave, backups for %q", what, len(request.Hosts), request.Leaving, request.BackupRecipient)
		}
	}

	// The host that could not be cleaned is let in again, or forgotten, by commands.
	host := func(args ...string) (int, string, string) {
		return kubewright(t.Context(), t, runner, append([]string{"host"}, append(args, "--state-dir", p.state)...)...)
	}
	_, out, _ = host("list")
	wantText(t, out, "default/n1", "quarantined: the host left cluster demo", "kubewright host end-quarantine n2")
	if code, _, errs = host("forget", "n1"); code != cli.ExitBadInput {
		t.Errorf("a host of a cluster was forgotten: exit code %d", code)
	}
	wantText(t, errs, "the cluster demo holds host n1", "kubewright host orphan n1")
	if code, _, errs = host("end-quarantine", "n1"); code != cli.ExitBadInput {
		t.Errorf("a host that is not quarantined: exit code %d", code)
	}
	wantText(t, errs, "n1 is not quarantined")
	if code, out, _ = host("end-quarantine", "n2"); code != cli.ExitOK {
		t.Errorf("end-quarantine: exit code %d", code)
	}
	wantText(t, out, "n2 is free")
	if code, _, _ = host("forget", "n2"); code != cli.ExitOK {
		t.Errorf("forget: exit code %d", code)
	}
	if _, out, _ = host("list", "-o", "json"); strings.Contains(out, `"n2"`) || strings.Contains(out, "quarantined") {
		t.Errorf("the host is still there: %s", out)
	}
	if code, out, _ = host("orphan", "n3"); code != cli.ExitOK {
		t.Errorf("orphan: exit code %d", code)
	}
	wantText(t, out, "take it out of the file of the cluster demo")

	if code, out, _ = kubewright(t.Context(), t, runner, "backup", "demo", "--plain", "--state-dir", p.state); code != cli.ExitOK {
		t.Fatalf("backup: exit code %d", code)
	}
	wantText(t, out, "Operation demo-backup-", "brought about")
	if got := last().Operation.Spec.Type; got != v1alpha1.BackupEtcdOperation {
		t.Errorf("the last operation was %s", got)
	}
}

func TestAnotherBundleIsSaidBeforeAnythingIsDone(t *testing.T) {
	p := newPlace(t, file)
	runner := &fakeRunner{run: kept(t)}
	code, out, _ := kubewright(t.Context(), t, runner, p.up()...)
	if code != cli.ExitOK || strings.Contains(out, "another one than") {
		t.Fatalf("a cluster is made: exit code %d\n%s", code, out)
	}
	other := filepath.Join(t.TempDir(), "other.bundle")
	if err := smallBundle(t.Context(), other, "v1.36.3"); err != nil {
		t.Fatal(err)
	}
	plan := []string{"plan", "-f", p.file, "--bundle", other, "--state-dir", p.state}
	_, out, _ = kubewright(t.Context(), t, runner, plan...)
	wantText(t, out, "  Bundle         sha256:", "another one than")
	_, out, _ = kubewright(t.Context(), t, runner, append(plan, "-o", "json")...)
	var planned struct{ Bundle struct{ From, To string } }
	if err := json.Unmarshal([]byte(out), &planned); err != nil || planned.Bundle.From == planned.Bundle.To || !strings.HasPrefix(planned.Bundle.From, "sha256:") {
		t.Errorf("as JSON: %+v, %v\n%s", planned, err, out)
	}
	up := []string{"up", "-f", p.file, "--bundle", other, "--state-dir", p.state, "--plain"}
	code, out, _ = kubewright(t.Context(), t, runner, up...)
	if code != cli.ExitOK {
		t.Fatalf("from the other bundle: exit code %d\n%s", code, out)
	}
	wantText(t, out, "Bundle: "+planned.Bundle.From[:len("sha256:")+12]+" -> "+planned.Bundle.To[:len("sha256:")+12]+", another one than the cluster runs from\n")
	if _, out, _ = kubewright(t.Context(), t, runner, up...); strings.Contains(out, "another one than") {
		t.Errorf("the cluster runs from it now:\n%s", out)
	}
}

func TestAManualClusterShowsItsPlanAndDoesWhatIsApproved(t *testing.T) {
	p := newPlace(t, strings.Replace(file, "  version: v1.36.3\n", "  version: v1.36.3\n  operationPolicy: Manual\n", 1))
	runner := &fakeRunner{run: kept(t)}
	code, out, errs := kubewright(t.Context(), t, runner, p.up()...)
	if code != cli.ExitWaiting {
		t.Fatalf("exit code %d, want %d", code, cli.ExitWaiting)
	}
	wantText(t, out, "Plan of operation demo-install-g1-1 (Install)", "n1\n  kubelet/config\n      maxPods is 110, want 60", "sha256:of-v1.36.3-2")
	wantText(t, errs, "kubewright approve demo-install-g1-1", "kubewright cancel demo-install-g1-1")

	if code, _, errs = kubewright(t.Context(), t, runner, "approve", "--state-dir", p.state); code != cli.ExitBadInput {
		t.Errorf("approve without a terminal and without --yes: exit code %d", code)
	}
	wantText(t, errs, "--yes")
	if code, out, _ = kubewright(t.Context(), t, runner, "cancel", "--plain", "--state-dir", p.state); code != cli.ExitOK {
		t.Fatalf("cancel: exit code %d", code)
	}
	wantText(t, out, "Operation demo-install-g1-1: Cancelled", "before anything was done")
	if code, _, _ = kubewright(t.Context(), t, runner, "retry", "--plain", "--state-dir", p.state); code != cli.ExitWaiting {
		t.Errorf("retry: exit code %d, want the next operation to wait for approval", code)
	}
	for _, request := range runner.calls() {
		if request.Operation.Spec.Mode != v1alpha1.PlanMode {
			t.Fatalf("operation %s was carried out without approval", request.Operation.Name)
		}
	}
	if code, out, _ = kubewright(t.Context(), t, runner, "approve", "demo", "--yes", "--plain", "--state-dir", p.state); code != cli.ExitOK {
		t.Fatalf("approve: exit code %d", code)
	}
	wantText(t, out, "Plan of operation demo-install-g1-2", "Cluster default/demo is ready")
	calls := runner.calls()
	if last := calls[len(calls)-1]; last.ApprovedPlan != "sha256:of-v1.36.3-2" {
		t.Errorf("the runner was held to the plan %q", last.ApprovedPlan)
	}
	if code, _, errs = kubewright(t.Context(), t, runner, "approve", "--yes", "--state-dir", p.state); code != cli.ExitBadInput {
		t.Errorf("approve with nothing to approve: exit code %d", code)
	}
	wantText(t, errs, "no operation waits for approval")
}

// resetting does what a runner does with the hosts of a Reset. n2 does not answer.
func resetting(ctx context.Context, r provision.Request, emit func(engine.Event)) (*provision.Outcome, error) {
	if r.Operation.Spec.Type != v1alpha1.ResetOperation {
		return install(engine.StateChanged)(ctx, r, emit)
	}
	outcome := &provision.Outcome{Removed: map[string]provision.RemovedHost{}, Hosts: map[string]provision.HostOutcome{}}
	var err error
	for _, a := range r.Hosts {
		switch name := a.Host.Name; {
		case a.Host.Spec.OnRemoval == v1alpha1.OrphanOnRemoval:
			outcome.Removed[name] = provision.RemovedHost{}
		case name == "n2":
			err = errors.New("n2 does not answer; set spec.onRemoval of the Host to Orphan")
			emit(engine.Event{Step: "host/connect", Host: name, State: engine.StateFailed, Reason: "Unreachable", Message: err.Error()})
		default:
			outcome.Removed[name] = provision.RemovedHost{Cleaned: true}
		}
	}
	return outcome, err
}

func TestADeletionStopsAtAHostThatDoesNotAnswerAndSaysTheWaysOut(t *testing.T) {
	for name, c := range map[string]struct {
		// gone says in the file that n2 is gone for good.
		gone   bool
		args   []string
		says   []string
		resets int
	}{
		"the file says that it is gone for good": {true, []string{"--reset"}, []string{"n2: quarantined", "onRemoval is Orphan"}, 2},
		"the cluster is only forgotten":          {false, nil, []string{"n2: quarantined", "could not be reset", "n2 does not answer"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, file)
			runner := &fakeRunner{run: resetting}
			if code, _, _ := kubewright(t.Context(), t, runner, p.up()...); code != cli.ExitOK {
				t.Fatalf("up: exit code %d", code)
			}
			remove := func(more ...string) (int, string, string) {
				return kubewright(t.Context(), t, runner, append([]string{"delete", "demo", "--yes", "--plain", "--state-dir", p.state}, more...)...)
			}
			code, _, errs := remove("--reset")
			if code != cli.ExitFailed {
				t.Fatalf("a reset without n2: exit code %d", code)
			}
			wantText(t, errs, "n2: host/connect: Unreachable", "Orphan", "same command", "-f FILE")
			args := c.args
			if c.gone {
				other := newPlace(t, strings.Replace(file, "{name: demo}", "{name: other}", 1))
				if code, _, errs = remove("--reset", "-f", other.file); code != cli.ExitBadInput {
					t.Errorf("with the file of another cluster: exit code %d", code)
				}
				wantText(t, errs, "default/other", "default/demo")
				p.edit("spec: {address: 192.0.2.2,", "spec: {onRemoval: Orphan, address: 192.0.2.2,")
				args = append(args, "-f", p.file)
			}
			code, out, _ := remove(args...)
			if code != cli.ExitOK {
				t.Fatalf("exit code %d in the end", code)
			}
			wantText(t, out, append([]string{"is gone"}, c.says...)...)
			calls := runner.calls()
			if len(calls) != 1+c.resets {
				t.Fatalf("%d operations ran, want the installation and %d resets", len(calls), c.resets)
			}
			if last := calls[len(calls)-1]; c.gone && !slices.Equal(last.Leaving, []string{"n2"}) {
				t.Errorf("the second reset was of %v, want n2 alone", last.Leaving)
			}
		})
	}
}
