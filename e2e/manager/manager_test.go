//go:build e2e

package manager

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
	"github.com/kubewright/kubewright/e2e/listing"
	"github.com/kubewright/kubewright/pkg/bundle"
)

const (
	version    = "v1.36.3"
	repository = "../.."
	namespace  = "kubewright-system"
	// bundles is the directory on the manager's node that holds the bundle.
	bundles = "/srv/bundles"
	// managerNode is the worker of the management cluster.
	managerNode = "n2"
)

// site is the cluster that the manager installs, and its hosts.
var site = []string{"n3", "n4"}

// world is a management cluster on n1 and n2, and two hosts beside it.
type world struct {
	*kubewright.Installation
	fleet *hosts.Fleet
	// kubeconfig of the site's cluster, once there is one.
	kubeconfig string
}

func TestAManagerThatHelmInstalledKeepsAnotherCluster(t *testing.T) {
	w := newWorld(t)
	clean := w.remains(t)
	w.installManager(t)
	w.applySite(t)
	t.Run("a manager that is killed in the middle is followed by one that goes on", func(t *testing.T) {
		w.await(t, "10m", "kwc/site", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=OperationRunning`)
		w.kubectl(t, "-n", namespace, "delete", "pods", "--all", "--force", "--grace-period=0")
		w.await(t, "15m", "kwc/site", "condition=Ready")
	})
	t.Run("the cluster is there, and its kubeconfig stands in a Secret", func(t *testing.T) {
		w.fetchKubeconfig(t)
		for _, host := range site {
			if nodes := w.ask(t, "get", "node", host, "--no-headers"); !strings.Contains(nodes, " Ready ") || !strings.Contains(nodes, version) {
				t.Errorf("%s", nodes)
			}
		}
	})
	t.Run("what people change on hosts is shown, and put back when the policy says so", func(t *testing.T) { w.requireDriftCorrected(t) })
	t.Run("the manager logs no error of its rights", func(t *testing.T) {
		if log := w.kubectl(t, "-n", namespace, "logs", "deployment/kubewright"); strings.Contains(log, "forbidden") {
			t.Errorf("the manager may not do what it has to:\n%s", log)
		}
	})
	t.Run("uninstalling the chart leaves clusters and what describes them", func(t *testing.T) {
		w.helm(t, "uninstall", "kubewright", "--namespace", namespace, "--wait")
		if ready := w.kubectl(t, "get", "kwc", "site", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready != "True" {
			t.Errorf("the Cluster is gone or not Ready: %q", ready)
		}
		w.ask(t, "get", "nodes")
	})
	t.Run("installed again it takes up where it was, and a deleted Cluster leaves its hosts as they were", func(t *testing.T) {
		w.installManager(t)
		w.kubectl(t, "patch", "kwc", "site", "--type=merge", "-p", `{"spec":{"deletionPolicy":"Reset"}}`)
		w.kubectl(t, "delete", "kwc", "site", "--timeout=10m")
		for _, d := range listing.Differences(clean, w.remains(t)) {
			t.Error(d)
		}
	})
	if t.Failed() {
		w.explain(t)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	i, err := kubewright.Built(repository)
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := hosts.Up(t.Context(), hosts.Options{Name: "manager", Count: 4, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := fleet.Down(context.Background()); err != nil {
			t.Errorf("take the fleet down: %v", err)
		}
	})
	i.Dir, i.Name = t.TempDir(), "management"
	w := &world{fleet: fleet, Installation: i}
	if err := w.Describe(fleet, fixture.Options{Version: version, ControlPlanes: []string{"n1"}, Workers: []string{managerNode}, User: "ops"}); err != nil {
		t.Fatal(err)
	}
	if out, err := w.Up(t.Context()); err != nil {
		t.Fatalf("install the management cluster: %v\n%s", err, out)
	}
	file, err := os.Open(i.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := fleet.ExecInput(t.Context(), managerNode, file, "install", "-D", "-m", "0644", "/dev/stdin", bundles+"/kubernetes.bundle"); err != nil {
		t.Fatal(err)
	}
	w.loadImage(t)
	return w
}

// loadImage brings the manager's image to its node, as somebody does who has no registry.
func (w *world) loadImage(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	build := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", repository, "image", "IMAGE="+path)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := w.fleet.ExecInput(t.Context(), managerNode, file, "ctr", "--namespace", "k8s.io", "images", "import", "-"); err != nil {
		t.Fatal(err)
	}
}

func (w *world) installManager(t *testing.T) {
	t.Helper()
	chart, err := filepath.Abs(filepath.Join(repository, "charts", "kubewright"))
	if err != nil {
		t.Fatal(err)
	}
	w.helm(t, "install", "kubewright", chart, "--namespace", namespace, "--create-namespace", "--wait", "--timeout", "3m",
		"--set", "bundles.hostPath="+bundles, "--set", `nodeSelector.kubernetes\.io/hostname=`+managerNode, "--set", "rbac.secretNamespaces={default}")
}

// applySite describes the second cluster, and the bundle by the path that it has in the manager's container.
func (w *world) applySite(t *testing.T) {
	t.Helper()
	b, err := bundle.Open(w.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	digest := b.Digest()
	_ = b.Close()
	manifest, err := fixture.Manifest(w.fleet, fixture.Options{
		Name: "site", Version: version, ControlPlanes: site[:1], Workers: site[1:], User: "ops", CgroupV1: fixture.CgroupV1(),
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed := fmt.Sprintf(`
---
apiVersion: kubewright.io/v1alpha1
kind: OfflineManifest
metadata: {name: bundle}
spec: {source: "file:///bundles/kubernetes.bundle", digest: %q}
`, digest)
	if _, err := w.Kubectl(t.Context(), string(manifest)+sealed, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

func (w *world) helm(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"-C", filepath.Join(repository, "tools", "helm"), "tool", "helm", "--kubeconfig", w.Kubeconfig()}, args...)
	command := exec.CommandContext(t.Context(), "go", args...)
	if out, err := command.CombinedOutput(); err != nil {
		w.explain(t)
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.Kubectl(t.Context(), "", args...)
	if err != nil {
		w.explain(t)
		t.Fatal(err)
	}
	return out
}

// await waits for a condition as `kubectl wait` understands it.
func (w *world) await(t *testing.T, timeout, what, condition string) {
	t.Helper()
	w.kubectl(t, "wait", what, "--for="+condition, "--timeout="+timeout)
}

func (w *world) fetchKubeconfig(t *testing.T) {
	t.Helper()
	content, err := base64.StdEncoding.DecodeString(w.kubectl(t, "get", "secret", "site-kubeconfig", "-o", "jsonpath={.data.value}"))
	if err != nil {
		t.Fatal(err)
	}
	w.kubeconfig = filepath.Join(w.Dir, "site.kubeconfig")
	if err := os.WriteFile(w.kubeconfig, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ask runs kubectl on the site's cluster.
func (w *world) ask(t *testing.T, args ...string) string {
	t.Helper()
	return w.kubectl(t, append([]string{"--kubeconfig", w.kubeconfig}, args...)...)
}

// remains lists what the site's hosts are made of.
func (w *world) remains(t *testing.T) listing.View {
	t.Helper()
	v, err := listing.Take(t.Context(), w.fleet, listing.Remains, site...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// explain logs what somebody who looks into a failure asks first.
func (w *world) explain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"get", "kwc,kwop,kwh,kwm", "-o", "wide"}, {"describe", "kwc"}, {"get", "pods", "-A", "-o", "wide"},
		{"-n", namespace, "logs", "deployment/kubewright", "--tail=60"},
	} {
		out, err := w.Kubectl(ctx, "", args...)
		t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	t.Log(w.fleet.Evidence(ctx))
}
