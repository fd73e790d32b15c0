package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ExtractFromImage copies one regular file out of an image, e.g. usr/local/bin/etcd, to dst with mode 0755. The layer it
// comes from is hashed, so what arrives is what the bundle's digest promises. dst is replaced atomically, and left alone
// when it has the right content already. Only uncompressed layers can be read. Errors: PlatformNotFoundError,
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
	if layer.MediaType != ocispec.MediaTypeImageLayer {
		return false, fmt.Errorf("layer %s has media type %s; only uncompressed layers can be read", layer.Digest, layer.MediaType)
	}
	content, err := b.Blob(layer.Digest)
	if err != nil {
		return false, err
	}
	name, size, err := findInTar(content, want)
	if err != nil || name == "" {
		return false, err
	}
	if same, err := b.sameContent(ctx, layer.Digest, content, want, size, dst); same || err != nil {
		return true, err
	}
	err = writeAtomicMode(dst, 0o755, func(w io.Writer) error {
		return copyFromLayer(ctx, b.own.path, layer.Digest, content, want, w)
	})
	return true, err
}

// findInTar looks for a regular file without reading content, and returns its name in the tar, or "" if it is not there.
func findInTar(r io.ReadSeeker, want string) (string, int64, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return "", 0, nil
		}
		if err != nil {
			return "", 0, err
		}
		if strings.TrimPrefix(path.Clean("/"+h.Name), "/") != want {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return "", 0, fmt.Errorf("it is not a regular file")
		}
		return h.Name, h.Size, nil
	}
}

// copyFromLayer writes one file of the layer to w and hashes the whole layer on the way.
func copyFromLayer(ctx context.Context, bundlePath string, want digest.Digest, layer *io.SectionReader, name string, w io.Writer) error {
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	digester := digest.SHA256.Digester()
	stream := io.TeeReader(stoppable(ctx, layer), digester.Hash())
	tr := tar.NewReader(stream)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if strings.TrimPrefix(path.Clean("/"+h.Name), "/") == name {
			if _, err := io.Copy(w, tr); err != nil { //nolint:gosec // nothing is decompressed: a file is no larger than its layer
				return err
			}
		}
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return err
	}
	if got := digester.Digest(); got != want {
		return &DigestMismatchError{Path: bundlePath, Entry: blobName(want), Want: want, Got: got}
	}
	return nil
}

// sameContent says whether dst holds the file's content already.
func (b *Bundle) sameContent(ctx context.Context, d digest.Digest, layer *io.SectionReader, name string, size int64, dst string) (bool, error) {
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
	if err := copyFromLayer(ctx, b.own.path, d, layer, name, digester.Hash()); err != nil {
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
