package bundle

import (
	"bytes"
	"context"
	"testing"
)

// FuzzRead feeds damaged and made-up files to the reader. It must neither panic nor hang, and what it accepts must be
// consistent: every blob that is named can be read, and a bundle that verifies is the very bytes that were written.
func FuzzRead(f *testing.F) {
	path, _ := writeFixture(f)
	good := readFile(f, path)
	f.Add(good)
	f.Add(good[:len(good)-blockSize])
	f.Add(append(bytes.Clone(good), 0))
	f.Add(make([]byte, 2*blockSize))
	f.Add(flip(good, 130))
	f.Add(flip(good, len(good)-3*blockSize))
	f.Add(readFile(f, deltaOf(f, variant(f, "one", nil), variant(f, "two", newer("v1.37.0")))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := read("fuzz", bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		for d, n := range b.plan.blobs {
			r, err := b.Blob(d)
			if err != nil || r.Size() != n.size {
				t.Fatalf("blob %s: %v", d, err)
			}
		}
		if _, err := b.Verify(context.Background(), VerifyOptions{}); err == nil && b.Digest() == "" {
			t.Fatal("verified without a digest")
		}
	})
}
