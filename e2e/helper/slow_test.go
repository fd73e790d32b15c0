//go:build e2e

package helper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/hosts"
	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/client"
	kssh "github.com/kubewright/kubewright/pkg/ssh"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// The way to the host carries 500 KB a second, and no connection carries more than 3 MB: neither the helper nor the blob fits into one.
func TestTheHelperAndContentComeOverASlowWayThatBreaks(t *testing.T) {
	fleet, err := hosts.Up(t.Context(), hosts.Options{Name: "helper-slow", Count: 1, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := fleet.Down(context.Background()); err != nil {
			t.Errorf("take the fleet down: %v", err)
		}
	})
	host := fleet.Hosts()[0]
	relay := sshtest.StartRelay(t, host.Address.String()+":22", sshtest.RelayConfig{Rate: 500_000, CutAfter: 3_000_000})
	key, err := os.ReadFile(fleet.KeyPath)
	if err != nil {
		t.Fatal(err)
	}
	to := kssh.Target{
		Name: host.Name, Address: relay.Host(), Port: relay.Port(), User: "root",
		Auth: kssh.Auth{PrivateKey: key}, HostKeys: kssh.HostKeyPolicy{Known: host.HostKeys},
	}
	dial := func() *kssh.Client {
		c, err := kssh.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	bin := filepath.Join(t.TempDir(), "kubewright-host")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "../../cmd/kubewright-host")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the helper: %v\n%s", err, out)
	}
	helper, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	const place = "/var/lib/kubewright-helper/slow-test"
	tries := func(what string, try func() error) {
		for n := 1; ; n++ {
			err := try()
			if err == nil {
				t.Logf("%s came with try %d; %d bytes went over %d connections", what, n, relay.Carried(), relay.Connections())
				return
			}
			if n == 15 {
				t.Fatalf("%s does not come: %v", what, err)
			}
		}
	}
	tries("the helper", func() error {
		return dial().Place(t.Context(), kssh.Placement{
			Path: place, Digest: digest(helper), Size: int64(len(helper)), Mode: 0o755,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(helper)), nil },
		})
	})
	// A connection that breaks costs what was under way: at most the 2 MiB of sshd's window.
	if carried, most := relay.Carried(), int64(len(helper))*2; carried > most {
		t.Errorf("%d bytes were carried for a helper of %d", carried, len(helper))
	}

	content := make([]byte, 8<<20)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(content); err != nil {
		t.Fatal(err)
	}
	store := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
	before := relay.Carried()
	tries("the blob", func() error {
		process, err := dial().RunHelper(t.Context(), kssh.Command{Path: place, Args: []string{"serve"}})
		if err != nil {
			return err
		}
		session, err := client.Connect(t.Context(), streams{process}, client.Options{Operation: "slow", Holder: t.Name(), Blobs: store})
		if err != nil {
			return err
		}
		defer func() { _ = session.Close() }()
		if _, err := session.AcquireLease(t.Context(), time.Minute); err != nil {
			return err
		}
		_, err = session.Apply(t.Context(), api.ApplyRequest{Step: "slow", Owner: owner, Resources: []api.Resource{
			{ID: "blob", Blob: &api.Blob{Digest: "sha256:" + digest(content), Size: int64(len(content))}},
		}}, nil)
		return err
	})
	if carried := relay.Carried() - before; carried > int64(len(content))*2 {
		t.Errorf("%d bytes were carried for a blob of %d", carried, len(content))
	}
	sum, err := fleet.Exec(t.Context(), host.Name, "sha256sum", "/var/lib/kubewright/blobs/sha256/"+digest(content))
	if err != nil || !strings.HasPrefix(string(sum), digest(content)) {
		t.Errorf("on the host lies %s, %v", sum, err)
	}
	if left, err := fleet.Exec(t.Context(), host.Name, "find", "/var/lib/kubewright/blobs", "/var/lib/kubewright-helper", "-name", "*.part"); err != nil || len(left) > 0 {
		t.Errorf("parts are left: %s, %v", left, err)
	}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// streams makes a program's standard streams one connection.
type streams struct{ process *kssh.Process }

func (s streams) Read(b []byte) (int, error)  { return s.process.Stdout.Read(b) }
func (s streams) Write(b []byte) (int, error) { return s.process.Stdin.Write(b) }
func (s streams) Close() error {
	s.process.Close()
	return nil
}
