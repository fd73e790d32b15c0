package bundlecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/sign"
)

// TestMain keeps what is verified here out of the user's cache.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kubewright-bundlecmd-")
	if err == nil {
		err = os.Setenv("XDG_CACHE_HOME", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// written writes a bundle with one file in it.
func written(t *testing.T) (string, digest.Digest) {
	t.Helper()
	return release(t, "v1.36.3")
}

// release writes a bundle of a version with one file in it, which is the same in all.
func release(t *testing.T, version string) (string, digest.Digest) {
	t.Helper()
	d, blob := bundle.BytesBlob([]byte("kubelet"))
	cfg := &bundle.Config{Name: "small", Created: time.Unix(1700000000, 0), Releases: []bundle.Release{{
		KubernetesVersion: version, Platforms: []string{"linux/amd64"},
		Files: []bundle.File{{Name: "kubelet", Kind: bundle.FileBinary, Component: "kubernetes", Version: "v1.36.3", Platform: "linux/amd64", Digest: d, Size: blob.Size, Mode: 0o755}},
	}}}
	path := filepath.Join(t.TempDir(), "small.bundle")
	root, err := bundle.Write(context.Background(), path, cfg, map[digest.Digest]bundle.Blob{d: blob})
	if err != nil {
		t.Fatal(err)
	}
	return path, root
}

// call runs the command and returns its standard output.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return callUntil(context.Background(), args...)
}

// callUntil runs the command until a context ends.
func callUntil(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := New()
	cmd.SilenceErrors = true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

func TestInspectShowsVersionsFilesAndDigest(t *testing.T) {
	path, root := written(t)
	out, err := call(t, "inspect", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"v1.36.3", "linux/amd64", "kubelet", root.String(), "7 B"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	out, err = call(t, "inspect", path, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Digest digest.Digest
		Config bundle.Config
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Digest != root || got.Config.Releases[0].Files[0].Name != "kubelet" {
		t.Errorf("%v, %+v", err, got)
	}
	if _, err := call(t, "inspect", path, "-o", "xml"); err == nil || !strings.Contains(err.Error(), "--output") {
		t.Errorf("an unknown output gives %v", err)
	}
}

func TestVerifyComparesTheTrustedDigest(t *testing.T) {
	path, root := written(t)
	if out, err := call(t, "verify", path, "--digest", root.String()); err != nil || !strings.Contains(out, root.String()) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := call(t, "verify", path); err != nil || !strings.Contains(out, "was not checked") {
		t.Errorf("without a digest: %v\n%s", err, out)
	}
	var untrusted *bundle.UntrustedError
	if _, err := call(t, "verify", path, "--digest", digest.FromString("other").String()); !errors.As(err, &untrusted) {
		t.Errorf("with another digest: %v", err)
	}
	if _, err := call(t, "verify", path, "--digest", "sha256:zz"); err == nil || !strings.Contains(err.Error(), "expected digest") {
		t.Errorf("with nonsense: %v", err)
	}
}

func TestBuildAsksForWhatItNeeds(t *testing.T) {
	if _, err := call(t, "build", "-o", "x"); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("without a definition: %v", err)
	}
	if _, err := call(t, "build", "-f", "x.yaml"); err == nil || !strings.Contains(err.Error(), "--output") {
		t.Errorf("without an output: %v", err)
	}
}

// Nothing is fetched: the program that would fetch does nothing at all.
func TestABuildOfReleasesWithoutALockSaysHowToMakeOne(t *testing.T) {
	definition := "../../../../artifacts/release-1.36.yaml"
	lock := filepath.Join(t.TempDir(), "lock.yaml")
	_, err := call(t, "build", "-f", definition, "-o", filepath.Join(t.TempDir(), "x"), "--lock-file", lock, "--fetch-program", "/bin/true")
	if err == nil || !strings.Contains(err.Error(), "kubewright bundle lock -f "+definition) {
		t.Errorf("got %v, want the command that pins", err)
	}
	_, err = call(t, "build", "-f", definition, "-o", filepath.Join(t.TempDir(), "x"), "--lock-file", lock, "--fetch-program", "/bin/true", "--cache-dir", t.TempDir(), "--locked=false")
	if err == nil || strings.Contains(err.Error(), "bundle lock") {
		t.Errorf("without pins: got %v, want that nothing could be fetched", err)
	}
}

func TestSizesAreWrittenForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestMergeWritesOneBundleAndNamesItsVersions(t *testing.T) {
	path, _ := written(t)
	out := filepath.Join(t.TempDir(), "merged.bundle")
	text, err := call(t, "merge", path, path, "-o", out, "--name", "both")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	if b.Config().Name != "both" {
		t.Errorf("it is named %s", b.Config().Name)
	}
	if r := b.Referrers(); len(r) != 1 || r[0].Type != bundle.TypeProvenance {
		t.Errorf("attached are %+v; the inputs have no bill of materials", r)
	}
	for _, want := range []string{b.Digest().String(), out, "Kubernetes v1.36.3 for linux/amd64"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if _, err := call(t, "merge", path); err == nil || !strings.Contains(err.Error(), "output") {
		t.Errorf("without an output: %v", err)
	}
	if _, err := call(t, "merge", path, path+".not", "-o", out); err == nil || !strings.Contains(err.Error(), path+".not") {
		t.Errorf("with a file that is not there: %v", err)
	}
}

func TestADeltaIsMadeShownVerifiedAndApplied(t *testing.T) {
	older, _ := release(t, "v1.35.4")
	newer, root := written(t)
	delta, full := filepath.Join(t.TempDir(), "delta.bundle"), filepath.Join(t.TempDir(), "full.bundle")
	if text, err := call(t, "diff", older, newer, "-o", delta); err != nil || !strings.Contains(text, root.String()) {
		t.Fatalf("%v\n%s", err, text)
	}
	if text, err := call(t, "inspect", delta, "--base", older); err != nil || !strings.Contains(text, "Delta against:") {
		t.Errorf("%v\n%s", err, text)
	}
	var missing *bundle.MissingBaseError
	if _, err := call(t, "verify", delta); !errors.As(err, &missing) {
		t.Errorf("verified without its base: %v", err)
	}
	if _, err := call(t, "verify", delta, "--base", older, "--digest", root.String()); err != nil {
		t.Error(err)
	}
	if _, err := call(t, "apply", newer, "--base", older, "-o", full); err == nil || !strings.Contains(err.Error(), "no delta") {
		t.Errorf("applied what is no delta: %v", err)
	}
	if text, err := call(t, "apply", delta, "--base", older, "-o", full); err != nil || !strings.Contains(text, root.String()) {
		t.Fatalf("%v\n%s", err, text)
	}
	want, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(full); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the applied bundle is another one: %v", err)
	}
}

func TestABundleIsSplitJoinedAndCopied(t *testing.T) {
	path, root := written(t)
	dir := filepath.Join(t.TempDir(), "media", "usb") // it is made
	if out, err := call(t, "split", path, "--size", "2k", "--dir", dir); err != nil || !strings.Contains(out, bundle.PartsSuffix) {
		t.Fatalf("%v\n%s", err, out)
	}
	list := filepath.Join(dir, filepath.Base(path)+bundle.PartsSuffix)
	joined := filepath.Join(t.TempDir(), "joined.bundle")
	if _, err := call(t, "join", list, "-o", joined); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if _, err := call(t, "copy", joined, to); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, "verify", filepath.Join(to, "joined.bundle"), "--digest", root.String()); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]string{{"split", path, "--size", "many"}, {"split", path, "--size", "-1"}, {"join", path, "-o", joined}} {
		if _, err := call(t, bad...); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestABundleIsSignedAndVerifiedWithTheKey(t *testing.T) {
	path, root := written(t)
	name := filepath.Join(t.TempDir(), "release")
	if _, err := call(t, "keygen", "-o", name); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, "keygen", "-o", name); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "another name with -o") {
		t.Errorf("a key was written over, or it is not said what to do: %v", err)
	}
	if out, err := call(t, "inspect", path); err != nil || !strings.Contains(out, "Signed by:  nobody") {
		t.Errorf("before it is signed: %v\n%s", err, out)
	}
	if st, err := os.Stat(name + ".key"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the private key's file: %v, %v", st, err)
	}
	var unsigned *sign.NotSignedError
	if _, err := call(t, "verify", path, "--key", name+".pub"); !errors.As(err, &unsigned) {
		t.Errorf("before it is signed: %v", err)
	}
	if out, err := call(t, "sign", path, "--key", name+".key"); err != nil || !strings.Contains(out, root.String()) {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := call(t, "verify", path, "--key", name+".pub", "--digest", root.String())
	if err != nil || !strings.Contains(out, "Signed by "+name+".pub (sha256:") {
		t.Errorf("%v\n%s", err, out)
	}
	_, id, _ := strings.Cut(out, ".pub (")
	id, _, _ = strings.Cut(id, ")")
	if out, err := call(t, "inspect", path); err != nil || !strings.Contains(out, bundle.TypeSignature) || !strings.Contains(out, "key "+id) || !strings.Contains(out, "not verified") {
		t.Errorf("it is not said that the key %s signed: %v\n%s", id, err, out)
	}
	var replayed *sign.ReplayedError
	if _, err := call(t, "verify", path, "--key", name+".pub", "--min-created", "2026-01-01T00:00:00Z"); !errors.As(err, &replayed) {
		t.Errorf("an old one: %v", err)
	}
	for _, bad := range [][]string{
		{"verify", path, "--key", name + ".pub", "--min-created", "tomorrow"}, {"verify", path, "--min-created", "2026-01-01T00:00:00Z"},
		{"verify", path, "--key", name + ".key"}, {"verify", path, "--key", name}, {"sign", path, "--key", name + ".pub"}, {"keygen", "-o", name + "x", "--algorithm", "rsa"},
	} {
		if _, err := call(t, bad...); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if err := os.Chmod(name+".key", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, "sign", path, "--key", name+".key"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that all can read: %v", err)
	}
}

func TestVerifyHashesAFileOnce(t *testing.T) {
	path, root := written(t)
	verify := func(args ...string) string {
		t.Helper()
		out, err := call(t, append([]string{"verify", path, "--digest", root.String()}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for i, c := range []struct {
		args []string
		says string
	}{
		{nil, "all as they should be"},
		{nil, "not written to since"},
		{[]string{"--no-cache"}, "all as they should be"},
	} {
		if out := verify(c.args...); !strings.Contains(out, c.says) || !strings.Contains(out, root.String()) {
			t.Errorf("%d: it says %s", i, out)
		}
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if out := verify(); !strings.Contains(out, "all as they should be") {
		t.Errorf("of a changed file it says %s", out)
	}
	if _, err := call(t, "verify", path, "--digest", digest.FromString("other").String()); err == nil {
		t.Error("another digest than the trusted one is taken from memory")
	}
}
