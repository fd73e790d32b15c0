package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// memoryLimit is the most a hostile bundle may make the reader hold and allocate, in bytes.
const memoryLimit = 128 << 20

// source is content that is made while it is read, so that a test needs no memory for it.
type source interface {
	io.ReaderAt
	Size() int64
}

// manyEntries is a tar of n empty blobs in good order.
type manyEntries int64

func (n manyEntries) Size() int64 { return (int64(n) + 2) * blockSize }

func (n manyEntries) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		var h [blockSize]byte
		at := off + int64(i)
		if at%blockSize == 0 && at/blockSize < int64(n) {
			if err := encodeHeader(&h, fmt.Sprintf("%s%064x", blobPrefix, at/blockSize), 0); err != nil {
				return i, err
			}
			i += copy(p[i:], h[:])
			return n.rest(p, i, off)
		}
		p[i] = 0
	}
	return len(p), nil
}

// rest continues a read that came to the end of a header.
func (n manyEntries) rest(p []byte, done int, off int64) (int, error) {
	if done == len(p) {
		return done, nil
	}
	more, err := n.ReadAt(p[done:], off+int64(done))
	return done + more, err
}

// stdTar makes a tar by the standard library, with whatever headers it writes.
func stdTar(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		content := make([]byte, h.Size)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestHostileBundles is the table of what somebody might put in the place of a bundle. Each is refused by opening or by verifying it,
// with the entry named and in bounded memory; no Bundle is returned that anything could be served from.
func TestHostileBundles(t *testing.T) {
	path, _ := writeFixture(t)
	good := readFile(t, path)
	edit := func(change func([]rawEntry) []rawEntry) source {
		return bytes.NewReader(tarOf(t, change(entriesOf(t, good))))
	}
	raw := func(b []byte) source { return bytes.NewReader(b) }
	header := func(change func(*[blockSize]byte)) source {
		return edit(func(es []rawEntry) []rawEntry {
			es[find(t, es, isKubelet)].header = func(h *[blockSize]byte) { change(h); checksum(h) }
			return es
		})
	}
	first := func(e rawEntry) source {
		return edit(func(es []rawEntry) []rawEntry { return append([]rawEntry{e}, es...) })
	}
	kubelet := entriesOf(t, good)[find(t, entriesOf(t, good), isKubelet)].name
	arm, err := armInAMD64(t)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content source
		entry   string
	}{
		"a name that climbs out":             {first(rawEntry{name: "../../etc/cron.d/x", content: []byte("x")}), "../../etc/cron.d/x"},
		"a name that climbs out in a blob's": {first(rawEntry{name: blobPrefix + "../../../etc/x"}), "../../../etc/x"},
		"an absolute name":                   {first(rawEntry{name: "/etc/cron.d/x", content: []byte("x")}), "/etc/cron.d/x"},
		"a symbolic link, and a file through it": {raw(stdTar(t, tar.Header{Name: "blobs", Linkname: "/etc", Typeflag: tar.TypeSymlink, Mode: 0o777},
			tar.Header{Name: "blobs/cron.d", Size: 5, Typeflag: tar.TypeReg, Mode: 0o644})), "blobs"},
		"a hard link":           {header(func(h *[blockSize]byte) { h[156] = '1'; copy(h[157:], "/etc/shadow") }), kubelet},
		"a character device":    {header(func(h *[blockSize]byte) { h[156] = '3' }), kubelet},
		"a block device":        {header(func(h *[blockSize]byte) { h[156] = '4' }), kubelet},
		"a pipe":                {header(func(h *[blockSize]byte) { h[156] = '6' }), kubelet},
		"a sparse file":         {header(func(h *[blockSize]byte) { h[156] = 'S' }), kubelet},
		"setuid":                {header(func(h *[blockSize]byte) { copy(h[100:], "0004755") }), kubelet},
		"one name twice":        {edit(func(es []rawEntry) []rawEntry { return append(es[:1:1], es...) }), "blobs/sha256/"},
		"one name in two cases": {first(rawEntry{name: blobPrefix + strings.Repeat("AB", 32)}), strings.Repeat("AB", 32)},
		"the index in capitals": {first(rawEntry{name: "INDEX.JSON", content: []byte("{}")}), "INDEX.JSON"},
		"NUL in a name": {edit(func(es []rawEntry) []rawEntry {
			es[0].header = func(h *[blockSize]byte) { h[99] = 'x'; checksum(h) }
			return es
		}), "blobs/sha256/"},
		"a million entries":            {manyEntries(1_000_000), "blobs/sha256/"},
		"a size by PAX":                {sizeByPAX(t, good), "PaxHeaders.0/"},
		"a long name by GNU":           {raw(append(stdTar(t, tar.Header{Name: strings.Repeat("a/", 200) + "x", Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatGNU}), good...)), "@LongLink"},
		"a size beyond the end":        {edit(func(es []rawEntry) []rawEntry { es[0].size = maxBlobSize; return es }), "blobs/sha256/"},
		"garbage behind it":            {raw(append(bytes.Clone(good), "garbage"...)), fmt.Sprintf("at byte %d", len(good))},
		"two tars in one":              {raw(append(bytes.Clone(good), good...)), fmt.Sprintf("at byte %d", len(good))},
		"indexes in indexes, 100 deep": {nested(t, 100), "blobs/sha256/"},
		"an index of 100,000 brackets": {edit(setIndex(t, bytes.Repeat([]byte("["), 100_000))), indexName},
		"a manifest of 50 MB":          {bigManifest(t, 50<<20), "blobs/sha256/"},
		"an index of 50 MB":            {edit(setIndex(t, make([]byte, 50<<20))), indexName},
		"a blob whose content is not its name": {edit(func(es []rawEntry) []rawEntry {
			i := find(t, es, isKubelet)
			es[i].content = bytes.Repeat([]byte("evil..."), 1000)
			return es
		}), kubelet},
		"a layer whose content is not its name": {raw(replacedRaw(t, good, "etcd program", "evil program")), "blobs/sha256/"},
		"a blob shorter than its descriptor": {edit(func(es []rawEntry) []rawEntry {
			i := find(t, es, isKubelet)
			es[i].content = es[i].content[:6999]
			return es
		}), kubelet},
		"a blob longer than its descriptor": {edit(func(es []rawEntry) []rawEntry {
			i := find(t, es, isKubelet)
			es[i].content = append(es[i].content, 'x')
			return es
		}), kubelet},
		"a blob that is missing":                {edit(func(es []rawEntry) []rawEntry { i := find(t, es, isKubelet); return append(es[:i:i], es[i+1:]...) }), kubelet[len(blobPrefix):]},
		"an arm64 image in the place for amd64": {arm, "registry.k8s.io/etcd:3.6.8-0 stands for linux/amd64, but is made for \"linux/arm64\""},
		"a blob nobody names":                   {first(rawEntry{name: blobPrefix + strings.Repeat("0", 64), content: []byte("x")}), strings.Repeat("0", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b, err := read("hostile.bundle", c.content, c.content.Size())
			if err == nil {
				_, err = b.Verify(context.Background(), VerifyOptions{})
			}
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), c.entry) || !strings.Contains(err.Error(), "hostile.bundle") {
				t.Errorf("%q is not named: %v", c.entry, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > memoryLimit {
				t.Errorf("it made the reader allocate %d MiB", used>>20)
			}
		})
	}
}

// sizeByPAX is a bundle before whose first entry a PAX record gives that another size. The standard library writes no such record, since it
// does so by itself where one is needed, and believes one it reads.
func sizeByPAX(t *testing.T, good []byte) source {
	t.Helper()
	const record = "20 size=99999999999\n" // its own length first
	entry := rawEntry{name: "PaxHeaders.0/x", content: []byte(record), header: func(h *[blockSize]byte) { h[156] = tar.TypeXHeader; checksum(h) }}
	raw := tarOf(t, append([]rawEntry{entry}, entriesOf(t, good)...))
	if h, err := tar.NewReader(bytes.NewReader(raw)).Next(); err != nil || h.Size != 99999999999 {
		t.Fatalf("it misleads nobody: %+v, %v", h, err)
	}
	return bytes.NewReader(raw)
}

func setIndex(t *testing.T, content []byte) func([]rawEntry) []rawEntry {
	return func(es []rawEntry) []rawEntry {
		es[find(t, es, named(indexName))].content = content
		return es
	}
}

// nested is a layout whose index names an index that names an index, and so on.
func nested(t *testing.T, depth int) source {
	t.Helper()
	d, _ := BytesBlob(nil)
	entries := []rawEntry{{name: layoutName, content: []byte(layoutFile)}}
	var content []byte
	for range depth {
		raw, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: int64(len(content))}}})
		if err != nil {
			t.Fatal(err)
		}
		content = raw
		d = digest.FromBytes(raw)
		entries = append(entries, rawEntry{name: blobName(d), content: raw})
	}
	entries[len(entries)-1].name = indexName
	sortEntries(entries)
	return bytes.NewReader(tarOf(t, entries))
}

// bigManifest is a layout whose root is very large.
func bigManifest(t *testing.T, size int) source {
	t.Helper()
	content := append([]byte(`{"schemaVersion":2`), bytes.Repeat([]byte(" "), size)...)
	d := digest.FromBytes(content)
	index, err := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(content))}}})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(tarOf(t, []rawEntry{{name: blobName(d), content: content}, {name: indexName, content: index}, {name: layoutName, content: []byte(layoutFile)}}))
}

// armInAMD64 is a bundle that is right in everything but says of an arm64 image that it is for amd64.
func armInAMD64(t *testing.T) (source, error) {
	t.Helper()
	b := bytes.Buffer{}
	cfg, blobs := fixture(t)
	changeImage(cfg, blobs, 0, "amd64", "arm64")
	p, err := planOf(cfg)
	if err != nil {
		return nil, err
	}
	entries, err := p.entries(content{blobs: blobs})
	if err != nil {
		return nil, err
	}
	if err := writeTar(context.Background(), &b, entries); err != nil {
		return nil, err
	}
	return bytes.NewReader(b.Bytes()), nil
}
