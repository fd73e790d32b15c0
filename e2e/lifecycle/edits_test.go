//go:build e2e

package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// alone is the cluster on which every restart of the control plane shows: there is no other API server, and no other member of etcd.
var alone = shape{newest, []string{"n1"}, nil}

func TestManyEditsOfTheControlPlane(t *testing.T) {
	w := newWorld(t, "edits", 1)
	w.tell(t, []scenario{
		{"arguments of the API server are changed ten times in a row", alone, editArguments},
	})
}

// edits is how often the arguments are changed. Kubelet holds a pod back for 5 minutes that was begun again six times under one UID.
const edits = 10

func editArguments(t *testing.T, w *world) {
	// What an earlier version left there; it goes with the first change.
	const left = "/etc/kubernetes/tmp/kubeadm-backup-etcd-2026-01-01-00-00-00"
	w.exec(t, "n1", "mkdir", "-p", left)
	w.exec(t, "n1", "cp", "-r", "/var/lib/etcd/member", left)

	etcd, certificates := w.processOf(t, "etcd"), w.certificates(t)
	client := w.askAPI(t)
	for i := range edits {
		// Back and forth between two values, so that the manifest of before, and with it the pod of before, comes back.
		ttl := fmt.Sprintf("%dh0m0s", 2+i%2)
		w.must(t, w.now, fixture.Set("Cluster", "", map[string]any{
			"apiServer": map[string]any{"extraArgs": []any{map[string]any{"name": "event-ttl", "value": ttl}}},
		}, "spec", "overrides", "kubeadm"))
		if running := w.exec(t, "n1", "ps", "-C", "kube-apiserver", "-o", "args="); !strings.Contains(running, "--event-ttl="+ttl) {
			t.Fatalf("after edit %d the API server runs with %s", i+1, running)
		}
	}
	gaps := client.end()
	t.Run("etcd was not restarted", func(t *testing.T) {
		if now := w.processOf(t, "etcd"); now != etcd {
			t.Errorf("it is process %q, and was %q", now, etcd)
		}
	})
	t.Run("no certificate was renewed", func(t *testing.T) {
		if now := w.certificates(t); now != certificates {
			t.Errorf("they are\n%s\nand were\n%s", now, certificates)
		}
	})
	t.Run("a client misses the API once for each edit at most", func(t *testing.T) {
		var longest time.Duration
		for _, g := range gaps {
			longest = max(longest, g)
		}
		t.Logf("measured: %d edits of the API server's arguments on one control plane: %d gaps, the longest %s", edits, len(gaps), longest.Round(100*time.Millisecond))
		if len(gaps) > edits {
			t.Errorf("the API was away %d times in %d edits: %v", len(gaps), edits, gaps)
		}
		// Far above what a start takes, and below what kubelet's back-off comes to.
		if longest > 2*time.Minute {
			t.Errorf("the API was away for %s", longest)
		}
	})
	t.Run("no copy of etcd lies about", func(t *testing.T) {
		if found := w.exec(t, "n1", "find", "/etc/kubernetes/tmp", "-name", "kubeadm-backup-etcd-*"); found != "" {
			t.Errorf("there are\n%s", found)
		}
	})
	w.requireWhole(t)
	t.Run("running again changes nothing", w.requireNothingToDo)
}

// processOf identifies the process of a static pod on the one host.
func (w *world) processOf(t *testing.T, program string) string {
	t.Helper()
	return w.exec(t, "n1", "ps", "-C", program, "-o", "pid=,lstart=")
}

// certificates are the digests of everything signed that kubeadm keeps on the one host.
func (w *world) certificates(t *testing.T) string {
	t.Helper()
	return w.exec(t, "n1", "bash", "-c", "sha256sum /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt /etc/kubernetes/*.conf")
}

// apiClient asks the API ten times a second and notes how long it was away each time.
type apiClient struct {
	stop func()
	gaps []time.Duration
}

// end stops asking and returns the gaps.
func (c *apiClient) end() []time.Duration {
	c.stop()
	return c.gaps
}

// askAPI asks the API of the one control plane from this machine.
func (w *world) askAPI(t *testing.T) *apiClient {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(w.kubectl(t, "config", "view", "--raw", "-o", "json")))
	if err != nil {
		t.Fatal(err)
	}
	config.Timeout, config.QPS = 2*time.Second, -1
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var ended sync.WaitGroup
	c := &apiClient{stop: func() { cancel(); ended.Wait() }}
	t.Cleanup(c.stop)
	ended.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		var away time.Time
		for {
			_, err := client.RESTClient().Get().AbsPath("/api/v1/namespaces/default").DoRaw(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && away.IsZero():
				away = time.Now()
			case err == nil && !away.IsZero():
				c.gaps = append(c.gaps, time.Since(away))
				away = time.Time{}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return c
}
