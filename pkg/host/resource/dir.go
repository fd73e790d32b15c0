package resource

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func dirMode(d *api.Dir) fs.FileMode {
	if d.Mode == 0 {
		return 0o755
	}
	return fs.FileMode(d.Mode)
}

func checkDir(_ context.Context, t *Task, r *api.Resource) (finding, error) {
	d := r.Dir
	fi, err := os.Stat(t.Sys.Path(d.Path))
	switch {
	case sys.Missing(err):
		return needed(d.Path + " does not exist")
	case err != nil:
		return finding{}, err
	case !fi.IsDir():
		return needed(d.Path + " is not a directory")
	case d.Mode != 0 && fi.Mode().Perm() != dirMode(d):
		return needed(fmt.Sprintf("%s has mode %#o instead of %#o", d.Path, fi.Mode().Perm(), dirMode(d)))
	case d.Purge && !t.Ledger.Has(ledger.TypeTree, d.Path) && (t.Ledger.MadeDir(d.Path) || t.onlyOurs(d.Path)):
		return needed(d.Path + " is not recorded as ours yet")
	}
	return done()
}

func applyDir(_ context.Context, t *Task, r *api.Resource) error {
	d := r.Dir
	if err := t.parents(d.Path); err != nil {
		return err
	}
	if d.Purge {
		if err := t.recordTree(d.Path); err != nil {
			return err
		}
	}
	fi, err := os.Stat(t.Sys.Path(d.Path))
	switch {
	case sys.Missing(err):
		return t.makeDir(d.Path, dirMode(d))
	case err != nil:
		return err
	case !fi.IsDir():
		return invalid("%s is in the way: it is not a directory", d.Path)
	}
	if d.Mode == 0 || fi.Mode().Perm() == dirMode(d) {
		return nil
	}
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeDir, Name: d.Path, Mode: uint32(fi.Mode().Perm())}); err != nil {
		return err
	}
	return os.Chmod(t.Sys.Path(d.Path), dirMode(d))
}

// recordTree takes over p with everything that will be below it, if nothing is there yet. What others filled stays theirs.
func (t *Task) recordTree(p string) error {
	created := !sys.Exists(t.Sys.Path(p)) || t.Ledger.MadeDir(p)
	if !created && !t.onlyOurs(p) {
		return nil
	}
	e := ledger.Entry{Type: ledger.TypeTree, Name: p, Created: created}
	if !created {
		fi, err := os.Stat(t.Sys.Path(p))
		if err != nil {
			return err
		}
		e.Mode = uint32(fi.Mode().Perm())
	}
	return t.Ledger.Record(e)
}

// onlyOurs says that nothing is in a directory, at any depth, but what we made.
func (t *Task) onlyOurs(dir string) bool {
	if sys.EmptyDir(t.Sys.Path(dir)) {
		return true
	}
	entries, err := os.ReadDir(t.Sys.Path(dir))
	if err != nil {
		return false
	}
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		if !t.Ledger.Made(p) || (e.IsDir() && !t.onlyOurs(p)) {
			return false
		}
	}
	return true
}
