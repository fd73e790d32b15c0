package bundle

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The tar's one form: POSIX ustar headers of regular files, mode 0644, owner 0/0 without names, time 0, ordered by name,
// content padded with zeros to 512 bytes, two zero blocks, end of file. Reader and writer share encodeHeader, so a header
// is right exactly when it has these bytes: extended headers, links, sparse files and other tricks cannot occur.

const (
	blockSize   = 512
	layoutName  = "oci-layout"
	indexName   = "index.json"
	blobPrefix  = "blobs/sha256/"
	hexLen      = 64
	maxBlobSize = 1<<33 - 1 // 11 octal digits of a ustar size field
)

// encodeHeader writes the one header for a name of at most 100 bytes and a size of at most maxBlobSize.
func encodeHeader(h *[blockSize]byte, name string, size int64) error {
	if len(name) > 100 || size < 0 || size > maxBlobSize {
		return fmt.Errorf("tar entry %.120q of %d bytes does not fit a ustar header", name, size)
	}
	*h = [blockSize]byte{}
	copy(h[0:], name)
	copy(h[100:], "0000644\x00")
	copy(h[108:], "0000000\x00")
	copy(h[116:], "0000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", size))
	copy(h[136:], "00000000000\x00")
	copy(h[148:], "        ")
	h[156] = '0'
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return nil
}

// decodeHeader is the inverse of encodeHeader and accepts nothing else.
func decodeHeader(h *[blockSize]byte) (name string, size int64, err error) {
	n := 0
	for n < 100 && h[n] != 0 {
		n++
	}
	name = string(h[:n])
	for _, c := range h[124:135] {
		if c < '0' || c > '7' {
			return name, 0, errors.New("size field is not octal digits")
		}
		size = size<<3 | int64(c-'0')
	}
	var want [blockSize]byte
	if err := encodeHeader(&want, name, size); err != nil {
		return name, 0, err
	}
	if *h != want {
		return name, 0, errors.New(headerFault(h))
	}
	return name, size, nil
}

// headerFault says in words why a header is not ours.
func headerFault(h *[blockSize]byte) string {
	switch t := h[156]; {
	case string(h[257:262]) != "ustar":
		return "not a ustar header"
	case t != '0':
		return fmt.Sprintf("entry type %q is not a regular file", t)
	default:
		return "header is not in the form kubewright writes (mode, owner, time, prefix or checksum)"
	}
}

// checkName accepts the three kinds of names a bundle has.
func checkName(name string) error {
	if name == layoutName || name == indexName {
		return nil
	}
	if hex, ok := strings.CutPrefix(name, blobPrefix); ok && len(hex) == hexLen && validDigest(digest.Digest("sha256:"+hex)) == nil {
		return nil
	}
	return fmt.Errorf("name %.120q is not allowed in a bundle", name)
}

func blobName(d digest.Digest) string { return blobPrefix + d.Encoded() }

func padding(size int64) int64 { return (blockSize - size%blockSize) % blockSize }
