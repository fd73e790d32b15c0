package bundle

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestMain lets the test program stand in for one that imports a bundle, so that tests can kill it.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "import-one-bundle" {
		os.Exit(importInStep(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// importInStep copies a bundle. Whenever it has come further it says so and waits for an answer, so that it can be killed just there.
func importInStep(path, source string) int {
	answers := bufio.NewReader(os.Stdin)
	err := Copy(context.Background(), path, source, CopyOptions{Progress: func(done, _ int64) {
		fmt.Println(done)
		if _, err := answers.ReadString('\n'); err != nil {
			os.Exit(3) // the test is gone
		}
	}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestAnImportKilledAtAnyMoment kills the import of a bundle again and again, at moments that a seed chooses, until one comes through.
// Nothing is ever in the bundle's place but the whole bundle, and no run does again what an earlier one had finished.
func TestAnImportKilledAtAnyMoment(t *testing.T) {
	const blobs, blobSize = 24, 3 << 20 / 2
	source := filepath.Join(t.TempDir(), "source.bundle")
	cfg, content := fixture(t)
	random := rand.New(rand.NewPCG(42, 0)) //nolint:gosec // test data
	for i := range blobs {
		raw := make([]byte, blobSize)
		for at := range raw {
			raw[at] = byte(random.Uint32())
		}
		d, blob := BytesBlob(raw)
		content[d] = blob
		cfg.Releases[0].Files = append(cfg.Releases[0].Files, File{
			Name: "file" + strconv.Itoa(i), Kind: FileBinary, Component: "kubernetes", Version: "v1.36.3", Platform: testPlatform, Digest: d, Size: blob.Size, Mode: 0o755,
		})
	}
	root, err := Write(t.Context(), source, cfg, content)
	if err != nil {
		t.Fatal(err)
	}
	want := readFile(t, source)
	path := filepath.Join(t.TempDir(), "k.bundle")
	rounds, furthest, written := 0, int64(0), int64(0)
	for ; ; rounds++ {
		// Up to six steps beyond where the runs before came, of which there are two for each blob; the last ones are all at the end.
		done, wrote, whole := importUntil(t, path, source, furthest, 1+random.IntN(6))
		furthest, written = max(furthest, done), written+wrote
		if placed, err := os.ReadFile(path); !os.IsNotExist(err) && !bytes.Equal(placed, want) {
			t.Fatalf("after %d rounds something else is in the bundle's place: %d bytes, %v", rounds, len(placed), err)
		}
		if whole {
			break
		}
		// What the kill left is not served: the name it has is no bundle's, and its content is none before the end.
		if b, err := Open(path + partialSuffix); err == nil {
			if _, err := b.Verify(t.Context(), VerifyOptions{Expected: root}); err != nil {
				t.Errorf("a partial bundle opens and is wrong: %v", err)
			}
			_ = b.Close()
		}
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	if _, err := b.Verify(t.Context(), VerifyOptions{Expected: root}); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the bundle are %v, %v", left, err)
	}
	if rounds < 8 {
		t.Errorf("it was killed %d times only", rounds)
	}
	// A kill loses the blob that was being copied, and nothing that was finished before.
	if most := int64(len(want)) + int64(rounds)*(blobSize+64<<10); written > most {
		t.Errorf("%d bytes were written for %d, after %d kills", written, len(want), rounds)
	}
	t.Logf("killed %d times; %d bytes were written for %d", rounds, written, len(want))
}

// importUntil runs the import and kills it when it has made so many steps beyond a place; it returns how far it came, how many bytes it
// wrote, and whether it came through before.
func importUntil(t *testing.T, path, source string, beyond int64, steps int) (done, written int64, whole bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "import-one-bundle", path, source) //nolint:gosec // this very program
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		at, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			t.Fatalf("it said %q", lines.Text())
		}
		done = max(done, at)
		written = writtenBy(t, cmd.Process.Pid)
		if at >= beyond {
			steps--
		}
		if steps == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break
		}
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
	}
	return done, written, cmd.Wait() == nil
}

// writtenBy is how many bytes a process has written, to wherever.
func writtenBy(t *testing.T, pid int) int64 {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, fmt.Sprintf("/proc/%d/io", pid)))) {
		if number, ok := strings.CutPrefix(line, "wchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the kernel does not count what a process writes")
	return 0
}
