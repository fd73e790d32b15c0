//go:build e2e

package lifecycle

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tally is what netcheck reports.
type tally struct {
	Asked      int            `json:"asked"`
	Failed     int            `json:"failed"`
	LongestGap string         `json:"longestGap"`
	GapEndedAt time.Time      `json:"gapEndedAt"`
	Answers    map[string]int `json:"answers"`
	Failures   []struct {
		At    time.Time `json:"at"`
		Error string    `json:"error"`
	} `json:"failures"`
}

// load is what clients do to a cluster while it is changed, and what they report in the end.
type load struct {
	w *world
	// node is where a client goes through the local proxy.
	node string
	// here are the clients on this machine.
	here []localClient
}

// localClient asks from this machine; its reports go to a file.
type localClient struct {
	what, report string
	process      *exec.Cmd
}

// interval is how often each client asks.
const interval = "100ms"

// workload is a Service of two replicas that may be disturbed one at a time, and clients that ask it from a pod on every worker, by
// name and by address. The clients are of a DaemonSet, so that draining leaves them where they are.
const workload = `
apiVersion: v1
kind: Namespace
metadata: {name: load}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: load}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 40
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: echo}}}
      containers:
      - name: echo
        image: docker.io/kubewright/netcheck:v1
        # It goes on answering until every node knows that nobody should come any more.
        args: [serve, -grace, 15s]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: echo, namespace: load}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: echo}}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: load}
spec:
  selector: {app: echo}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: client, namespace: load}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec:
      containers:
      - name: by-name
        image: docker.io/kubewright/netcheck:v1
        args: [ask, -url, "http://echo.load.svc.cluster.local", -interval, ` + interval + `, -every, 1s]
      - name: by-address
        image: docker.io/kubewright/netcheck:v1
        args: [ask, -url, "http://$(ECHO_SERVICE_HOST)", -interval, ` + interval + `, -every, 1s]
`

// deployWorkload puts the Service and its clients into the cluster. The clients start anew once the Service answers, so that its coming
// up does not count.
func (w *world) deployWorkload(t *testing.T) {
	t.Helper()
	w.deploy(t, workload, "load", "deployment/echo")
	w.kubectl(t, "-n", "load", "rollout", "restart", "daemonset/client")
	w.kubectl(t, "-n", "load", "rollout", "status", "daemonset/client", "--timeout=180s")
}

const probeUnit = "api-probe"

// beginLoad starts clients of the API: one on a worker through its local proxy, one on this machine that knows all control planes as a load
// balancer would. Another one asks this machine itself.
func (w *world) beginLoad(t *testing.T, node string) *load {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "netcheck")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "../../artifacts/src/netcheck")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build netcheck: %v\n%s", err, out)
	}
	w.deployWorkload(t)

	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.fleet.WriteFile(t.Context(), node, "/root/netcheck", 0o755, content); err != nil {
		t.Fatal(err)
	}
	// Kubelet's own certificate may read its own node.
	const kubelet = "/var/lib/kubelet/pki/kubelet-client-current.pem"
	w.exec(t, node, "systemd-run", "--quiet", "--unit", probeUnit, "--property=StandardOutput=truncate:/root/api-probe.json",
		"/root/netcheck", "ask", "-url", "https://127.0.0.1:7443/api/v1/nodes/"+node, "-interval", interval, "-ca", "/etc/kubernetes/pki/ca.crt", "-cert", kubelet)

	l := &load{w: w, node: node}
	// What asks nobody but this machine shows how long the machine itself stood still.
	still := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) }))
	t.Cleanup(still.Close)
	l.start(t, program, "this machine itself", "-url", still.URL)

	var args []string
	for flag, path := range map[string]string{
		"ca": "{.clusters[0].cluster.certificate-authority-data}", "cert": "{.users[0].user.client-certificate-data}", "key": "{.users[0].user.client-key-data}",
	} {
		data, err := base64.StdEncoding.DecodeString(w.kubectl(t, "config", "view", "--raw", "-o", "jsonpath="+path))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, flag+".pem")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-"+flag, file)
	}
	for _, cp := range w.now.controlPlanes {
		h, err := w.fleet.Host(cp)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "-url", fmt.Sprintf("https://%s:6443/api/v1/namespaces/default", h.Address))
	}
	l.start(t, program, "the API from outside", args...)
	return l
}

// start begins a client on this machine.
func (l *load) start(t *testing.T, program, what string, args ...string) {
	t.Helper()
	c := localClient{what: what, report: filepath.Join(t.TempDir(), "report.json")}
	out, err := os.Create(c.report)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	c.process = exec.CommandContext(context.WithoutCancel(t.Context()), program, append([]string{"ask", "-interval", interval, "-every", "1s"}, args...)...)
	c.process.Stdout = out
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.process.ProcessState == nil {
			_ = c.process.Process.Kill()
			_ = c.process.Wait()
		}
	})
	l.here = append(l.here, c)
}

// end stops the clients of the API, and returns what all clients report, by what they asked.
func (l *load) end(t *testing.T) map[string]tally {
	t.Helper()
	reports := map[string]tally{}
	for _, c := range l.here {
		if err := c.process.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = c.process.Wait() // it fails when an answer was missing, which the report tells
		text, err := os.ReadFile(c.report)
		if err != nil {
			t.Fatal(err)
		}
		reports[c.what] = lastReport(t, string(text))
	}
	l.w.exec(t, l.node, "systemctl", "stop", probeUnit)
	reports["the API from "+l.node+" through its proxy"] = lastReport(t, l.w.exec(t, l.node, "cat", "/root/api-probe.json"))
	l.w.exec(t, l.node, "rm", "-f", "/root/api-probe.json", "/root/netcheck")
	_, _ = l.w.fleet.Exec(t.Context(), l.node, "systemctl", "reset-failed", probeUnit) // it has not failed when every answer came
	for line := range strings.Lines(l.w.kubectl(t, "-n", "load", "get", "pods", "-l", "app=client", "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.containerStatuses[*].restartCount}{"\n"}{end}`)) {
		fields := strings.Fields(line)
		for _, container := range []string{"by-name", "by-address"} {
			reports["the Service "+strings.ReplaceAll(container, "-", " ")+" from a pod on "+fields[1]] = lastReport(t, l.w.kubectl(t, "-n", "load", "logs", fields[0], "-c", container, "--tail=1"))
		}
		if strings.Join(fields[2:], "") != "00" {
			t.Errorf("clients on %s were started again (%s times), so their reports do not cover everything", fields[1], strings.Join(fields[2:], " and "))
		}
	}
	return reports
}

// lastReport reads the last report; what the program says on its way out may stand behind it.
func lastReport(t *testing.T, text string) tally {
	t.Helper()
	last := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "{") {
			last = line
		}
	}
	var r tally
	if err := json.Unmarshal([]byte(last), &r); err != nil {
		t.Fatalf("read a report: %v in %q", err, text)
	}
	return r
}

// lostAtMost is the share of calls that may fail before something is broken rather than slow: the hosts share the cores of one machine, so
// how long a gap is says as much about that machine. The figures themselves are logged, to be compared with others of their kind.
const lostAtMost = 0.1

// requireServed logs what was measured, and fails when clients were cut off.
func requireServed(t *testing.T, reports map[string]tally) {
	t.Helper()
	for what, r := range reports {
		t.Run(what, func(t *testing.T) {
			t.Logf("measured: %s: %d calls, %d failed, longest gap %s, which ended at %s", what, r.Asked, r.Failed, r.LongestGap, r.GapEndedAt.Format("15:04:05.000"))
			for _, f := range r.Failures {
				t.Logf("%s %s", f.At.Format("15:04:05.000"), f.Error)
			}
			if r.Asked == 0 || len(r.Answers) == 0 {
				t.Fatal("nothing was asked")
			}
			if lost := float64(r.Failed) / float64(r.Asked); lost > lostAtMost {
				t.Errorf("%d of %d calls failed", r.Failed, r.Asked)
			}
		})
	}
}
