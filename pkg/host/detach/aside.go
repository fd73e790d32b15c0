package detach

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// asideDir is where, below the run's directory, the files lie that the program should not find.
const asideDir = "aside"

// asidePath is where the file at p lies meanwhile. The name is a digest, because a path can be longer than a name.
func (m *Manager) asidePath(req *Request, p string) string {
	sum := sha256.Sum256([]byte(p))
	return m.runPath(req.Name, filepath.Join(asideDir, hex.EncodeToString(sum[:])))
}

// putAside takes away the files that the program should not find. What an earlier run put aside and, having been killed, did
// not put back is the true content; what lies in its place since is half done.
func (m *Manager) putAside(req *Request) error {
	if len(req.Removes) == 0 {
		return nil
	}
	if err := os.MkdirAll(m.runPath(req.Name, asideDir), 0o700); err != nil {
		return fmt.Errorf("put files aside: %w", err)
	}
	for _, p := range req.Removes {
		path, aside := m.Sys.Path(p), m.asidePath(req, p)
		fi, err := os.Lstat(path)
		switch {
		case sys.Missing(err):
			continue
		case err == nil && fi.IsDir():
			err = errors.New("it is a directory")
		case err == nil && sys.Exists(aside):
			err = os.Remove(path)
		case err == nil:
			err = move(path, aside)
		}
		if err != nil {
			return fmt.Errorf("remove %s before the start: %w", p, err)
		}
	}
	return nil
}

// putBack undoes putAside, over what the program may have left in the files' places.
func (m *Manager) putBack(req *Request) error {
	var errs []error
	for _, p := range req.Removes {
		aside := m.asidePath(req, p)
		if !sys.Exists(aside) {
			continue
		}
		if err := move(aside, m.Sys.Path(p)); err != nil {
			errs = append(errs, fmt.Errorf("put %s back (it lies in %s): %w", p, aside, err))
		}
	}
	return errors.Join(errs...)
}

// dropAside forgets the files that the program has made anew.
func (m *Manager) dropAside(req *Request) error {
	if len(req.Removes) == 0 {
		return nil
	}
	return m.Sys.RemoveTree(filepath.Join(sys.StateDir, "runs", req.Name, asideDir))
}

// move renames a file or link, or copies it where the two places are on different file systems.
func move(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	fi, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.Remove(to); err != nil && !sys.Missing(err) {
			return err
		}
		return errors.Join(os.Symlink(target, to), os.Remove(from))
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := sys.WriteFileSync(to, data, fi.Mode().Perm()); err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Remove(from)
}
