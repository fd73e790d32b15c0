package box

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// file copies a file:// source that lies below an allowed root. Links are followed inside the root only: os.Root sees to it while the
// file is opened, so nothing can be changed in between.
func (j *job) file(ctx context.Context, source *url.URL) error {
	from, err := openBelow(source.Path, j.request.Roots)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", source.Path, err)
	}
	if !info.Mode().IsRegular() {
		return &fetch.Error{Kind: fetch.NotAllowed, Message: source.Path + " is not a regular file: name one"}
	}
	// A copy from a disk is quick, so it is not gone on with: nothing tells whether the file is still the same.
	if err := j.part.begin("", info.Size()); err != nil {
		return err
	}
	if err := j.room(info.Size()); err != nil {
		return err
	}
	buffer := make([]byte, copyBuffer)
	limited := io.LimitReader(from, info.Size())
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := limited.Read(buffer)
		if _, writeErr := j.part.Write(buffer[:n]); writeErr != nil {
			return writeErr
		}
		j.tell()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", source.Path, err)
		}
	}
	if j.part.size != info.Size() {
		return &fetch.Error{Kind: fetch.Unreachable, Message: fmt.Sprintf("%s changed while it was read: replace files by renaming", source.Path)}
	}
	return nil
}

// openBelow opens a path below one of the roots.
func openBelow(path string, roots []string) (*os.File, error) {
	for _, dir := range roots {
		rel, err := filepath.Rel(dir, path)
		if err != nil || !filepath.IsLocal(rel) || rel == "." {
			continue
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("open the root %s: %w", dir, err)
		}
		defer func() { _ = root.Close() }()
		// Without waiting: opening a pipe would take until somebody writes into it.
		f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &fetch.Error{Kind: fetch.NotFound, Message: fmt.Sprintf("there is no file %s: put it there, or correct the source", path)}
		case err != nil:
			return nil, &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("%s cannot be opened below %s: %v", path, dir, err)}
		}
		return f, nil
	}
	return nil, &fetch.Error{Kind: fetch.NotAllowed, Message: fmt.Sprintf("%s is not below a directory that files may be taken from", path)}
}
