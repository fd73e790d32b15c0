//go:build e2e

package install

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
)

func TestThreeControlPlanesAndAWorkerComeUpFromOneBundle(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "install", fixture.Options{ControlPlanes: controlPlanes, Workers: workers, User: "ops"})
	for _, h := range fleet.Hosts() {
		if routes := run(t, ctx, fleet, h.Name, "ip", "route", "show", "default"); routes != "" {
			t.Fatalf("%s has a way out: %s", h.Name, routes)
		}
	}
	before := map[string]string{}
	for _, h := range fleet.Hosts() {
		before[h.Name] = traces(t, ctx, fleet, h.Name)
	}
	out := mustUp(t, ctx, fleet, i)
	t.Log(tail(out, 12))
	requireWholeCluster(t, ctx, fleet, i)
	requireContent(t, out, i, len(fleet.Hosts()))

	t.Run("a Service of pods on different nodes answers by its DNS name", func(t *testing.T) {
		report, err := i.AskService(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(report, `"asked":40,"failed":0`) {
			t.Errorf("questions stayed unanswered: %s", report)
		}
		if names := regexp.MustCompile(`"echo-[^"]+":`).FindAllString(report, -1); len(names) != 2 {
			t.Errorf("%d replicas answered, want both: %s", len(names), report)
		}
	})
	t.Run("Services answer after every kube-proxy was started again", func(t *testing.T) {
		kubectl(t, ctx, i, "-n", "kube-system", "delete", "pods", "-l", "k8s-app=kube-proxy", "--wait")
		kubectl(t, ctx, i, "-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=60s")
		// It finds the DNS Service by the rules that were there before.
		if _, err := i.AskService(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("kubectl top knows every node", func(t *testing.T) {
		top, err := i.TopNodes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(strings.TrimSpace(top), "\n"); lines != 4 {
			t.Errorf("kubectl top nodes says\n%s", top)
		}
	})
	t.Run("API servers verify kubelets and reach them all", func(t *testing.T) {
		requireVerifiedKubelets(t, ctx, fleet, i)
	})
	t.Run("the operation's status shows every step and how long it took", func(t *testing.T) {
		command := i.Command(ctx, "status")
		command.Stdout, command.Stderr = nil, nil
		status, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("kubewright status: %v\n%s", err, status)
		}
		header := regexp.MustCompile(`(?m)^Operation .*: Install, Succeeded, .*\b(\d+) steps`).FindSubmatch(status)
		rows := regexp.MustCompile(`(?m)^  ([a-z-]+/[a-z-]+) +(\w+) +\d+ +\d+ +\d+ +(\S+)$`).FindAllStringSubmatch(string(status), -1)
		if header == nil || string(header[1]) != strconv.Itoa(len(rows)) {
			t.Fatalf("the status does not show as many steps as it counts:\n%s", status)
		}
		shown := map[string]bool{}
		for _, row := range rows {
			step, state, took := row[1], row[2], row[3]
			shown[step] = true
			if state != "Skipped" && !regexp.MustCompile(`^(\d+\.\ds|\d+m\d\ds|\d+h\d\dm)$`).MatchString(took) {
				t.Errorf("step %s is %s, and took %q", step, state, took)
			}
		}
		for _, step := range append(plannedSteps(t), "host/connect", "host/preflight") {
			if !shown[step] {
				t.Errorf("the status does not show step %s:\n%s", step, status)
			}
		}
	})
	t.Run("the logs of the operation are read from the hosts", func(t *testing.T) {
		logs, err := i.Command(ctx, "logs", "--host", "n1", "--tail", "0").CombinedOutput()
		if err != nil || !strings.Contains(string(logs), "kubeadm") {
			t.Errorf("kubewright logs: %v\n%s", err, logs)
		}
	})
	t.Run("the same command again changes nothing and costs at most 3 requests per host", func(t *testing.T) {
		before := kubectl(t, ctx, i, "get", "nodes,deployments,daemonsets", "-A", "-o", "jsonpath={range .items[*]}{.metadata.uid} {.metadata.generation}{\"\\n\"}{end}")
		out := mustUp(t, ctx, fleet, i)
		t.Log(tail(out, 10))
		if !strings.Contains(out, "nothing had to be changed") {
			t.Errorf("something was changed:\n%s", out)
		}
		requireNoContent(t, out)
		counts := regexp.MustCompile(`\bn[1-4] (\d+)/(\d+)`).FindAllStringSubmatch(out, -1)
		if len(counts) != 4 {
			t.Fatalf("the summary does not count connections and requests of 4 hosts:\n%s", out)
		}
		for _, c := range counts {
			connections, _ := strconv.Atoi(c[1])
			requests, _ := strconv.Atoi(c[2])
			if connections > 1 || requests > 3 {
				t.Errorf("%d connections and %d requests to one host", connections, requests)
			}
		}
		if after := kubectl(t, ctx, i, "get", "nodes,deployments,daemonsets", "-A", "-o", "jsonpath={range .items[*]}{.metadata.uid} {.metadata.generation}{\"\\n\"}{end}"); after != before {
			t.Errorf("objects changed from\n%sto\n%s", before, after)
		}
	})
	t.Run("a kubelet asks for its own certificate and is given it", func(t *testing.T) {
		requireRenewal(t, ctx, fleet, i, "n4", "n3")
	})
	t.Run("an API server answers while the member of etcd beside it is gone", func(t *testing.T) {
		requireAnswersWithoutMember(t, ctx, fleet, "n2")
	})
	t.Run("the loss of the first control plane cuts off no worker", func(t *testing.T) {
		if err := fleet.Kill(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
		// Kubelet renews its node's lease every 10 seconds, through the proxy on its host.
		seen := map[string]bool{}
		patience, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for len(seen) < 3 {
			renewed, err := fleet.Exec(ctx, "n2", "/usr/local/bin/kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--cache-dir=/tmp/kubectl", "--request-timeout=5s",
				"-n", "kube-node-lease", "get", "lease", "n4", "-o", "jsonpath={.spec.renewTime}")
			if err == nil {
				seen[string(renewed)] = true
			}
			select {
			case <-patience.Done():
				t.Fatalf("n4 renewed its lease %d times in 2 minutes without n1 (last: %s, %v)", len(seen)-1, renewed, err)
			case <-ticker.C:
			}
		}
		if err := fleet.Start(ctx, "n1"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("deleting it with --reset leaves the hosts as they were", func(t *testing.T) {
		out, err := i.Command(ctx, "delete", i.Name, "--reset", "--yes").CombinedOutput()
		if err != nil {
			t.Fatalf("kubewright delete: %v\n%s", err, out)
		}
		for _, h := range fleet.Hosts() {
			if diff := cmp.Diff(before[h.Name], traces(t, ctx, fleet, h.Name)); diff != "" {
				t.Errorf("%s is not as it was (-before +after):\n%s", h.Name, diff)
			}
		}
	})
}

var farEnd = regexp.MustCompile(`@if\d+\s*`)

// traces lists what an installation changes on a host: files, units, programs that run, links, kernel parameters. The helper itself, with
// the journal it keeps, stays on a host.
func traces(t *testing.T, ctx context.Context, fleet *hosts.Fleet, host string) string {
	t.Helper()
	var b strings.Builder
	for _, argv := range [][]string{
		{"find", "/etc", "/opt", "/usr/local", "/root", "/var/lib/etcd", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/run/flannel", "-not", "-path", "/etc/.*"},
		{"systemctl", "list-unit-files", "--no-legend", "--state=enabled"},
		{"systemctl", "list-units", "--plain", "--no-legend", "--state=failed"},
		{"ps", "-e", "-o", "comm="},
		{"ip", "-o", "-br", "link"},
		{"ip", "route"},
		{"sysctl", "net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables"},
	} {
		// find reports missing directories by its exit code; that they are missing is what is to be seen.
		out, _ := fleet.Exec(ctx, host, argv...)
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(lines)
		if argv[0] == "ip" {
			// The kernel takes a pod's network namespace apart, and with it the pod's link, some time after the last process has gone.
			lines = slices.DeleteFunc(lines, func(link string) bool { return strings.HasPrefix(strings.TrimSpace(link), "veth") })
			// The far end of a container host's own link gets another number each time the host boots.
			for n, link := range lines {
				lines[n] = farEnd.ReplaceAllString(link, "")
			}
		}
		if argv[0] == "ps" {
			// Logins come and go, and so does what asks.
			lines = slices.DeleteFunc(slices.Compact(lines), func(name string) bool {
				return slices.Contains([]string{"sshd", "ps", "(sd-pam)", "systemd", "sudo"}, strings.TrimSpace(name))
			})
		}
		fmt.Fprintf(&b, "%s\n  %s\n", strings.Join(argv[:2], " "), strings.Join(lines, "\n  "))
	}
	return b.String()
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// plannedSteps are the steps of the graph that the planner makes for a cluster of this shape.
func plannedSteps(t *testing.T) []string {
	t.Helper()
	graph, err := os.ReadFile("../../pkg/plan/testdata/install-3-1.txt")
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, match := range regexp.MustCompile(`(?m)^(\S+) on `).FindAllSubmatch(graph, -1) {
		steps = append(steps, string(match[1]))
	}
	return steps
}
