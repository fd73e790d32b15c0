package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ExtractFromImage copies one regular file out of an image, e.g. usr/local/bin/etcd, to dst with mode 0755. The layer it
// comes from is hashed, so what arrives is what the bundle's digest promises. dst is replaced atomically, and left alone
// when it has the right content already. Layers may be packed with gzip or zstd. Errors: PlatformNotFoundError,
// NotFoundError, DigestMismatchError.
func (b *Bundle) ExtractFromImage(ctx context.Context, image *Image, platform, pathInImage, dst string) error {
	ip, err := image.For(platform)
	if err != nil {
		return err
	}
	want := strings.TrimPrefix(path.Clean("/"+pathInImage), "/")
	for i := len(ip.Layers) - 1; i >= 0; i-- {
		found, err := b.extractFromLayer(ctx, ip.Layers[i], want, dst)
		if err != nil {
			return fmt.Errorf("extract %s from image %s: %w", want, image.Name, err)
		}
		if found {
			return nil
		}
	}
	return &NotFoundError{What: "/" + want + " in image " + image.Name}
}

func (b *Bundle) extractFromLayer(ctx context.Context, layer Descriptor, want, dst string) (bool, error) {
	content, err := b.Blob(layer.Digest)
	if err != nil {
		return false, err
	}
	l := layerFile{from: b.own.path, namedBy: b.plan.blobs[layer.Digest].namedBy, layer: layer, content: content, name: want}
	size, err := l.find(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if same, err := l.is(ctx, dst, size); same || err != nil {
		return true, err
	}
	return true, writeAtomicMode(dst, 0o755, func(w io.Writer) error { return l.copy(ctx, w) })
}

// layerFile is one regular file in a layer.
type layerFile struct {
	from, namedBy string
	layer         Descriptor
	content       *io.SectionReader
	// name is the file's path without a leading slash.
	name string
}

// maxWindow bounds how far back a zstd layer may refer, and so the memory that unpacking takes, in bytes. Packers use 8 MiB at most unless
// they are told to go to extremes.
const maxWindow = 128 << 20

// unpack is the tar inside what a layer holds. done must be called when it has been read.
func (l layerFile) unpack(r io.Reader) (_ *tar.Reader, done func(), err error) {
	switch l.layer.MediaType {
	case ocispec.MediaTypeImageLayer:
		return tar.NewReader(r), func() {}, nil
	case ocispec.MediaTypeImageLayerGzip, MediaTypeDockerLayer:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("layer %s: %w", l.layer.Digest, err)
		}
		return tar.NewReader(z), func() {}, nil
	case ocispec.MediaTypeImageLayerZstd:
		// With more than one it would read on by itself, after the tar's end too.
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("layer %s: %w", l.layer.Digest, err)
		}
		return tar.NewReader(z), z.Close, nil
	}
	return nil, nil, fmt.Errorf("layer %s has media type %s; only layers that are uncompressed or packed with gzip or zstd can be read", l.layer.Digest, l.layer.MediaType)
}

func (l layerFile) isIt(h *tar.Header) bool {
	return strings.TrimPrefix(path.Clean("/"+h.Name), "/") == l.name
}

// find looks for the file, in an uncompressed layer without reading content, and returns its size, or an fs.ErrNotExist.
func (l layerFile) find(ctx context.Context) (int64, error) {
	if _, err := l.content.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	tr, done, err := l.unpack(l.content)
	if err != nil {
		return 0, err
	}
	defer done()
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return 0, fs.ErrNotExist
		}
		if err != nil {
			return 0, err
		}
		if !l.isIt(h) {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return 0, fmt.Errorf("it is not a regular file")
		}
		if h.Size > maxBlobSize {
			return 0, fmt.Errorf("its %d bytes are more than any file of a bundle may have", h.Size)
		}
		return h.Size, nil
	}
}

// copy writes the file to w and hashes the whole layer on the way.
func (l layerFile) copy(ctx context.Context, w io.Writer) error {
	if _, err := l.content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	digester := digest.SHA256.Digester()
	stream := io.TeeReader(stoppable(ctx, l.content), digester.Hash())
	tr, done, err := l.unpack(stream)
	if err != nil {
		return err
	}
	defer done()
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if l.isIt(h) {
			if _, err := io.CopyN(w, tr, min(h.Size, maxBlobSize)); err != nil {
				return err
			}
		}
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return err
	}
	if got := digester.Digest(); got != l.layer.Digest {
		return &DigestMismatchError{Path: l.from, Entry: blobName(l.layer.Digest), NamedBy: l.namedBy, Want: l.layer.Digest, Got: got}
	}
	return nil
}

// is says whether dst holds the file, which has a size, already.
func (l layerFile) is(ctx context.Context, dst string, size int64) (bool, error) {
	st, err := os.Lstat(dst)
	if err != nil || !st.Mode().IsRegular() || st.Size() != size || st.Mode().Perm() != 0o755 {
		return false, nil //nolint:nilerr // whatever stands there will be replaced, and that reports its own error
	}
	f, err := os.Open(dst)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read only
	have, err := digest.SHA256.FromReader(stoppable(ctx, f))
	if err != nil {
		return false, err
	}
	digester := digest.SHA256.Digester()
	if err := l.copy(ctx, digester.Hash()); err != nil {
		return false, err
	}
	return digester.Digest() == have, nil
}

// readerFunc is a function as an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// stoppable reads from r until ctx is done.
func stoppable(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}
