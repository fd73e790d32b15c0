//go:build e2e

package install

import (
	"context"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/hosts"
)

// requireAnswersWithoutMember takes away the member of etcd beside an API server, asks that API server and no other, and gives the member back.
func requireAnswersWithoutMember(t *testing.T, ctx context.Context, fleet *hosts.Fleet, host string) {
	const manifest, aside = "/etc/kubernetes/manifests/etcd.yaml", "/root/etcd.yaml"
	member := []string{"/usr/local/bin/etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
		"--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt", "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key", "endpoint", "health"}
	isWell := func(well bool) {
		t.Helper()
		patience, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		for {
			if _, err := fleet.Exec(patience, host, member...); (err == nil) == well && patience.Err() == nil {
				return
			}
			select {
			case <-patience.Done():
				t.Fatalf("after two minutes the member of etcd on %s is still well: %t", host, !well)
			case <-time.After(time.Second):
			}
		}
	}
	isWell(true)
	run(t, ctx, fleet, host, "mv", manifest, aside)
	isWell(false)
	for range 10 {
		if out, err := fleet.Exec(ctx, host, "/usr/local/bin/kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--server=https://127.0.0.1:6443",
			"--cache-dir=/tmp/kubectl", "--request-timeout=5s", "get", "namespace", "default"); err != nil {
			t.Errorf("the API server of %s: %v\n%s", host, err, out)
		}
	}
	run(t, ctx, fleet, host, "mv", aside, manifest)
	isWell(true)
}
