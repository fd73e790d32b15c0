//go:build e2e

package install

import (
	"context"
	"encoding/base64"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

// stages are steps of an installation in the order in which they begin. An installation goes on for longer than a moment after the last.
var stages = []string{
	"host/connect", "host/preflight", "content/blobs", "host/tools", "host/kernel", "control-plane/authorities", "runtime/containerd",
	"runtime/images", "node/kubelet", "node/apiserver-proxy", "control-plane/init", "runtime/other-images", "node/join", "control-plane/prepare", "control-plane/etcd",
	"control-plane/join", "node/pod-network",
}

const (
	// joined is told of when all hosts have joined. What a killed run began goes on on hosts, so that a stage can be over before the next run
	// tells of it.
	joined = "cluster/etcd-members"
	// kills is how often one installation is killed.
	kills = 10
	// mostLife is the longest that kubewright lives after a stage was told of.
	mostLife = time.Second
)

// TestAnInstallationKilledAgainAndAgainConverges kills kubewright with SIGKILL at random moments, runs the same command again each
// time, and lets the last run end by itself.
func TestAnInstallationKilledAgainAndAgainConverges(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "kill", fixture.Options{ControlPlanes: controlPlanes, Workers: workers})
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	chosen := random.Perm(len(stages))[:kills]
	slices.Sort(chosen)
	made := authorities{}
	for n, stage := range chosen {
		life := time.Duration(random.Int64N(int64(mostLife)))
		last := killAfter(t, ctx, fleet, i, stages[stage], life)
		t.Logf("kill %d, %s after it told of %s; last lines:\n%s", n+1, life, stages[stage], last)
		made.look(t, ctx, fleet)
	}
	out := mustUp(t, ctx, fleet, i)
	t.Log(tail(out, 12))
	made.look(t, ctx, fleet)
	made.requireOnce(t)
	requireWholeCluster(t, ctx, fleet, i)
	requireOneAuthority(t, ctx, i)
	t.Run("and then there is nothing left to do", func(t *testing.T) {
		out := mustUp(t, ctx, fleet, i)
		if !strings.Contains(out, "nothing had to be changed") {
			t.Errorf("something was changed:\n%s", out)
		}
	})
}

// killAfter runs up and kills it so long after it told of a step for the first time, or of all hosts having joined. Ending before is a
// failure: it should have been killed.
func killAfter(t *testing.T, ctx context.Context, fleet *hosts.Fleet, i *kubewright.Installation, step string, life time.Duration) (last string) {
	t.Helper()
	up, err := i.Start(i.UpCommand(ctx))
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\s+\S+\s+(` + step + `|` + joined + `)\s`)
	if _, err := up.Await(ctx, told); err != nil {
		t.Log(fleet.Evidence(ctx))
		t.Fatalf("kubewright up before it was killed: %v", err)
	}
	if !up.Outlives(life) {
		out, err := up.Wait()
		t.Fatalf("kubewright up ended by itself before it was killed: %v\n%s", err, out)
	}
	up.Kill()
	return tail(up.Output(), 3)
}

// authorities are the digests of what is made once for a cluster, by path, wherever and whenever it was seen.
type authorities map[string]map[string]bool

// look notes what stands on hosts by now.
func (a authorities) look(t *testing.T, ctx context.Context, fleet *hosts.Fleet) {
	t.Helper()
	for _, h := range fleet.Hosts() {
		// What is not there yet makes sha256sum fail, and is no news.
		found := run(t, ctx, fleet, h.Name, "bash", "-c",
			"cd /etc/kubernetes/pki 2>/dev/null && sha256sum ca.crt etcd/ca.crt front-proxy-ca.crt sa.pub 2>/dev/null || true")
		for line := range strings.Lines(found) {
			digest, path, _ := strings.Cut(strings.TrimSpace(line), "  ")
			if a[path] == nil {
				a[path] = map[string]bool{}
			}
			a[path][digest] = true
		}
	}
}

func (a authorities) requireOnce(t *testing.T) {
	t.Helper()
	if len(a) != 4 {
		t.Errorf("of 4 authorities and keys these were seen on hosts: %v", slices.Sorted(maps.Keys(a)))
	}
	for path, digests := range a {
		if len(digests) != 1 {
			t.Errorf("%s was made %d times", path, len(digests))
		}
	}
}

// requireOneAuthority asks the cluster for the authority it publishes and compares it with the one in the kubeconfig, which comes
// from the management side: had either been made twice, they would differ.
func requireOneAuthority(t *testing.T, ctx context.Context, i *kubewright.Installation) {
	t.Helper()
	published := kubectl(t, ctx, i, "-n", "kube-system", "get", "configmap", "kube-root-ca.crt", "-o", `jsonpath={.data.ca\.crt}`)
	trusted := kubectl(t, ctx, i, "config", "view", "--raw", "-o", `jsonpath={.clusters[0].cluster.certificate-authority-data}`)
	if got := decode(t, trusted); strings.TrimSpace(got) != strings.TrimSpace(published) {
		t.Errorf("the cluster publishes another authority than the kubeconfig trusts")
	}
}

func decode(t *testing.T, text string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
