package bundle

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// deltaOf writes the delta from base to b and returns its path.
func deltaOf(t testing.TB, base, b *Bundle) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "delta.bundle")
	if err := Diff(context.Background(), path, base, b); err != nil {
		t.Fatal(err)
	}
	return path
}

// openedSet opens a set until the test ends.
func openedSet(t testing.TB, path string, bases ...string) *Bundle {
	t.Helper()
	b, err := OpenSet(path, bases...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestADeltaHoldsOnlyWhatItsBaseLacksAndBecomesTheBundleAgain(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "two", newer("v1.37.0"))
	path := deltaOf(t, a, b)
	set := openedSet(t, path, a.Path())
	// The new kubelet, config, root, index and layout.
	if len(set.own.order) != 5 {
		t.Errorf("the delta has %d entries: %v", len(set.own.order), set.own.order)
	}
	if set.Digest() != b.Digest() || set.Base() == nil || set.Base().Digest != a.Digest() || set.Base().Name != "one" {
		t.Errorf("digest %s, base %+v", set.Digest(), set.Base())
	}
	if !slices.Equal(set.Files(), []string{path, a.Path()}) || set.Path() != path {
		t.Errorf("files are %v", set.Files())
	}
	want, err := b.Verify(context.Background(), VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := set.Verify(context.Background(), VerifyOptions{Expected: b.Digest()})
	if err != nil || got.Blobs != want.Blobs || got.Bytes != want.Bytes {
		t.Errorf("verified %+v, %v, want %+v", got, err, want)
	}
	full := filepath.Join(t.TempDir(), "full.bundle")
	if err := Apply(context.Background(), full, set); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readFile(t, full), readFile(t, b.Path())) {
		t.Error("base and delta do not give the bundle's bytes")
	}
}

func TestADeltaWithoutItsBaseNamesWhatIsMissing(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "two", newer("v1.37.0"))
	path := deltaOf(t, a, b)
	unrelated := variant(t, "other", onPlatform("linux/s390x"))
	var shared []digest.Digest
	var size int64
	for _, d := range sortedDigests(b.blobs) {
		if _, ok := a.blobs[d]; ok {
			shared = append(shared, d)
			size += a.blobs[d].size
		}
	}
	_, err := Open(path)
	missing, ok := errors.AsType[*MissingBaseError](err)
	if !ok || !slices.Equal(missing.Missing, shared) || missing.Bytes != size || missing.Base.Digest != a.Digest() {
		t.Fatalf("got %v", err)
	}
	says := []string{path, "one", string(a.Digest())}
	for i, d := range shared {
		says = append(says, string(d)+" of "+missing.NamedBy[i])
	}
	for _, want := range append(says, "of file flannel.yaml of v1.37.0", "of image registry.k8s.io/etcd:3.6.8-0 for linux/amd64") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	_, err = OpenSet(path, unrelated.Path())
	if missing, ok := errors.AsType[*MissingBaseError](err); !ok || len(missing.Missing) == 0 || len(missing.Missing) >= len(shared) {
		t.Errorf("with a bundle that has some of it: %v", err)
	}
}

func TestOfVeryManyMissingBlobsTheFirstAreListed(t *testing.T) {
	e := &MissingBaseError{Path: "to.delta", Base: Base{Name: "one", Digest: digest.FromString("one")}}
	for i := range maxListed + 3 {
		e.Missing = append(e.Missing, digest.FromString(strconv.Itoa(i)))
		e.NamedBy = append(e.NamedBy, "image "+strconv.Itoa(i)+".")
	}
	text := e.Error()
	if !strings.HasSuffix(text, "of image 19., and 3 more") || strings.Contains(text, "image 20.") {
		t.Errorf("it says: %s", text)
	}
}

func TestDeltasFollowOneAnother(t *testing.T) {
	a, b, c := variant(t, "one", nil), variant(t, "two", newer("v1.37.0")), variant(t, "three", newer("v1.38.0"))
	all := merged(t, a, b, c)
	first := deltaOf(t, a, merged(t, a, b))
	middle := openedSet(t, first, a.Path())
	second := deltaOf(t, middle, all)
	set := openedSet(t, second, first, a.Path())
	if _, err := set.Verify(context.Background(), VerifyOptions{Expected: all.Digest()}); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(t.TempDir(), "full.bundle")
	if err := Apply(context.Background(), full, set); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readFile(t, full), readFile(t, all.Path())) {
		t.Error("a chain of deltas does not give the bundle's bytes")
	}
}

func TestAFalseBaseIsFoundOutAndNamed(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "two", newer("v1.37.0"))
	path := deltaOf(t, a, b)
	raw := readFile(t, a.Path())
	raw[bytes.Index(raw, []byte("etcd program"))] = 'E'
	const etcd = "image registry.k8s.io/etcd:3.6.8-0 for linux/amd64"
	bad := filepath.Join(t.TempDir(), "bad.bundle")
	if err := os.WriteFile(bad, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	set := openedSet(t, path, bad)
	_, err := set.Verify(context.Background(), VerifyOptions{})
	if mismatch, ok := errors.AsType[*DigestMismatchError](err); !ok || mismatch.Path != bad || mismatch.NamedBy != etcd {
		t.Errorf("verify: %v", err)
	}
	full := filepath.Join(t.TempDir(), "full.bundle")
	err = Apply(context.Background(), full, set)
	if mismatch, ok := errors.AsType[*DigestMismatchError](err); !ok || mismatch.Path != bad || mismatch.NamedBy != etcd {
		t.Errorf("apply: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(full)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWhatADeltaSaysOfItsBaseMustBeInOneForm(t *testing.T) {
	a, b := variant(t, "one", nil), variant(t, "two", newer("v1.37.0"))
	good := readFile(t, deltaOf(t, a, b))
	for name, c := range map[string]struct{ from, to, says string }{
		"a base that is no digest":    {string(a.Digest()), "sha256:" + strings.Repeat("Z", 64), "not a sha256 digest"},
		"a base with an evil name":    {`name":"one"`, `name":"../"`, "not a plain name"},
		"a further annotation":        {`"annotations":{`, `"annotations":{"a":"b",`, "index does not agree"},
		"an annotation that is gone":  {annotationBaseName, annotationBaseName[:len(annotationBaseName)-1] + "x", "plain name"},
		"a base taken out of a delta": {`"annotations":{"` + annotationBase, `"annotations":{"x` + annotationBase, "index does not agree"},
	} {
		t.Run(name, func(t *testing.T) {
			entries := entriesOf(t, good)
			i := find(t, entries, named(indexName))
			changed := bytes.Replace(entries[i].content, []byte(c.from), []byte(c.to), 1)
			if bytes.Equal(changed, entries[i].content) {
				t.Fatal("nothing was changed")
			}
			entries[i].content = changed
			raw := tarOf(t, entries)
			if _, err := read("bad", bytes.NewReader(raw), int64(len(raw))); !as[*MalformedError](err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
