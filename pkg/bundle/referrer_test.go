package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var (
	someSBOM = Attachment{Type: TypeSBOM, Content: []byte(`{"spdxVersion":"SPDX-2.3"}`)}
	someNote = Attachment{Type: "text/plain", Content: []byte("a note")}
)

// attached writes b with attachments and opens the result.
func attached(t testing.TB, b *Bundle, add ...Attachment) *Bundle {
	t.Helper()
	path := filepath.Join(t.TempDir(), "attached.bundle")
	if err := Attach(context.Background(), path, b, add...); err != nil {
		t.Fatal(err)
	}
	set := openedSet(t, path, b.Files()[1:]...)
	if _, err := set.Verify(context.Background(), VerifyOptions{Expected: b.Digest()}); err != nil {
		t.Fatal(err)
	}
	return set
}

// says compares what is attached.
func says(t *testing.T, b *Bundle, want ...Attachment) {
	t.Helper()
	got, err := b.attachments()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(a, b Attachment) bool { return a.Type == b.Type && bytes.Equal(a.Content, b.Content) }) {
		t.Errorf("attached is %q, want %q", got, want)
	}
}

func TestWhatIsAttachedLeavesTheDigestAloneAndStays(t *testing.T) {
	plain := variant(t, "one", nil)
	with := attached(t, attached(t, plain, someNote), someSBOM)
	says(t, with, someSBOM, someNote)
	if with.Digest() != plain.Digest() {
		t.Error("the digest is another one")
	}
	if both := attached(t, plain, someSBOM, someNote, someSBOM); !bytes.Equal(readFile(t, both.Path()), readFile(t, with.Path())) {
		t.Error("the order in which things are attached shows")
	}
	cfg, blobs := fixture(t)
	cfg.Name = "one"
	path := filepath.Join(t.TempDir(), "written.bundle")
	if _, err := Write(context.Background(), path, cfg, blobs, someNote, someSBOM); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readFile(t, path), readFile(t, with.Path())) {
		t.Error("written at once it is another file")
	}
	for _, r := range with.Referrers() {
		for _, d := range []Descriptor{r.Manifest, r.Content} {
			if s, err := with.Blob(d.Digest); err != nil || s.Size() != d.Size {
				t.Errorf("%s of %s: %v", d.Digest, r.Type, err)
			}
		}
	}
}

func TestWhatIsAttachedGoesWithDeltasAndCopiesButNotIntoMerges(t *testing.T) {
	a, b := variant(t, "one", nil), attached(t, variant(t, "two", newer("v1.37.0")), someSBOM)
	delta := openedSet(t, deltaOf(t, a, b), a.Path())
	says(t, delta, someSBOM)
	says(t, attached(t, delta, someNote), someSBOM, someNote)
	full := filepath.Join(t.TempDir(), "full.bundle")
	if err := Apply(context.Background(), full, delta); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readFile(t, full), readFile(t, b.Path())) {
		t.Error("the applied bundle is another one")
	}
	path := filepath.Join(t.TempDir(), "copy.bundle")
	if err := Copy(context.Background(), path, b.Path(), CopyOptions{}); err != nil {
		t.Error(err)
	}
	says(t, merged(t, a, b))
}

func TestReferrersAreReadFromADeltaWithoutItsBaseAndFromABundleThatIsNone(t *testing.T) {
	a, b := variant(t, "one", nil), attached(t, variant(t, "two", newer("v1.37.0")), someSBOM, someNote)
	delta := deltaOf(t, a, b)
	d, err := ReadReferrers(delta, TypeSBOM)
	if err != nil || d.Root != b.Digest() || len(d.Contents) != 1 || !bytes.Equal(d.Contents[0], someSBOM.Content) {
		t.Errorf("got %+v, %v", d, err)
	}
	// Root and config are not looked at.
	raw := replacedRaw(t, readFile(t, b.Path()), `"formatVersion":1`, `"formatVersion":7`)
	path := filepath.Join(t.TempDir(), "bad.bundle")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if d, err := ReadReferrers(path, TypeSBOM); err != nil || len(d.Contents) != 1 {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestOtherToolsFindWhatIsAttached(t *testing.T) {
	b := attached(t, variant(t, "one", nil), someSBOM)
	dir := t.TempDir()
	untar(t, b.Path(), dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	last := m.Manifests[len(m.Manifests)-1]
	if last.ArtifactType != TypeSBOM {
		t.Fatalf("the last entry is a %s", last.ArtifactType)
	}
	image, err := index.Image(last.Digest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := image.Manifest()
	if err != nil || got.Subject == nil || got.Subject.Digest.String() != string(b.Digest()) {
		t.Errorf("its subject is %+v, %v", got, err)
	}
}

func TestWriteRefusesWhatCannotBeAttached(t *testing.T) {
	many := make([]Attachment, maxReferrers+1)
	for i := range many {
		many[i] = Attachment{Type: "text/plain", Content: []byte{byte(i)}}
	}
	for name, add := range map[string][]Attachment{
		"no media type": {{Type: "text", Content: []byte("x")}},
		"evil type":     {{Type: "text/\nplain", Content: []byte("x")}},
		"too large":     {{Type: "text/plain", Content: make([]byte, maxJSONSize+1)}},
		"too many":      many,
	} {
		if err := Attach(context.Background(), filepath.Join(t.TempDir(), "x"), variant(t, "one", nil), add...); err == nil {
			t.Errorf("%s: it was attached", name)
		}
	}
}

func TestReferrersMustBeInTheirOneForm(t *testing.T) {
	good := readFile(t, attached(t, variant(t, "one", nil), someSBOM, someNote).Path())
	other := attached(t, variant(t, "two", newer("v1.37.0")), Attachment{Type: "text/x", Content: []byte("of another bundle")})
	manifestOf := func(kind string) func(rawEntry) bool {
		return func(e rawEntry) bool {
			return bytes.Contains(e.content, []byte(`"artifactType":"`+kind)) && bytes.Contains(e.content, []byte(`"subject"`))
		}
	}
	// list changes the entries of index.json.
	list := func(t *testing.T, es []rawEntry, change func(*ocispec.Index)) {
		t.Helper()
		i := find(t, es, named(indexName))
		var idx ocispec.Index
		if err := json.Unmarshal(es[i].content, &idx); err != nil {
			t.Fatal(err)
		}
		change(&idx)
		raw, err := json.Marshal(idx)
		if err != nil {
			t.Fatal(err)
		}
		es[i].content = raw
	}
	for name, c := range map[string]struct {
		change func(*testing.T, []rawEntry) []rawEntry
		want   func(error) bool
		says   string
	}{
		"a referrer that is not listed": {func(t *testing.T, es []rawEntry) []rawEntry {
			list(t, es, func(x *ocispec.Index) { x.Manifests = x.Manifests[:len(x.Manifests)-1] })
			return es
		}, as[*MalformedError], "nothing in the bundle names"},
		"referrers in another order": {func(t *testing.T, es []rawEntry) []rawEntry {
			list(t, es, func(x *ocispec.Index) {
				n := len(x.Manifests)
				x.Manifests[n-1], x.Manifests[n-2] = x.Manifests[n-2], x.Manifests[n-1]
			})
			return es
		}, as[*MalformedError], "index does not agree"},
		"a referrer listed twice": {func(t *testing.T, es []rawEntry) []rawEntry {
			list(t, es, func(x *ocispec.Index) { x.Manifests = append(x.Manifests, x.Manifests[len(x.Manifests)-1]) })
			return es
		}, as[*MalformedError], "index does not agree"},
		"more referrers than allowed": {func(t *testing.T, es []rawEntry) []rawEntry {
			list(t, es, func(x *ocispec.Index) {
				for range maxReferrers {
					x.Manifests = append(x.Manifests, x.Manifests[len(x.Manifests)-1])
				}
			})
			return es
		}, as[*MalformedError], "too much is attached"},
		"an altered attachment": {func(t *testing.T, es []rawEntry) []rawEntry {
			i := find(t, es, func(e rawEntry) bool { return bytes.Equal(e.content, someNote.Content) })
			es[i].content = []byte("a lie!")
			return es
		}, as[*DigestMismatchError], "digest"},
		"an altered referrer": {func(t *testing.T, es []rawEntry) []rawEntry {
			i := find(t, es, manifestOf("text/plain"))
			es[i].content = bytes.Replace(es[i].content, []byte("text/plain"), []byte("text/plaim"), 1)
			return es
		}, as[*DigestMismatchError], "digest"},
		"an attachment that is missing": {func(t *testing.T, es []rawEntry) []rawEntry {
			i := find(t, es, func(e rawEntry) bool { return bytes.Equal(e.content, someNote.Content) })
			return slices.Delete(es, i, i+1)
		}, as[*MissingBlobError], "referrer"},
		"a referrer of another bundle": {func(t *testing.T, es []rawEntry) []rawEntry {
			theirs := entriesOf(t, readFile(t, other.Path()))
			i := find(t, theirs, manifestOf("text/x"))
			k := find(t, theirs, func(e rawEntry) bool { return string(e.content) == "of another bundle" })
			es = append(es, theirs[i], theirs[k])
			sortEntries(es)
			list(t, es, func(x *ocispec.Index) {
				d := x.Manifests[len(x.Manifests)-1]
				d.ArtifactType, d.Digest, d.Size = "text/x", digest.FromBytes(theirs[i].content), int64(len(theirs[i].content))
				x.Manifests = append(x.Manifests, d)
			})
			return es
		}, as[*MalformedError], "refers to another bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := tarOf(t, c.change(t, entriesOf(t, good)))
			b, err := read("bad", bytes.NewReader(raw), int64(len(raw)))
			if err == nil {
				// An attachment's content is hashed with everything else.
				_, err = b.Verify(context.Background(), VerifyOptions{})
			}
			if err == nil || !c.want(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %T: %v", err, err)
			}
		})
	}
}
