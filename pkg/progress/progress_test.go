package progress

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test -update ./pkg/progress and look at what it wrote", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// script feeds a model with an install that is half way through, and with trouble on one host. each is called before each second.
func script(m *Model, each func(now time.Time)) time.Time {
	m.SetHeadline("the bundle is being verified: 176 of 961 MiB")
	each(start)
	for _, h := range []string{"cp1", "cp2", "cp3"} {
		m.AddHost(h, "control-plane")
	}
	m.AddHost("w1", "worker")
	m.SetSteps("demo-install-g1-1", []string{"connect", "preflight", "content/images", "control-plane/init", "node/join", "verify"})
	at := func(second float64) time.Time { return start.Add(time.Duration(second * float64(time.Second))) }
	emit := func(second float64, step, host string, state engine.State, change ...func(*engine.Event)) {
		e := engine.Event{Operation: "demo-install-g1-1", Attempt: 1, Step: step, Host: host, State: state, At: at(second)}
		for _, c := range change {
			c(&e)
		}
		m.Observe(e)
	}
	message := func(text string) func(*engine.Event) { return func(e *engine.Event) { e.Message = text } }
	for _, h := range []string{"cp1", "cp2", "cp3", "w1"} {
		emit(1, "connect", h, engine.StateRunning)
		emit(1.4, "connect", h, engine.StateDone)
	}
	each(at(2))
	for _, h := range []string{"cp1", "cp2", "cp3"} {
		emit(2.1, "preflight", h, engine.StateRunning)
		emit(2.6, "preflight", h, engine.StateDone)
		emit(2.7, "content/images", h, engine.StateRunning, message("0 of 10 images"))
	}
	emit(2.1, "preflight", "w1", engine.StateRunning)
	emit(2.8, "preflight", "w1", engine.StateRetrying, message("no answer\nfrom the host\x1b[31m"), func(e *engine.Event) { e.Try = 1; e.Reason = "Busy" })
	each(at(3))
	emit(5, "preflight", "w1", engine.StateFailed, message("port 10250 is in use by process 812 (kubelet); stop it, or take the host out of the spec"),
		func(e *engine.Event) { e.Try = 2; e.Reason = "PortInUse" })
	for _, step := range []string{"content/images", "node/join", "verify"} {
		emit(5, step, "w1", engine.StateBlocked, message("preflight failed"))
	}
	each(at(6))
	emit(9, "content/images", "cp1", engine.StateRunning, message("4 of 10 images"))
	emit(9, "content/images", "cp2", engine.StateRunning, message("5 of 10 images"))
	each(at(10))
	each(at(17))
	emit(20, "content/images", "cp1", engine.StateChanged)
	emit(21, "content/images", "cp2", engine.StateChanged)
	emit(21.5, "control-plane/init", "cp1", engine.StateRunning, message("waiting for the API server"))
	emit(21.5, "content/images", "cp3", engine.StateRunning, message("9 of 10 images"))
	each(at(22))
	return at(24)
}

func TestPlainLinesTellEachThingOnce(t *testing.T) {
	m := New("default/demo", start)
	var out strings.Builder
	tell := func(now time.Time, last bool) {
		for _, line := range m.Lines(now, last) {
			out.WriteString(line.String() + "\n")
		}
	}
	end := script(m, func(now time.Time) { tell(now, false) })
	tell(end, false)
	tell(end, false) // nothing is told twice
	tell(end, true)
	golden(t, "lines.txt", out.String())
}

func TestAFrameFitsTheTerminal(t *testing.T) {
	m := New("default/demo", start)
	end := script(m, func(time.Time) {})
	m.SetHeadline("operation demo-install-g1-1, attempt 1: 1 of 6 steps done")
	view := m.View(end)
	for name, size := range map[string]struct{ width, height int }{"wide": {120, 40}, "narrow": {60, 40}, "low": {100, 14}, "lowest": {100, 9}} {
		t.Run(name, func(t *testing.T) {
			frame := Frame(view, size.width, size.height, PlainStyle, "Ctrl-C stops; the same command continues later.")
			rows := strings.Split(frame, "\n")
			if len(rows) > size.height {
				t.Errorf("the frame has %d rows, the terminal %d", len(rows), size.height)
			}
			for _, row := range rows {
				if n := len([]rune(row)); n > size.width {
					t.Errorf("a row has %d columns, the terminal %d: %q", n, size.width, row)
				}
				if strings.ContainsRune(row, '\x1b') {
					t.Errorf("a message of a host can command the terminal: %q", row)
				}
			}
			golden(t, "frame-"+name+".txt", frame+"\n")
		})
	}
}

func TestAnotherAttemptStartsAnew(t *testing.T) {
	m := New("default/demo", start)
	script(m, func(time.Time) {})
	m.Observe(engine.Event{Operation: "demo-install-g1-1", Attempt: 2, Step: "connect", Host: "w1", State: engine.StateRunning, At: start.Add(time.Minute)})
	v := m.View(start.Add(time.Minute))
	if v.Attempt != 2 || len(v.Steps) != 6 || v.Steps[1].Total != 0 {
		t.Errorf("attempt %d shows %d steps, preflight on %d hosts; want attempt 2, all 6 steps still known, and nothing of attempt 1", v.Attempt, len(v.Steps), v.Steps[1].Total)
	}
	if v.Hosts[3].State != engine.StateRunning {
		t.Errorf("w1 is %s, want Running", v.Hosts[3].State)
	}
}

func TestASummaryAndAReport(t *testing.T) {
	duration := func(d time.Duration) *v1alpha1.Duration { return &v1alpha1.Duration{Duration: d} }
	cluster := &v1alpha1.Cluster{}
	cluster.Namespace, cluster.Name = "default", "demo"
	cluster.Status = v1alpha1.ClusterStatus{
		Version: "v1.36.3", Endpoint: "https://192.0.2.1:6443", EtcdMembers: 3, Nodes: v1alpha1.NodeCounts{Desired: 4, Joined: 4, Ready: 4},
	}
	operation := &v1alpha1.ClusterOperation{}
	operation.Name = "demo-install-g1-1"
	operation.Status = v1alpha1.ClusterOperationStatus{
		Attempt: 2, StartedAt: &metav1.Time{},
		Steps: []v1alpha1.OperationStep{
			{ID: "connect", State: v1alpha1.StepDone, Duration: duration(400 * time.Millisecond)},
			{ID: "content/images", State: v1alpha1.StepChanged, Duration: duration(36 * time.Second)},
			{ID: "control-plane/init", State: v1alpha1.StepChanged, Duration: duration(9 * time.Second)},
			{ID: "verify", State: v1alpha1.StepDone, Duration: duration(75 * time.Second)},
		},
		Traffic: &v1alpha1.OperationTraffic{Connections: 4, Requests: 61, MaxRequestsPerHost: 20, ContentBytes: 3 << 30, ContentBytesOverSSH: 1 << 30},
	}
	var b strings.Builder
	summary := Summary{
		Cluster: cluster, Operations: []v1alpha1.ClusterOperation{*operation}, Took: 104 * time.Second, Kubeconfig: "/home/u/.kubewright/clusters/default-demo.kubeconfig",
		Costs: []HostCost{{"cp1", 1, 20}, {"w1", 1, 9}},
	}
	if err := summary.Render(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.txt", b.String())

	b.Reset()
	code := int32(3)
	if err := Problems(&b, v1alpha1.ClusterOperationStatus{
		Problems: []v1alpha1.HostProblem{
			{Host: "w1", Step: "preflight", Reason: "PortInUse", Message: "port 10250 is in use\nport 6443 is in use"},
			{Host: "w1", Step: "node/join", Reason: "NeedFailed", Message: "preflight failed"},
			{Host: "cp1", Step: "control-plane/init", Reason: "CommandFailed", Message: "kubeadm init failed", ExitCode: &code, Output: "error: x\x1b[2J\nline 2\n", Attempts: 5},
		},
		ProblemsLeftOut: 7,
	}); err != nil {
		t.Fatal(err)
	}
	golden(t, "problems.txt", b.String())
}

func TestASummaryOfAChainTellsWhatIsOtherwiseThanBefore(t *testing.T) {
	at := func(version string, nodes, members int32) *v1alpha1.Cluster {
		c := &v1alpha1.Cluster{}
		c.Namespace, c.Name = "default", "demo"
		c.Status = v1alpha1.ClusterStatus{
			InstalledGeneration: 1, Version: version, Endpoint: "https://192.0.2.1:6443", EtcdMembers: members,
			Nodes: v1alpha1.NodeCounts{Desired: nodes, Joined: nodes, Ready: nodes},
		}
		return c
	}
	hop := func(name string, controlPlanes, workers int32) v1alpha1.ClusterOperation {
		o := v1alpha1.ClusterOperation{Status: v1alpha1.ClusterOperationStatus{Attempt: 1, StartedAt: &metav1.Time{}, Steps: []v1alpha1.OperationStep{
			{ID: "connect", State: v1alpha1.StepDone, Hosts: 5},
			{ID: "control-plane/upgrade", State: v1alpha1.StepChanged, Hosts: 3, Changed: controlPlanes},
			{ID: "worker/upgrade", State: v1alpha1.StepChanged, Hosts: 2, Changed: workers},
		}}}
		o.Name = name
		return o
	}
	summary := Summary{
		Before: at("v1.34.3", 5, 3), Cluster: at("v1.36.3", 4, 3), Took: 10 * time.Minute,
		Operations: []v1alpha1.ClusterOperation{hop("demo-upgrade-g2-1", 3, 2), hop("demo-upgrade-g2-2", 2, 1)},
		Left:       []LeftHost{{Name: "w2"}, {Name: "w3", Quarantined: "its machine could not be reset: no route to host"}},
	}
	var b strings.Builder
	if err := summary.Render(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary-chain.txt", b.String())
}

func TestPlainOutputEndsWithWhatIsLeftToTell(t *testing.T) {
	board := NewBoard(New("default/demo", start))
	ctx, cancel := context.WithCancel(t.Context())
	board.Emit(engine.Event{Operation: "o", Attempt: 1, Step: "connect", Host: "w1", State: engine.StateDone, At: start})
	cancel()
	var b strings.Builder
	if err := ShowPlain(ctx, board, &b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "connect") || !strings.Contains(b.String(), "done") {
		t.Errorf("the last lines are missing: %q", b.String())
	}
}

func TestDurationsAndSizesAreForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.0s", 1234 * time.Millisecond: "1.2s", 125 * time.Second: "2m05s", 3700 * time.Second: "1h01m"} {
		if got := Duration(d); got != want {
			t.Errorf("%d ns is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 3 << 30: "3.0 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
