//go:build e2e

package install

import (
	"context"
	"encoding/base64"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fixture"
	"github.com/kubewright/kubewright/e2e/kubewright"
)

// kills is how often one installation is killed.
const kills = 10

// TestAnInstallationKilledAgainAndAgainConverges kills kubewright with SIGKILL at random moments, runs the same command again each
// time, and lets the last run end by itself.
func TestAnInstallationKilledAgainAndAgainConverges(t *testing.T) {
	ctx := testContext(t)
	fleet, i := prepare(t, ctx, "kill", fixture.Options{ControlPlanes: controlPlanes, Workers: workers})
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for n := range kills {
		// Early runs do more than late ones; a wait of this range hits everything from connecting to joining.
		after := time.Duration(3+random.IntN(22)) * time.Second
		ended, last := killAfter(t, ctx, i, after)
		t.Logf("kill %d after %s: ended by itself: %v; last lines:\n%s", n+1, after, ended, last)
		if ended {
			break
		}
	}
	out, err := i.Up(ctx)
	if err != nil {
		t.Fatalf("kubewright up after the kills: %v\n%s", err, out)
	}
	t.Log(tail(out, 12))
	requireWholeCluster(t, ctx, fleet, i)
	requireOneAuthority(t, ctx, i)
	t.Run("and then there is nothing left to do", func(t *testing.T) {
		out, err := i.Up(ctx)
		if err != nil {
			t.Fatalf("kubewright up: %v\n%s", err, out)
		}
		if !strings.Contains(out, "nothing had to be changed") {
			t.Errorf("something was changed:\n%s", out)
		}
	})
}

// killAfter runs up and kills it. It tells whether up had ended before.
func killAfter(t *testing.T, ctx context.Context, i *kubewright.Installation, after time.Duration) (ended bool, last string) {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "up")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	command := i.UpCommand(ctx)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	select {
	case err := <-done:
		text, _ := os.ReadFile(log.Name())
		if err != nil {
			t.Fatalf("kubewright up failed before it was killed: %v\n%s", err, text)
		}
		ended = true
	case <-time.After(after):
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	return ended, tail(string(text), 3)
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
