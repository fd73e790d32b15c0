package upstream

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Unpack writes members of a tar that is packed with gzip to a directory, with mode 0755: paths in the archive to names in the directory.
// Members must be regular files. Nothing else of the archive is looked at, and no name of it is used.
func Unpack(ctx context.Context, archive string, members map[string]string, dir string) (err error) {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("it is not packed with gzip: %w", err)
	}
	left := len(members)
	for tr := tar.NewReader(z); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("it is no tar archive, or cut off: %w", err)
		}
		name, wanted := members[strings.TrimPrefix(path.Clean("/"+h.Name), "/")]
		if !wanted {
			continue
		}
		if h.Typeflag != tar.TypeReg || h.Size > maxFile {
			return fmt.Errorf("%s in it is no regular file of a possible size", h.Name)
		}
		if err := write(filepath.Join(dir, name), io.LimitReader(tr, h.Size)); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
		left--
	}
	for member, name := range members {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("there is no %s in it: correct the path in the definition", member)
		}
	}
	return nil
}

// write writes a file that is not there yet.
func write(file string, from io.Reader) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
