package resource

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func invalid(format string, args ...any) error {
	return &api.ResourceError{Reason: api.ReasonInvalid, Message: fmt.Sprintf(format, args...)}
}

// parents makes the directories above p that are missing, after recording them.
func (t *Task) parents(p string) error {
	var missing []string
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		fi, err := os.Stat(t.Sys.Path(dir))
		if err == nil {
			if !fi.IsDir() {
				return invalid("%s is in the way: it is not a directory", dir)
			}
			break
		}
		if !sys.Missing(err) {
			return err
		}
		missing = append(missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := t.makeDir(missing[i], 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (t *Task) makeDir(dir string, mode fs.FileMode) error {
	if target, err := os.Readlink(t.Sys.Path(dir)); err == nil {
		return invalid("%s is a link to %s, which is not there: make that directory, or remove the link", dir, target)
	}
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeDir, Name: dir, Created: true}); err != nil {
		return err
	}
	if err := os.Mkdir(t.Sys.Path(dir), mode); err != nil && !os.IsExist(err) {
		return err
	}
	// The umask took bits away.
	return os.Chmod(t.Sys.Path(dir), mode)
}

// recordPath puts into the ledger what is at p now, before it is replaced or removed.
func (t *Task) recordPath(p string) error {
	if t.Ledger.Has(ledger.TypeFile, p) {
		return nil
	}
	e := ledger.Entry{Type: ledger.TypeFile, Name: p}
	fi, err := os.Lstat(t.Sys.Path(p))
	switch {
	case sys.Missing(err):
		e.Created = true
	case err != nil:
		return err
	case t.Ledger.Owns(p):
		// Made by one of our commands inside a tree of ours: nothing to bring back.
		e.Created = true
	case fi.Mode().IsRegular():
		if e.Backup, err = t.Ledger.Backup(t.Sys.Path(p)); err != nil {
			return err
		}
		e.Mode = uint32(fi.Mode().Perm())
	case fi.Mode()&fs.ModeSymlink != 0:
		if e.Previous, err = os.Readlink(t.Sys.Path(p)); err != nil {
			return err
		}
	default:
		return invalid("%s is neither a file nor a link and is not ours: move it away first", p)
	}
	return t.Ledger.Record(e)
}

// ownedByRoot is asked on real machines only; in a directory that stands for one, files belong to the tester.
func (t *Task) ownedByRoot(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return !t.Sys.Real() || (ok && st.Uid == 0 && st.Gid == 0)
}
