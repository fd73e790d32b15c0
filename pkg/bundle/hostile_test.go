package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// find returns the index of the first entry that fits.
func find(t testing.TB, entries []rawEntry, fits func(rawEntry) bool) int {
	t.Helper()
	for i, e := range entries {
		if fits(e) {
			return i
		}
	}
	t.Fatal("the fixture has no such entry")
	return -1
}

func isKubelet(e rawEntry) bool { return bytes.HasPrefix(e.content, []byte("kubeletkubelet")) }

func named(name string) func(rawEntry) bool {
	return func(e rawEntry) bool { return e.name == name }
}

func as[T error](err error) bool {
	var want T
	return errors.As(err, &want)
}

func TestOpenRefusesWhatIsNotExactlyABundle(t *testing.T) {
	path, _ := writeFixture(t)
	good := readFile(t, path)
	edit := func(change func([]rawEntry) []rawEntry) []byte { return tarOf(t, change(entriesOf(t, good))) }
	header := func(change func(*[blockSize]byte)) []byte {
		return edit(func(es []rawEntry) []rawEntry {
			es[find(t, es, isKubelet)].header = func(h *[blockSize]byte) { change(h); checksum(h) }
			return es
		})
	}
	if !bytes.Equal(edit(func(es []rawEntry) []rawEntry { return es }), good) {
		t.Fatal("taking the fixture apart and together again changes it")
	}
	var pax bytes.Buffer
	long := &tar.Header{Name: strings.Repeat("a", 150), Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatPAX}
	if err := tar.NewWriter(&pax).WriteHeader(long); err != nil {
		t.Fatal(err)
	}

	malformed, truncated := as[*MalformedError], as[*TruncatedError]
	for name, c := range map[string]struct {
		raw  []byte
		want func(error) bool
		says string
	}{
		"an empty file":           {nil, truncated, "end-of-archive"},
		"a text":                  {bytes.Repeat([]byte("hello, world\n"), 200), malformed, "octal"},
		"cut in the middle":       {good[:len(good)/2], truncated, "truncated"},
		"cut in a header":         {good[:100], truncated, "truncated"},
		"cut before the end mark": {good[:len(good)-2*blockSize], truncated, "truncated"},
		"cut within the end mark": {good[:len(good)-blockSize], truncated, "end-of-archive"},
		"something after the end": {append(bytes.Clone(good), 'x'), malformed, "after the end"},
		"zeros after the end":     {append(bytes.Clone(good), make([]byte, blockSize)...), malformed, "after the end"},
		"one zero block in between": {edit(func(es []rawEntry) []rawEntry {
			es[1].header = func(h *[blockSize]byte) { *h = [blockSize]byte{} }
			return es
		}), malformed, "end-of-archive mark"},
		"a byte of a header flipped": {flip(good, 30), malformed, "entry"},
		"padding that is not zero":   {padded(t, good), malformed, "padding"},
		"a symbolic link":            {header(func(h *[blockSize]byte) { h[156] = '2'; copy(h[157:], "/etc/passwd") }), malformed, "not a regular file"},
		"a hard link":                {header(func(h *[blockSize]byte) { h[156] = '1' }), malformed, "not a regular file"},
		"a directory":                {header(func(h *[blockSize]byte) { h[156] = '5' }), malformed, "not a regular file"},
		"a device":                   {header(func(h *[blockSize]byte) { h[156] = '3' }), malformed, "not a regular file"},
		"an old-style type":          {header(func(h *[blockSize]byte) { h[156] = 0 }), malformed, "not a regular file"},
		"a prefix before the name":   {header(func(h *[blockSize]byte) { copy(h[345:], "etc") }), malformed, "form"},
		"another mode":               {header(func(h *[blockSize]byte) { copy(h[100:], "0004755") }), malformed, "form"},
		"another time":               {header(func(h *[blockSize]byte) { h[146] = '1' }), malformed, "form"},
		"a binary size":              {header(func(h *[blockSize]byte) { h[124] = 0x80 }), malformed, "octal"},
		"a GNU header":               {header(func(h *[blockSize]byte) { copy(h[257:], "ustar  \x00") }), malformed, "form"},
		"an extended header":         {append(bytes.Clone(pax.Bytes()), good...), malformed, "not a regular file"},
		"a path that climbs out":     {edit(func(es []rawEntry) []rawEntry { return append([]rawEntry{{name: "../evil"}}, es...) }), malformed, "not allowed"},
		"a size beyond the file":     {edit(func(es []rawEntry) []rawEntry { es[0].size = 1 << 32; return es }), truncated, "truncated"},
		"an entry twice":             {edit(func(es []rawEntry) []rawEntry { return append(es[:1:1], es...) }), malformed, "twice"},
		"an entry twice, further on": {edit(func(es []rawEntry) []rawEntry { return append(es, es[0]) }), malformed, "order"},
		"entries in another order":   {edit(func(es []rawEntry) []rawEntry { es[0], es[1] = es[1], es[0]; return es }), malformed, "order"},
		"a blob name in upper case":  {edit(func(es []rawEntry) []rawEntry { es[0].name = blobPrefix + strings.Repeat("A", 64); return es }), malformed, "not allowed"},
		"a short blob name":          {edit(func(es []rawEntry) []rawEntry { es[0].name = blobPrefix + "00"; return es }), malformed, "not allowed"},
		"a further blob": {edit(func(es []rawEntry) []rawEntry {
			return append([]rawEntry{{name: blobPrefix + strings.Repeat("0", 64)}}, es...)
		}), malformed, "nothing in the bundle names"},
		"a blob missing": {edit(func(es []rawEntry) []rawEntry { i := find(t, es, isKubelet); return append(es[:i:i], es[i+1:]...) }), as[*MissingBlobError], "kubelet"},
		"a blob with another size": {edit(func(es []rawEntry) []rawEntry {
			i := find(t, es, isKubelet)
			es[i].content = es[i].content[1:]
			return es
		}), as[*SizeMismatchError], "kubelet"},
		"no index": {edit(func(es []rawEntry) []rawEntry {
			i := find(t, es, named(indexName))
			return append(es[:i:i], es[i+1:]...)
		}), malformed, "missing"},
		"no layout": {edit(func(es []rawEntry) []rawEntry {
			i := find(t, es, named(layoutName))
			return append(es[:i:i], es[i+1:]...)
		}), malformed, "missing"},
		"an index that adds an image": {replaced(t, good, indexName, "etcd:3.6.8-0", "evil:3.6.8-0"), malformed, "does not agree"},
		"an index of nothing":         {edit(func(es []rawEntry) []rawEntry { es[find(t, es, named(indexName))].content = []byte(`{}`); return es }), malformed, "no root"},
		"an index that is no JSON":    {edit(func(es []rawEntry) []rawEntry { es[find(t, es, named(indexName))].content = []byte(`{`); return es }), malformed, "JSON"},
		"an index without an end": {edit(func(es []rawEntry) []rawEntry {
			es[find(t, es, named(indexName))].content = make([]byte, maxJSONSize+1)
			return es
		}), malformed, "too many"},
		"a changed root manifest":  {replaced(t, good, "", MediaTypeFile, strings.Replace(MediaTypeFile, "v1", "v2", 1)), as[*DigestMismatchError], "digest"},
		"a changed config":         {replaced(t, good, "", `"name":"fixture"`, `"name":"fiXture"`), as[*DigestMismatchError], "digest"},
		"a changed image manifest": {replaced(t, good, "", `"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci`, `"schemaVersion":3,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci`), as[*DigestMismatchError], "digest"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.bundle")
			if err := os.WriteFile(bad, c.raw, 0o644); err != nil {
				t.Fatal(err)
			}
			b, err := Open(bad)
			if err == nil {
				b.Close() //nolint:errcheck // the test fails anyway
				t.Fatal("it was accepted")
			}
			if !c.want(err) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), bad) {
				t.Errorf("got %T: %v", err, err)
			}
		})
	}
}

func TestVerifyNamesTheEntryWithOneFlippedByte(t *testing.T) {
	path, _ := writeFixture(t)
	raw := readFile(t, path)
	at := bytes.Index(raw, []byte("kubeletkubelet"))
	if err := os.WriteFile(path, flip(raw, at+5000), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	f, err := b.config.Releases[0].File("kubelet", testPlatform)
	if err != nil {
		t.Fatal(err)
	}
	var mismatch *DigestMismatchError
	if _, err := b.Verify(context.Background(), VerifyOptions{}); !errors.As(err, &mismatch) || mismatch.Want != f.Digest || mismatch.Entry != blobName(f.Digest) ||
		mismatch.NamedBy != "file kubelet of v1.36.3 for linux/amd64" || !strings.Contains(err.Error(), mismatch.NamedBy) {
		t.Errorf("got %v", err)
	}
}

func TestVerifySeesAFileThatShrankAfterItWasOpened(t *testing.T) {
	b := openFixture(t)
	if err := os.Truncate(b.Path(), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(context.Background(), VerifyOptions{}); !as[*TruncatedError](err) {
		t.Errorf("got %v", err)
	}
}

// Someone who rewrites config or root manifest consistently makes another bundle with another digest. Even then the form
// has to be the one form, or things could hide in it.
func TestAConsistentlyRewrittenBundleMustStillHaveTheOneForm(t *testing.T) {
	for name, c := range map[string]struct {
		config, root func([]byte) []byte
		want         func(error) bool
		says         string
	}{
		"a config of another format": {
			config: func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"formatVersion":1`), []byte(`"formatVersion":9`), 1)
			},
			want: as[*UnsupportedFormatError], says: "version 9",
		},
		"a config with blanks": {
			config: func(b []byte) []byte { return append(b, ' ', ' ') },
			want:   as[*MalformedError], says: "one form",
		},
		"a config with an unknown field": {
			config: func(b []byte) []byte { return append([]byte(`{"more":1,`), b[1:]...) },
			want:   as[*MalformedError], says: "one form",
		},
		"a config with a name that climbs out": {
			config: func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"name":"kubelet"`), []byte(`"name":"../kube"`), 1)
			},
			want: as[*MalformedError], says: "plain name",
		},
		"a root manifest that says more than the config": {
			root: func(b []byte) []byte { return append(b[:len(b)-1:len(b)-1], []byte(`,"annotations":{"a":"b"}}`)...) },
			want: as[*MalformedError], says: "root manifest does not agree",
		},
		"a root manifest of another type": {
			root: func(b []byte) []byte { return bytes.Replace(b, []byte(ArtifactType), []byte("application/x"), 1) },
			want: as[*MalformedError], says: "not a bundle's root",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := writeFixture(t)
			raw := rewrite(t, readFile(t, path), c.config, c.root)
			if err := os.WriteFile(path, raw, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path); err == nil || !c.want(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %T: %v", err, err)
			}
		})
	}
}

// rewrite changes config and root manifest of a bundle and everything that names them.
func rewrite(t *testing.T, good []byte, config, root func([]byte) []byte) []byte {
	t.Helper()
	entries := entriesOf(t, good)
	i := find(t, entries, func(e rawEntry) bool { return bytes.HasPrefix(e.content, []byte(`{"formatVersion"`)) })
	k := find(t, entries, func(e rawEntry) bool {
		return strings.HasPrefix(e.name, blobPrefix) && bytes.Contains(e.content, []byte(MediaTypeConfig))
	})
	n := find(t, entries, named(indexName))
	swap := func(at int, content []byte, in ...int) {
		d, _ := BytesBlob(content)
		oldHex, oldSize := entries[at].name[len(blobPrefix):], len(entries[at].content)
		for _, x := range in {
			c := bytes.Replace(entries[x].content, []byte(oldHex), []byte(d.Encoded()), 1)
			entries[x].content = bytes.Replace(c, fmt.Appendf(nil, `%s","size":%d`, d.Encoded(), oldSize), fmt.Appendf(nil, `%s","size":%d`, d.Encoded(), len(content)), 1)
		}
		entries[at] = rawEntry{name: blobName(d), content: content}
	}
	if config != nil {
		swap(i, config(entries[i].content), k)
	}
	content := entries[k].content
	if root != nil {
		content = root(content)
	}
	// The index names the root by its old digest in any case, because the config's digest stands in it.
	old := entriesOf(t, good)[k]
	entries[k] = rawEntry{name: old.name, content: old.content}
	swap(k, content, n)
	sortEntries(entries)
	return tarOf(t, entries)
}

func sortEntries(es []rawEntry) {
	for i := range es {
		for k := i + 1; k < len(es); k++ {
			if es[k].name < es[i].name {
				es[i], es[k] = es[k], es[i]
			}
		}
	}
}

func flip(raw []byte, at int) []byte {
	out := bytes.Clone(raw)
	out[at] ^= 1
	return out
}

// padded writes into the padding after the first entry that has some.
func padded(t *testing.T, good []byte) []byte {
	t.Helper()
	var pos int64
	for _, e := range entriesOf(t, good) {
		end := pos + blockSize + int64(len(e.content))
		if padding(int64(len(e.content))) > 0 {
			return flip(good, int(end))
		}
		pos = end
	}
	t.Fatal("no entry has padding")
	return nil
}

// replaced changes text of equal length in one entry, or in whichever blob has it.
func replaced(t *testing.T, good []byte, name, from, to string) []byte {
	t.Helper()
	entries := entriesOf(t, good)
	i := find(t, entries, func(e rawEntry) bool {
		return (e.name == name || name == "" && strings.HasPrefix(e.name, blobPrefix)) && bytes.Contains(e.content, []byte(from))
	})
	entries[i].content = bytes.Replace(entries[i].content, []byte(from), []byte(to), 1)
	return tarOf(t, entries)
}

func TestABlobThatWasAlteredAfterTheBundleWasOpenedIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "small.bundle")
	content := []byte("kind: ClusterRoleBinding")
	d, blob := BytesBlob(content)
	config := &Config{Name: "small", Created: time.Unix(1700000000, 0), Releases: []Release{{
		KubernetesVersion: "v1.36.3", Platforms: []string{testPlatform},
		Files: []File{{Name: "flannel.yaml", Kind: FileManifest, Component: "flannel", Version: "1", Digest: d, Size: blob.Size, Mode: 0o644}},
	}}}
	if _, err := Write(t.Context(), path, config, map[digest.Digest]Blob{d: blob}); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // read only
	if got, err := b.ReadBlob(d, 1<<10); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := b.ReadBlob(d, 10); err == nil {
		t.Error("more was read than may be")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("K"), int64(bytes.Index(raw, content))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadBlob(d, 1<<10); !as[*DigestMismatchError](err) {
		t.Errorf("got %v", err)
	}
}
