//go:build e2e

package secrets

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// managed has `kubewright manager` make a cluster whose plan is approved, look at it, back it up, and remove it.
func (w *world) managed(t *testing.T) {
	t.Helper()
	api := testenv.New(t)
	kubeconfig := filepath.Join(w.Dir, "management.kubeconfig")
	must(t, os.WriteFile(kubeconfig, api.Kubeconfig(), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := watchFile(ctx, w.hunt, w.vault, "managed", kubeconfig, "kubewright.io"); err != nil {
			t.Errorf("watch the management API server: %v", err)
		}
	})
	kubectl := func(stdin string, args ...string) string {
		t.Helper()
		out, err := w.Kubectl(t.Context(), stdin, append([]string{"--kubeconfig", kubeconfig}, args...)...)
		if err != nil {
			t.Log(w.fleet.Evidence(t.Context()))
			t.Fatal(err)
		}
		return out
	}
	address, stop := w.startManager(t, kubeconfig)

	w.describe(t, fixture.Set("Cluster", "", "Manual", "spec", "operationPolicy"))
	described, err := os.ReadFile(w.ClusterFile())
	must(t, err)
	b, err := bundle.Open(w.Bundle)
	must(t, err)
	digest := b.Digest()
	must(t, b.Close())
	manifest := fmt.Sprintf("---\napiVersion: kubewright.io/v1alpha1\nkind: OfflineManifest\nmetadata: {name: bundle}\nspec: {source: %q, digest: %q}\n", "file://"+w.Bundle, digest)
	w.duringLook(t, "plan-that-waits-for-approval", func() {
		kubectl(string(described)+manifest, "create", "-f", "-")
		kubectl("", "wait", "kwc/"+w.Name, `--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=AwaitingApproval`, "--timeout=10m")
	})
	operation := strings.TrimSpace(kubectl("", "get", "kwop", "-o", `jsonpath={.items[?(@.status.phase=="AwaitingApproval")].metadata.name}`))
	plan := kubectl("", "get", "kwop", operation, "-o", "jsonpath={.status.planDigest}")
	kubectl("", "annotate", "kwop", operation, "kubewright.io/approve="+plan, "kubewright.io/approved-by=hunter")
	kubectl("", "wait", "kwc/"+w.Name, "--for=condition=Ready", "--timeout=20m")
	kubectl("", "patch", "kwc", w.Name, "--type=merge", "-p", `{"spec":{"operationPolicy":"Automatic","deletionPolicy":"Reset"}}`)
	// The changed spec brings an operation of its own, which must not be taken for the looks below.
	generation := kubectl("", "get", "kwc", w.Name, "-o", "jsonpath={.metadata.generation}")
	kubectl("", "wait", "kwc/"+w.Name, "--for=jsonpath={.status.installedGeneration}="+generation, "--timeout=10m")
	kubectl("", "wait", "kwc/"+w.Name, "--for=condition=Ready", "--timeout=10m")
	operate := func(kind string) {
		t.Helper()
		name := "by-hand-" + strings.ToLower(kind)
		kubectl(fmt.Sprintf("apiVersion: kubewright.io/v1alpha1\nkind: ClusterOperation\nmetadata: {name: %s}\nspec: {clusterRef: {name: %s}, type: %s}\n", name, w.Name, kind), "create", "-f", "-")
		kubectl("", "wait", "kwop/"+name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=10m")
	}
	operate("BackupEtcd")
	w.onHost(t, controlPlane, "echo >>/etc/kubernetes/pki/ca.key")
	w.duringLook(t, "check", func() { operate("Check") })
	w.knowKeys(t)
	w.plantDecoysInObjects(t, kubectl)
	must(t, readMetrics(t.Context(), w.hunt, "http://"+address+"/metrics"))
	kubectl("", "delete", "kwc", w.Name, "--timeout=10m")
	w.hunt.add(logged, "kubewright manager", stop())
	cancel()
	watching.Wait()
}

// plantDecoysInObjects has an annotation, a status, an event and the manager's log tell a decoy. What is wrong with an object is logged under
// the object's name.
func (w *world) plantDecoysInObjects(t *testing.T, kubectl func(stdin string, args ...string) string) {
	t.Helper()
	decoy := w.decoys[objects]
	kubectl("", "annotate", "kwh", controlPlane, "example.com/decoy="+decoy+"-annotation")
	kubectl("", "patch", "kwh", controlPlane, "--subresource=status", "--type=merge", "-p", fmt.Sprintf(
		`{"status":{"conditions":[{"type":"Decoy","status":"True","reason":"Decoy","message":"%s-status","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, decoy))
	kubectl(fmt.Sprintf(`{"apiVersion":"v1","kind":"Event","metadata":{"name":"decoy","namespace":"default"},"message":"%s-event",`+
		`"involvedObject":{"kind":"Host","name":"n1","namespace":"default"},"type":"Normal","reason":"Decoy"}`, decoy), "create", "-f", "-")
	kubectl(fmt.Sprintf("apiVersion: kubewright.io/v1alpha1\nkind: OfflineManifest\nmetadata: {name: %s}\nspec: {source: \"file:///nowhere\", digest: \"sha256:%064d\"}\n",
		w.decoys[logged], 0), "create", "-f", "-")
	kubectl("", "wait", "kwm/"+w.decoys[logged], "--for=condition=Stalled", "--timeout=1m")
}

// startManager runs `kubewright manager`, says where its metrics are, and how to stop it; then it returns what it has logged.
func (w *world) startManager(t *testing.T, kubeconfig string) (address string, stop func() []byte) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address = listener.Addr().String()
	must(t, listener.Close())
	command := exec.CommandContext(t.Context(), w.Program, "manager", "--leader-elect=false", "--log-level", "debug", "--health-probe-bind-address", "",
		"--metrics-bind-address", address, "--bundle-root", filepath.Dir(w.Bundle))
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	must(t, command.Start())
	return address, sync.OnceValue(func() []byte {
		must(t, command.Process.Signal(syscall.SIGTERM))
		if err := command.Wait(); err != nil {
			t.Errorf("the manager ended with %v", err)
		}
		return log.Bytes()
	})
}
