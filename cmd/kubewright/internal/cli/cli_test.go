package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/cli"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/provision"
)

// hangVariable makes this test program a kubewright whose operations never end; its value holds the arguments, one in each line.
const hangVariable = "KUBEWRIGHT_TEST_CLI_HANG"

var sharedBundle = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("kubewright-cli-test-%d.bundle", os.Getpid()))
	return path, smallBundle(context.Background(), path, "v1.36.3")
})

func TestMain(m *testing.M) {
	if args := os.Getenv(hangVariable); args != "" {
		runner := &fakeRunner{run: func(ctx context.Context, r provision.Request, _ func(engine.Event)) (*provision.Outcome, error) {
			fmt.Println("operation", r.Operation.Name, "attempt", r.Attempt)
			<-ctx.Done()
			return &provision.Outcome{}, ctx.Err()
		}}
		os.Exit(cli.Run(context.Background(), cli.Environment{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Runner: runner}, strings.Split(args, "\n")))
	}
	code := m.Run()
	if path, err := sharedBundle(); err == nil {
		_ = os.Remove(path)
	}
	os.Exit(code)
}

// withoutBundle does something while the bundle's file is away.
func withoutBundle(t *testing.T, do func()) {
	t.Helper()
	path, err := sharedBundle()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	do()
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
}

// fakeRunner stands in for hosts.
type fakeRunner struct {
	mu       sync.Mutex
	requests []provision.Request
	run      func(ctx context.Context, r provision.Request, emit func(engine.Event)) (*provision.Outcome, error)
}

func (f *fakeRunner) Run(ctx context.Context, r provision.Request) (*provision.Outcome, error) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	f.mu.Unlock()
	return f.run(ctx, r, func(e engine.Event) {
		e.Operation, e.Attempt, e.At = r.Operation.Name, r.Attempt, time.Now()
		if r.Sink != nil {
			r.Sink.Emit(e)
		}
	})
}

func (f *fakeRunner) Logs(_ context.Context, _ provision.Request, host, operation string, tail int) (*hostapi.Logs, error) {
	if host == "n2" {
		return nil, errors.New("unreachable")
	}
	return &hostapi.Logs{Entries: []hostapi.JournalEntry{{Step: "connect", Event: "apply", Message: fmt.Sprintf("%s tail %d\x1b[2J", operation, tail)}}}, nil
}

func (f *fakeRunner) calls() []provision.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]provision.Request(nil), f.requests...)
}

// install succeeds on every host.
func install(state engine.State) func(context.Context, provision.Request, func(engine.Event)) (*provision.Outcome, error) {
	return func(_ context.Context, r provision.Request, emit func(engine.Event)) (*provision.Outcome, error) {
		outcome := &provision.Outcome{
			Initialized: true, Version: r.Cluster.Spec.Version, Endpoint: "https://192.0.2.1:6443", EtcdMembers: 1,
			Nodes: v1alpha1.NodeCounts{Desired: 2, Joined: 2, Ready: 2}, Changed: state == engine.StateChanged,
			Hosts:   map[string]provision.HostOutcome{},
			Traffic: v1alpha1.OperationTraffic{Connections: 2, Requests: 5, MaxRequestsPerHost: 3, ContentBytes: 1 << 20},
		}
		if r.Operation.Spec.Type == v1alpha1.ResetOperation {
			outcome.Initialized, outcome.Version, outcome.Endpoint = false, "", ""
		}
		for _, a := range r.Hosts {
			for _, step := range []string{"connect", "node/join"} {
				emit(engine.Event{Step: step, Host: a.Host.Name, State: engine.StateRunning})
				emit(engine.Event{Step: step, Host: a.Host.Name, State: state, Took: 100 * time.Millisecond})
			}
			outcome.Hosts[a.Host.Name] = provision.HostOutcome{Connections: 1, Requests: 3}
		}
		return outcome, nil
	}
}

const file = `apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  version: v1.36.3
  offlineManifestRef: {name: k8s}
  controlPlane: {hosts: [n1]}
  workers: [{name: pool, hosts: [n2]}]
---
apiVersion: kubewright.io/v1alpha1
kind: Host
metadata: {name: n1}
spec: {address: 192.0.2.1, credentialsRef: {name: ssh}}
---
apiVersion: kubewright.io/v1alpha1
kind: Host
metadata: {name: n2}
spec: {address: 192.0.2.2, credentialsRef: {name: ssh}}
---
apiVersion: v1
kind: Secret
metadata: {name: ssh}
stringData: {password: "it's a \"hard\" $PASS\\word"}
`

// place is a state directory with a file in it.
type place struct {
	t     *testing.T
	state string
	file  string
}

func newPlace(t *testing.T, content string) place {
	t.Helper()
	dir := t.TempDir()
	p := place{t: t, state: filepath.Join(dir, "state"), file: filepath.Join(dir, "cluster.yaml")}
	if err := os.WriteFile(p.file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p place) up(more ...string) []string {
	return append([]string{"up", "-f", p.file, "--bundle", bundleFor(p.t), "--state-dir", p.state, "--plain"}, more...)
}

// kubewright runs a command in this process and returns exit code, output and errors.
func kubewright(ctx context.Context, t *testing.T, runner provision.Runner, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Run(ctx, cli.Environment{In: strings.NewReader(""), Out: &o, Err: &e, Runner: runner}, args)
	t.Logf("kubewright %s: exit code %d\n%s%s", args[0], code, o.String(), e.String())
	return code, o.String(), e.String()
}

func wantText(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}

func TestUpEndsWithAKubeconfigAndEveryOtherCommandWorksAfterwards(t *testing.T) {
	p := newPlace(t, file)
	runner := &fakeRunner{run: install(engine.StateChanged)}
	kubeconfig := filepath.Join(t.TempDir(), "sub", "demo.kubeconfig")
	code, out, _ := kubewright(t.Context(), t, runner, p.up("--kubeconfig", kubeconfig)...)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d", code)
	}
	wantText(t, out, "sha256:", "n1,n2", "node/join", "changed", "2 of 2 nodes at v1.36.3", "https://192.0.2.1:6443", "n1 1/3, n2 1/3", "1.0 MiB", kubeconfig)
	for _, path := range []string{kubeconfig, filepath.Join(p.state, "clusters", "default-demo.kubeconfig")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o, want 0600", path, info.Mode().Perm())
		}
	}
	if got := string(runner.calls()[0].Hosts[0].Credentials["password"]); got != `it's a "hard" $PASS\word` {
		t.Errorf("the password reached the runner as %q", got)
	}

	// The same command again runs a check of everything, as a new operation.
	runner.run = install(engine.StateDone)
	if code, out, _ = kubewright(t.Context(), t, runner, p.up()...); code != cli.ExitOK {
		t.Fatalf("exit code %d the second time", code)
	}
	wantText(t, out, "nothing had to be changed")
	calls := runner.calls()
	if len(calls) != 2 || calls[0].Operation.Name == calls[1].Operation.Name {
		t.Fatalf("%d operations ran, want two different ones", len(calls))
	}
	if !bytes.Equal(calls[0].Authorities.Cluster.Cert, calls[1].Authorities.Cluster.Cert) {
		t.Error("the authority was made twice")
	}

	_, out, _ = kubewright(t.Context(), t, nil, "status", "--state-dir", p.state)
	wantText(t, out, "default/demo", "v1.36.3", "Ready", "node/join", "192.0.2.2", calls[1].Operation.Name)
	_, out, _ = kubewright(t.Context(), t, nil, "kubeconfig", "demo", "--state-dir", p.state)
	wantText(t, out, "https://192.0.2.1:6443", "client-certificate-data")
	code, out, errs := kubewright(t.Context(), t, runner, "logs", "--state-dir", p.state, "--tail", "7")
	wantText(t, out, "== n1", calls[1].Operation.Name+" tail 7")
	wantText(t, errs, "n2", "unreachable")
	if code != cli.ExitFailed || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d, or a host's text can command the terminal", code)
	}
	if code, _, errs = kubewright(t.Context(), t, runner, "status", "other", "--state-dir", p.state); code != cli.ExitBadInput {
		t.Errorf("status of an unknown cluster: exit code %d", code)
	}
	wantText(t, errs, "there is no cluster other", "default/demo")

	if code, _, errs = kubewright(t.Context(), t, runner, "delete", "demo", "--reset", "--state-dir", p.state); code != cli.ExitBadInput {
		t.Errorf("delete without --yes: exit code %d", code)
	}
	wantText(t, errs, "--yes")
	withoutBundle(t, func() {
		if code, _, errs = kubewright(t.Context(), t, runner, "delete", "demo", "--reset", "--yes", "--state-dir", p.state); code != cli.ExitBadInput {
			t.Errorf("a reset without the bundle: exit code %d", code)
		}
		wantText(t, errs, "no such file", "put the file back")
	})
	if code, out, _ = kubewright(t.Context(), t, runner, "delete", "demo", "--reset", "--yes", "--plain", "--state-dir", p.state); code != cli.ExitOK {
		t.Errorf("delete: exit code %d", code)
	}
	wantText(t, out, "is gone")
	calls = runner.calls()
	if last := calls[len(calls)-1]; last.Operation.Spec.Type != v1alpha1.ResetOperation || len(last.Hosts) != 2 {
		t.Errorf("the last operation was %s on %d hosts, want a Reset on both", last.Operation.Spec.Type, len(last.Hosts))
	}
	if _, _, errs = kubewright(t.Context(), t, nil, "status", "--state-dir", p.state); !strings.Contains(errs, "no cluster") {
		t.Errorf("the cluster is still there: %s", errs)
	}
}

func TestOneStateDirectoryHoldsManyClusters(t *testing.T) {
	runner := &fakeRunner{run: install(engine.StateChanged)}
	first := newPlace(t, file)
	second := newPlace(t, strings.NewReplacer("{name: demo}", "{name: other}", "name: n1", "name: m1", "name: n2", "name: m2", "[n1]", "[m1]", "[n2]", "[m2]",
		"192.0.2.", "192.0.3.").Replace(file))
	t.Setenv("KUBEWRIGHT_STATE_DIR", first.state)
	run := func(args ...string) (int, string, string) { return kubewright(t.Context(), t, runner, args...) }
	for _, p := range []place{first, second} {
		if code, _, _ := run("up", "-f", p.file, "--bundle", bundleFor(t), "--plain"); code != cli.ExitOK {
			t.Fatalf("up: exit code %d", code)
		}
	}
	code, out, _ := run("list")
	if code != cli.ExitOK {
		t.Fatalf("list: exit code %d", code)
	}
	wantText(t, out, "CLUSTER        VERSION  NODES   READY\n", "default/demo   v1.36.3  2 of 2  yes\n", "default/other  v1.36.3  2 of 2  yes\n")
	var listed struct {
		Clusters []struct {
			Name  string
			Ready bool
		}
	}
	if _, out, _ = run("list", "-o", "json"); json.Unmarshal([]byte(out), &listed) != nil || len(listed.Clusters) != 2 || !listed.Clusters[1].Ready {
		t.Errorf("as JSON it is %s", out)
	}
	var status struct {
		Cluster   v1alpha1.Cluster
		Hosts     []v1alpha1.Host
		Operation v1alpha1.ClusterOperation
	}
	if _, out, _ = run("status", "other", "-o", "json"); json.Unmarshal([]byte(out), &status) != nil || status.Cluster.Name != "other" || len(status.Hosts) != 2 ||
		status.Operation.Status.Phase != v1alpha1.OperationSucceeded {
		t.Errorf("the status as JSON is %s", out)
	}
	var logs struct {
		Operation string
		Hosts     map[string]hostapi.Logs
	}
	if _, out, _ = run("logs", "other", "-o", "json"); json.Unmarshal([]byte(out), &logs) != nil || !strings.HasPrefix(logs.Operation, "other-install") || len(logs.Hosts["m1"].Entries) != 1 {
		t.Errorf("the logs as JSON are %s", out)
	}
	if code, _, errs := run("status"); code != cli.ExitBadInput || !strings.Contains(errs, "default/demo, default/other") {
		t.Errorf("status of one of two: exit code %d, %s", code, errs)
	}
	if code, _, _ := run("delete", "other", "--reset", "--yes", "--plain"); code != cli.ExitOK {
		t.Errorf("delete: exit code %d", code)
	}
	if _, out, _ = run("list"); strings.Contains(out, "other") || !strings.Contains(out, "default/demo") {
		t.Errorf("after one was deleted there are\n%s", out)
	}
}

func TestAPlanTouchesAndStoresNothing(t *testing.T) {
	p := newPlace(t, file)
	runner := &fakeRunner{run: func(_ context.Context, r provision.Request, _ func(engine.Event)) (*provision.Outcome, error) {
		return &provision.Outcome{Plan: []v1alpha1.PlannedChange{{Step: "content/files", Host: "n1", Why: "kubelet is missing"}}}, nil
	}}
	code, out, _ := kubewright(t.Context(), t, runner, "plan", "-f", p.file, "--bundle", bundleFor(t), "--state-dir", p.state)
	if code != cli.ExitOK {
		t.Fatalf("exit code %d", code)
	}
	wantText(t, out, "n1\n  content/files\n      kubelet is missing")
	calls := runner.calls()
	code, out, _ = kubewright(t.Context(), t, runner, "plan", "-f", p.file, "--bundle", bundleFor(t), "--state-dir", p.state, "-o", "json")
	var planned struct {
		Cluster, Target string
		Changes         []v1alpha1.PlannedChange
	}
	if err := json.Unmarshal([]byte(out), &planned); code != cli.ExitOK || err != nil || planned.Cluster != "default/demo" || len(planned.Changes) != 1 {
		t.Errorf("exit code %d, as JSON it is %+v (%v)", code, planned, err)
	}
	if code, _, errs := kubewright(t.Context(), t, runner, "plan", "-f", p.file, "--bundle", bundleFor(t), "--state-dir", p.state, "-o", "yaml"); code != cli.ExitBadInput {
		t.Errorf("another form: exit code %d, %s", code, errs)
	}
	if len(calls) != 1 || calls[0].Operation.Spec.Mode != v1alpha1.PlanMode || len(calls[0].Hosts) != 2 || calls[0].Cluster.Spec.Network.PodCIDR == "" {
		t.Fatalf("want one request in mode Plan with both hosts and defaults filled in, got %+v", calls)
	}
	if code, _, errs := kubewright(t.Context(), t, nil, "status", "--state-dir", p.state); code != cli.ExitBadInput {
		t.Errorf("the plan stored a cluster: %s", errs)
	}
}

func TestAFailureSaysWhereAndWhyAndTheSameCommandGoesOn(t *testing.T) {
	p := newPlace(t, file)
	exit := 3
	runner := &fakeRunner{run: func(_ context.Context, r provision.Request, emit func(engine.Event)) (*provision.Outcome, error) {
		emit(engine.Event{Step: "preflight", Host: "n1", State: engine.StateDone})
		emit(engine.Event{Step: "preflight", Host: "n2", State: engine.StateFailed, Reason: "PortInUse", Message: "port 10250 is in use", ExitCode: &exit, Output: "ss: 10250", Took: time.Second})
		return &provision.Outcome{}, errors.New("1 step failed")
	}}
	code, _, errs := kubewright(t.Context(), t, runner, p.up()...)
	if code != cli.ExitFailed {
		t.Fatalf("exit code %d", code)
	}
	wantText(t, errs, "n2: preflight: PortInUse", "port 10250 is in use", "exit code 3", "| ss: 10250", "same command")
	runner.run = install(engine.StateChanged)
	if code, _, _ := kubewright(t.Context(), t, runner, p.up()...); code != cli.ExitOK {
		t.Fatalf("exit code %d the second time", code)
	}
	_, out, _ := kubewright(t.Context(), t, nil, "status", "--state-dir", p.state)
	wantText(t, out, "Succeeded")
}

func TestStoppedOrKilledInTheMiddleTheSameCommandGoesOnWithTheSameOperation(t *testing.T) {
	p := newPlace(t, file)

	// Stopped by the user.
	ctx, stop := context.WithCancel(t.Context())
	first := &fakeRunner{run: func(ctx context.Context, _ provision.Request, _ func(engine.Event)) (*provision.Outcome, error) {
		stop()
		<-ctx.Done()
		return &provision.Outcome{}, ctx.Err()
	}}
	code, _, errs := kubewright(ctx, t, first, p.up()...)
	if code != cli.ExitInterrupted {
		t.Fatalf("exit code %d, want %d", code, cli.ExitInterrupted)
	}
	wantText(t, errs, "same command")

	// Killed, twice.
	for range 2 {
		killInTheMiddle(t, p)
	}

	last := &fakeRunner{run: install(engine.StateChanged)}
	if code, _, _ := kubewright(t.Context(), t, last, p.up()...); code != cli.ExitOK {
		t.Fatalf("exit code %d at the end", code)
	}
	a, b := first.calls()[0], last.calls()[0]
	if a.Operation.Name != b.Operation.Name || b.Attempt != 4 {
		t.Errorf("it went on with operation %s, attempt %d; want %s, attempt 4", b.Operation.Name, b.Attempt, a.Operation.Name)
	}
	if !bytes.Equal(a.Authorities.Cluster.Cert, b.Authorities.Cluster.Cert) {
		t.Error("the authority was made again")
	}
}

// killInTheMiddle runs up in a process of its own and kills it while an operation runs. While it runs, another up is refused, and
// status works.
func killInTheMiddle(t *testing.T, p place) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), hangVariable+"="+strings.Join(p.up(), "\n"))
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	lines := bufio.NewScanner(pipe)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "operation ") {
		t.Log(lines.Text())
	}
	code, _, errs := kubewright(t.Context(), t, &fakeRunner{}, p.up()...)
	if code != cli.ExitFailed {
		t.Errorf("a second up: exit code %d", code)
	}
	wantText(t, errs, fmt.Sprintf("process %d (kubewright up)", child.Process.Pid))
	code, out, _ := kubewright(t.Context(), t, nil, "status", "--state-dir", p.state)
	if code != cli.ExitOK {
		t.Errorf("status while up runs: exit code %d", code)
	}
	wantText(t, out, "Running")
}

func TestBadInputIsRefusedWithOneErrorBeforeAnythingHappens(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(file, old) {
			t.Fatalf("the file has no %q", old)
		}
		return strings.Replace(file, old, new, 1)
	}
	p := newPlace(t, file) // one state directory serves all: nothing is stored in it
	broken := filepath.Join(t.TempDir(), "broken.bundle")
	if err := os.WriteFile(broken, []byte("not a bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	base, delta := deltaFor(t)
	for name, test := range map[string]struct {
		content string
		more    []string
		want    []string
	}{
		"an unknown version":          {content: replace("v1.36.3", "v1.99.0"), want: []string{"cluster.yaml:5: Cluster demo: spec.version", "v1.99.0", "v1.36.3"}},
		"a field that does not exist": {content: replace("controlPlane:", "controlPlan:"), want: []string{"cluster.yaml:7: Cluster demo: spec.controlPlan: there is no such field: did you mean controlPlane?"}},
		"two control planes":          {content: strings.Replace(replace("[n1]", "[n1, n2]"), "hosts: [n2]", "hosts: []", 1), want: []string{"cluster.yaml:7: Cluster demo: spec.controlPlane.hosts: a control plane has 1, 3 or 5 hosts"}},
		"a host that is missing":      {content: replace("hosts: [n2]", "hosts: [n3]"), want: []string{"spec.workers[0].hosts[0]", "no Host n3"}},
		"a Secret that is missing":    {content: replace("metadata: {name: ssh}", "metadata: {name: other}"), want: []string{"2 mistakes", "line 13: Host n1: spec.credentialsRef.name", "line 18: Host n2", "no Secret ssh", "--ssh-key"}},
		"an address for a shell":      {content: replace("192.0.2.2", `"$(reboot)"`), want: []string{"cluster.yaml:18: Host n2: spec.address: address is neither"}},
		"a version without its v":     {content: replace("v1.36.3", `"1.36.3"`), want: []string{"cluster.yaml:5: Cluster demo: spec.version", "write v1.36.3"}},
		"a value among several":       {content: replace("  version:", "  operationPolicy: manual\n  version:"), want: []string{"cluster.yaml:5: Cluster demo: spec.operationPolicy", "is not one of Automatic, Manual", "write Manual", "Hint: further rules are judged"}},
		"mistakes in several objects": {
			content: strings.Replace(strings.Replace(replace("192.0.2.2", `"$(reboot)"`), "[n1]", "[n1, n2]", 1), "hosts: [n2]", "hosts: []", 1),
			want:    []string{"mistakes", "line 7: Cluster demo: spec.controlPlane.hosts", "line 18: Host n2: spec.address"},
		},
		"another digest":             {content: file, more: []string{"--digest", "sha256:" + strings.Repeat("0", 64)}, want: []string{"--digest", "sha256:000"}},
		"a bundle that is none":      {content: file, more: []string{"--bundle", broken}, want: []string{"--bundle", broken}},
		"an unknown flag":            {content: file, more: []string{"--pain"}, want: []string{"--pain", "--help"}},
		"a delta by itself":          {content: file, more: []string{"--bundle", delta}, want: []string{"--bundle", delta, "--base"}},
		"a delta to another bundle":  {content: file, more: []string{"--bundle", delta, "--base", bundleFor(t)}, want: []string{"--base", "none of these files", "bundle apply"}},
		"a base that is none":        {content: file, more: []string{"--bundle", delta, "--base", broken}, want: []string{broken}},
		"a base for a whole bundle":  {content: file, more: []string{"--base", base}, want: []string{"--base", "no delta"}},
		"a key file that is missing": {content: file, more: []string{"--ssh-key", "/nowhere/key"}, want: []string{"--ssh-key", "/nowhere/key"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(p.file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			runner := &fakeRunner{}
			code, _, errs := kubewright(t.Context(), t, runner, p.up(test.more...)...)
			if code != cli.ExitBadInput {
				t.Errorf("exit code %d, want %d", code, cli.ExitBadInput)
			}
			wantText(t, errs, test.want...)
			if n := strings.Count(errs, "Error:"); n != 1 || len(runner.calls()) > 0 {
				t.Errorf("%d errors, %d operations; want one and none", n, len(runner.calls()))
			}
		})
	}
	if _, _, errs := kubewright(t.Context(), t, nil, "status", "--state-dir", p.state); !strings.Contains(errs, "no cluster") {
		t.Errorf("bad input was stored: %s", errs)
	}
}

func TestADeltaAndItsBaseAreAsGoodAsAWholeBundle(t *testing.T) {
	p := newPlace(t, file)
	base, delta := deltaFor(t)
	away := filepath.Join(t.TempDir(), "elsewhere.bundle") // each is found where it is
	if err := os.Rename(base, away); err != nil {
		t.Fatal(err)
	}
	runner := &fakeRunner{run: install(engine.StateChanged)}
	if code, out, errs := kubewright(t.Context(), t, runner, p.up("--bundle", delta, "--base", away)...); code != cli.ExitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	whole, err := bundle.Open(bundleFor(t))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close() //nolint:errcheck // read only
	if got := runner.calls()[0].Bundle.Digest(); got != whole.Digest() {
		t.Errorf("the runner got the bundle %s, want %s", got, whole.Digest())
	}
	// What is called without the names of files finds them again.
	if code, out, errs := kubewright(t.Context(), t, runner, "delete", "demo", "--reset", "--yes", "--state-dir", p.state); code != cli.ExitOK {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	if calls := runner.calls(); calls[len(calls)-1].Bundle.Digest() != whole.Digest() {
		t.Error("the reset ran with another bundle")
	}
}

func TestAKeyFileServesHostsWithoutASecret(t *testing.T) {
	p := newPlace(t, file[:strings.LastIndex(file, "---")])
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("private"), 0o600); err != nil {
		t.Fatal(err)
	}
	runner := &fakeRunner{run: install(engine.StateChanged)}
	if code, _, _ := kubewright(t.Context(), t, runner, p.up("--ssh-key", key)...); code != cli.ExitOK {
		t.Fatalf("exit code %d", code)
	}
	if got := string(runner.calls()[0].Hosts[1].Credentials[v1alpha1.SSHPrivateKeyKey]); got != "private" {
		t.Errorf("the key reached the runner as %q", got)
	}
}

func TestHelpOfEveryCommandHasAnExample(t *testing.T) {
	for _, command := range []string{"up", "plan", "approve", "cancel", "retry", "backup", "list", "status", "logs", "kubeconfig", "host", "delete", "manager"} {
		code, out, _ := kubewright(t.Context(), t, nil, command, "--help")
		if code != cli.ExitOK || !strings.Contains(out, "Examples:") {
			t.Errorf("the help of %s has no example", command)
		}
	}
	if code, out, _ := kubewright(t.Context(), t, nil, "version"); code != cli.ExitOK || !strings.HasPrefix(out, "kubewright ") {
		t.Errorf("version printed %q", out)
	}
	if code, _, errs := kubewright(t.Context(), t, nil, "upp"); code == cli.ExitOK || !strings.Contains(errs, "upp") {
		t.Errorf("an unknown command: exit code %d, %s", code, errs)
	}
}
