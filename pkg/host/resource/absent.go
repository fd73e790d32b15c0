package resource

import (
	"context"
	"os"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func checkAbsent(_ context.Context, t *Task, r *api.Resource) (finding, error) {
	_, err := os.Lstat(t.Sys.Path(r.Absent.Path))
	switch {
	case sys.Missing(err):
		return done()
	case err != nil:
		return finding{}, err
	}
	return needed(r.Absent.Path + " exists")
}

// applyAbsent removes files of anybody (keeping what was not ours for Reset to bring back), but directories with
// something in them only when they are ours.
func applyAbsent(_ context.Context, t *Task, r *api.Resource) error {
	p := r.Absent.Path
	fi, err := os.Lstat(t.Sys.Path(p))
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		if err := t.recordPath(p); err != nil {
			return err
		}
		t.Stamps.Drop(p)
		return os.Remove(t.Sys.Path(p))
	}
	if t.Ledger.Owns(p) {
		return t.Sys.RemoveTree(p)
	}
	if !sys.EmptyDir(t.Sys.Path(p)) {
		return invalid("%s has content that is not ours: move it away by hand", p)
	}
	if err := t.Ledger.Record(ledger.Entry{Type: ledger.TypeDir, Name: p, Mode: uint32(fi.Mode().Perm())}); err != nil {
		return err
	}
	return os.Remove(t.Sys.Path(p))
}
