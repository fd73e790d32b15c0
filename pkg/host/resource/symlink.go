package resource

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func checkSymlink(_ context.Context, t *Task, r *api.Resource) (finding, error) {
	l := r.Symlink
	fi, err := os.Lstat(t.Sys.Path(l.Path))
	switch {
	case sys.Missing(err):
		return needed(l.Path + " does not exist")
	case err != nil:
		return finding{}, err
	case fi.Mode()&fs.ModeSymlink == 0:
		return needed(l.Path + " is not a link")
	case l.Keep:
		return done()
	}
	target, err := os.Readlink(t.Sys.Path(l.Path))
	if err != nil {
		return finding{}, err
	}
	if target != l.Target {
		return needed(fmt.Sprintf("%s points to %s instead of %s", l.Path, target, l.Target))
	}
	return done()
}

func applySymlink(_ context.Context, t *Task, r *api.Resource) error {
	l := r.Symlink
	if fi, err := os.Lstat(t.Sys.Path(l.Path)); err == nil && fi.IsDir() {
		return invalid("%s is a directory: it is in the way of a link", l.Path)
	}
	if err := t.parents(l.Path); err != nil {
		return err
	}
	if err := t.recordPath(l.Path); err != nil {
		return err
	}
	// A link cannot be replaced in one step but by renaming another one over it. Only we write while we hold the lease,
	// so the fixed name is free, but for what a killed helper left.
	tmp := filepath.Join(filepath.Dir(t.Sys.Path(l.Path)), sys.TempPrefix+"link.tmp")
	if err := os.Remove(tmp); err != nil && !sys.Missing(err) {
		return err
	}
	if err := os.Symlink(l.Target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, t.Sys.Path(l.Path))
}
