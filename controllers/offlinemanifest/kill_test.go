package offlinemanifest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kubewright/kubewright/controllers/internal/wake"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/verified"
)

// TestMain lets the test program stand in for a manager that takes a fetched bundle in, so that tests can kill it.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "take-in-one-bundle" {
		os.Exit(takeInStep(storeDir(os.Args[2])))
	}
	os.Exit(m.Run())
}

// takeInStep verifies the bundle whose identity is on the standard input and puts it into its place. At each step it says which, and waits
// for an answer, so that it can be killed just there.
func takeInStep(dir storeDir) int {
	answers := bufio.NewReader(os.Stdin)
	line, err := answers.ReadBytes('\n')
	var id identity
	if err := errors.Join(err, json.Unmarshal(line, &id)); err != nil {
		fmt.Println(err)
		return 2
	}
	var mu sync.Mutex
	step := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(what)
		if _, err := answers.ReadString('\n'); err != nil {
			os.Exit(3) // the test is gone
		}
	}
	store := NewStore(filepath.Join(string(dir), "verified"))
	v := newVerifier(store, dir, wake.New(), time.Now, Sources{}.retryDelay)
	hash := v.verify
	v.verify = func(ctx context.Context, b *bundle.Bundle, o verified.Options) (*verified.Result, error) {
		step("opened")
		o.Progress = func(int64, int64) { step("hashing") }
		r, err := hash(ctx, b, o)
		step("hashed")
		return r, err
	}
	store.OnOpen(func(string) { step("in its place") })
	v.ensure("m", id, trust{})
	v.wg.Wait()
	if at := v.ensure("m", id, trust{}); at.err != nil {
		fmt.Println("refused")
	}
	return 0
}

// takeInUntil runs it and kills it at a step; it returns the steps it said, the last of them being the one it died at, and whether it came
// to its end before.
func takeInUntil(t *testing.T, dir storeDir, id identity, steps int) (said []string, ended bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "take-in-one-bundle", string(dir)) //nolint:gosec // this very program
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	document, err := json.Marshal(id)
	check(t, err)
	_, err = in.Write(append(document, '\n'))
	check(t, err)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if len(said) == steps {
			check(t, cmd.Process.Kill())
			break
		}
		if lines.Text() != "refused" {
			_, err := in.Write([]byte("\n"))
			check(t, err)
		}
	}
	return said, cmd.Wait() == nil
}

// TestKilledAtEachStepOfTakingABundleIn kills at the first step, at the second and so on, until it comes through. The next process has the
// bundle, and hashes it once more only when the one before had not come to its end; a bundle that is wrong never gets into its place.
func TestKilledAtEachStepOfTakingABundleIn(t *testing.T) {
	files := [][]byte{bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 3<<20), bytes.Repeat([]byte("c"), 2<<20)}
	for title, good := range map[string]bool{"a good one": true, "one with a wrong byte": false} {
		t.Run(title, func(t *testing.T) {
			for steps := 1; ; steps++ {
				dir := storeDir(t.TempDir())
				id := incoming(t, dir, "v1.36.3", files...)
				if !good {
					id = spoil(t, id)
				}
				said, ended := takeInUntil(t, dir, id, steps)
				last := said[len(said)-1]
				if _, err := os.Stat(dir.verified(id.Digest)); (err == nil) != (last == "in its place") {
					t.Fatalf("killed after %q, it is in its place: %v", said, err)
				}
				requireNextRun(t, dir, id, good, last == "hashed" || last == "in its place")
				if ended {
					if steps < 5 {
						t.Errorf("there were only the steps %q", said)
					}
					return
				}
			}
		})
	}
}

// requireNextRun looks for the bundle as a new process does, and expects it open when it is good.
func requireNextRun(t *testing.T, dir storeDir, id identity, good, known bool) {
	t.Helper()
	at, found, err := dir.find(id.Digest)
	if err != nil || !found {
		t.Fatalf("the file is gone: %v", err)
	}
	v, store := verifierIn(t, dir, time.Now)
	hash := v.verify
	v.verify = func(ctx context.Context, b *bundle.Bundle, o verified.Options) (*verified.Result, error) {
		r, err := hash(ctx, b, o)
		if err == nil && r.Remembered != known {
			t.Errorf("it is known from the run before: %v, want %v", r.Remembered, known)
		}
		return r, err
	}
	v.ensure("m", at, trust{})
	v.wg.Wait()
	lease, open := store.Acquire("m")
	if open != good {
		t.Fatalf("the next run hands it out: %v", open)
	}
	if !good {
		if reason := reasonOf(v.ensure("m", at, trust{}).err); reason != ReasonCorrupt {
			t.Errorf("it is refused as %s", reason)
		}
		return
	}
	defer lease.Release()
	if _, err := lease.Bundle.Verify(t.Context(), bundle.VerifyOptions{Expected: id.Digest}); err != nil {
		t.Errorf("what is handed out is wrong: %v", err)
	}
}

// spoil changes one byte of content in a bundle, and returns what the file is known by after that.
func spoil(t *testing.T, id identity) identity {
	t.Helper()
	raw, err := os.ReadFile(id.Path)
	check(t, err)
	raw[bytes.Index(raw, bytes.Repeat([]byte("c"), 1<<20))+1000] ^= 1
	check(t, os.WriteFile(id.Path, raw, 0o600))
	id, err = identify(id.Path, id.Digest)
	check(t, err)
	return id
}
