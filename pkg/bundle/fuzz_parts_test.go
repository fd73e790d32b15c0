package bundle

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzHeader feeds tar headers. One that is taken must be the very one that is written for its name and size, and its name harmless.
func FuzzHeader(f *testing.F) {
	var h [blockSize]byte
	for _, name := range []string{indexName, layoutName, blobName(digest.FromString("x")), "../x"} {
		if err := encodeHeader(&h, name, 7); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(h[:]))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) != blockSize {
			return
		}
		name, size, err := decodeHeader((*[blockSize]byte)(raw))
		if err != nil {
			return
		}
		var again [blockSize]byte
		if err := encodeHeader(&again, name, size); err != nil || !bytes.Equal(again[:], raw) || size < 0 {
			t.Fatalf("%q of %d bytes: %v", name, size, err)
		}
		if checkName(name) == nil && (bytes.Contains([]byte(name), []byte("..")) || name[0] == '/') {
			t.Fatalf("name %q is taken", name)
		}
	})
}

// FuzzManifest feeds index.json together with one blob it may name: a root, a referrer or nothing of the kind. Whatever comes out, what is
// said to be attached must refer to the root.
func FuzzManifest(f *testing.F) {
	good := entriesOf(f, readFile(f, attached(f, variant(f, "one", nil), someSBOM).Path()))
	index := good[find(f, good, named(indexName))].content
	for _, e := range good {
		if bytes.Contains(e.content, []byte(`"schemaVersion"`)) {
			f.Add(index, e.content)
		}
	}
	f.Add([]byte(`{"manifests":[{}]}`), []byte(`{}`))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:`+digest.FromString("").Encoded()+`"},{"artifactType":"a/b"}]}`), []byte(``))
	f.Fuzz(func(t *testing.T, index, blob []byte) {
		// The blob is there under its own name, so that an index that was changed along with it finds it.
		raw := tarOf(t, []rawEntry{{name: blobName(digest.FromBytes(blob)), content: blob}, {name: indexName, content: index}, {name: layoutName, content: []byte(layoutFile)}})
		a, err := scan("fuzz", bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		x, err := a.readIndex("")
		if err == nil {
			for _, r := range x.referrers {
				if want, _, err := referrerOf(x.root, r.Content); err != nil || want != r {
					t.Fatalf("%+v, %v", r, err)
				}
			}
		}
		if b, err := read("fuzz", bytes.NewReader(raw), int64(len(raw))); err == nil {
			t.Fatalf("one blob made a bundle: %+v", b.config)
		}
	})
}

// FuzzConfig feeds configs. One that is taken must come out of the writer again as it went in.
func FuzzConfig(f *testing.F) {
	cfg, _ := fixture(f)
	p, err := planOf(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.config)
	f.Add([]byte(`{"formatVersion":1,"name":"x","releases":[{"kubernetesVersion":"v1.2.3","platforms":["linux/amd64"]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		cfg := &Config{}
		if json.Unmarshal(raw, cfg) != nil {
			return
		}
		cfg.normalize()
		if cfg.validate() != nil {
			return
		}
		p, err := planFor(cfg)
		if err != nil {
			return
		}
		again := &Config{}
		if err := json.Unmarshal(p.config, again); err != nil {
			t.Fatalf("the writer's config cannot be read: %v", err)
		}
		again.normalize()
		second, err := planFor(again)
		if err != nil || second.rootDigest != p.rootDigest {
			t.Fatalf("reading and writing changes it: %v", err)
		}
	})
}
