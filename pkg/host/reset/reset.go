// Package reset gives a host back: it undoes what the ledger recorded, newest first, and touches nothing else. It goes on
// over errors, reports them, and keeps in the ledger what it could not undo, so that running it again finishes the work.
// It must not know what a cluster is beyond the few things a node's programs make by themselves (see node.go).
package reset

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/backup"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/resource"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Resetter undoes what a ledger says.
type Resetter struct {
	Sys    *sys.System
	Ledger *ledger.Ledger
	Runs   *detach.Manager
	Kernel Kernel
	// Helper is the helper's own file, "" to leave it where it is.
	Helper string
	// Emit is told each item as it is handled; may be nil.
	Emit func(api.Progress)

	dryRun bool
	// runtimeStays says that containerd runs containers of others, and so is left with all it needs.
	runtimeStays bool

	report api.ResetReport
	failed map[string]bool // entries to keep, by type and name
	// detached are the mounts that were detached, or would be, by their IDs.
	detached map[int]bool
}

// Run undoes everything. The error is for what kept it from starting; what failed on the way stands in the report.
func (r *Resetter) Run(ctx context.Context, req api.ResetRequest) (*api.ResetReport, error) {
	if owner := r.Ledger.Owner(); owner != nil && req.Owner.ClusterUID != "" && owner.ClusterUID != req.Owner.ClusterUID {
		return nil, &api.OwnedByOtherError{Owner: *owner}
	}
	r.dryRun, r.report, r.failed = req.DryRun, api.ResetReport{Items: []api.ResetItem{}}, map[string]bool{}
	r.detached = map[int]bool{}
	entries := r.Ledger.Entries()
	newestFirst := slices.Clone(entries)
	slices.Reverse(newestFirst)

	r.stopRuns(ctx, newestFirst)
	r.images(ctx, newestFirst)
	r.stopNode(ctx, newestFirst)
	r.files(newestFirst)
	r.trees(newestFirst)
	r.dirs(newestFirst)
	r.backups(newestFirst)
	r.sysctls(newestFirst)
	r.modules(newestFirst)
	r.restoreUnits(ctx, entries)
	r.state(req, entries)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return &r.report, nil
}

// do handles one item: names it, and does it unless this is a dry run.
func (r *Resetter) do(e ledger.Entry, action, target string, f func() error) {
	item := api.ResetItem{Action: action, Target: target}
	if !r.dryRun {
		if err := f(); err != nil {
			item.Error = err.Error()
			r.report.Errors++
			r.failed[entryKey(e)] = true
		}
	}
	r.report.Items = append(r.report.Items, item)
	if r.Emit != nil {
		message := action + " " + target
		if item.Error != "" {
			message += ": " + item.Error
		}
		r.Emit(api.Progress{Message: message})
	}
}

func entryKey(e ledger.Entry) string { return string(e.Type) + " " + e.Name }

func ofType(entries []ledger.Entry, t ledger.Type) []ledger.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e ledger.Entry) bool { return e.Type != t })
}

func (r *Resetter) stopRuns(ctx context.Context, entries []ledger.Entry) {
	for _, e := range ofType(entries, ledger.TypeRun) {
		running, err := r.Runs.Running(ctx, e.Name)
		if err == nil && !running {
			continue
		}
		r.do(e, "stop", detach.UnitName(e.Name), func() error { return errors.Join(err, r.Runs.Stop(ctx, e.Name)) })
	}
}

func (r *Resetter) files(entries []ledger.Entry) {
	for _, e := range ofType(entries, ledger.TypeFile) {
		if r.stays(e) {
			continue
		}
		path := r.Sys.Path(e.Name)
		moved := r.moved(e)
		switch {
		case moved != nil && !sys.Exists(path) && e.Backup == "" && e.Previous == "":
			continue
		case moved != nil:
			r.do(e, "delete", e.Name, func() error { return moved })
			continue
		case e.Backup != "":
			r.do(e, "restore", e.Name, func() error { return r.Ledger.Restore(e.Backup, path, fs.FileMode(e.Mode)) })
		case e.Previous != "":
			r.do(e, "restore link", e.Name, func() error { return relink(path, e.Previous) })
		case sys.Exists(path):
			r.do(e, "delete", e.Name, func() error { return ignoreMissing(os.Remove(path)) })
		}
		// What a killed helper left next to it.
		if leftovers, err := filepath.Glob(filepath.Join(filepath.Dir(path), sys.TempPrefix+"*.tmp")); err == nil && !r.dryRun {
			for _, l := range leftovers {
				_ = os.Remove(l)
			}
		}
	}
}

func relink(path, target string) error {
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	if err := ignoreMissing(os.Remove(path)); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

func ignoreMissing(err error) error {
	if sys.Missing(err) {
		return nil
	}
	return err
}

func (r *Resetter) trees(entries []ledger.Entry) {
	for _, e := range ofType(entries, ledger.TypeTree) {
		path := r.Sys.Path(e.Name)
		if r.stays(e) || !sys.Exists(path) {
			continue
		}
		if err := r.moved(e); err != nil {
			r.do(e, "delete", e.Name, func() error { return err })
			continue
		}
		if fi, err := os.Stat(path); err == nil && !e.Created && !r.uncovered(e) && e.Mode != 0 && fi.Mode().Perm() != fs.FileMode(e.Mode) {
			// The program it is for has narrowed it.
			r.do(e, "restore mode", e.Name, func() error { return os.Chmod(path, fs.FileMode(e.Mode)) })
		}
		if !e.Created && sys.EmptyDir(path) {
			continue
		}
		r.do(e, "delete", e.Name, func() error {
			if err := r.foreignMount(e.Name); err != nil {
				return err
			}
			if e.Created {
				return r.Sys.RemoveTree(e.Name)
			}
			return r.Sys.EmptyTree(e.Name)
		})
	}
}

func (r *Resetter) dirs(entries []ledger.Entry) {
	for _, e := range ofType(entries, ledger.TypeDir) {
		if r.stays(e) {
			continue
		}
		path := r.Sys.Path(e.Name)
		if r.moved(e) != nil {
			// Not the directory that it was: its mode, and whether it stays, is for whoever put it there to say.
			if r.failedBelow(entries, e.Name) {
				r.failed[entryKey(e)] = true
			}
			continue
		}
		if !e.Created {
			r.do(e, "restore", e.Name, func() error {
				if err := os.Mkdir(path, fs.FileMode(e.Mode)); err != nil && !os.IsExist(err) {
					return err
				}
				return os.Chmod(path, fs.FileMode(e.Mode))
			})
			continue
		}
		if !sys.Exists(path) || (!r.dryRun && !sys.EmptyDir(path)) {
			// Somebody else's files came into it since, theirs to keep; or ours, which the next reset takes and the directory with them.
			if r.failedBelow(entries, e.Name) {
				r.failed[entryKey(e)] = true
			}
			continue
		}
		r.do(e, "delete", e.Name, func() error {
			err := os.Remove(path)
			if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ENOTEMPTY) {
				return nil
			}
			return ignoreMissing(err)
		})
	}
}

// failedBelow says that something of ours could not be removed from a directory.
func (r *Resetter) failedBelow(entries []ledger.Entry, dir string) bool {
	return slices.ContainsFunc(entries, func(e ledger.Entry) bool {
		return r.failed[entryKey(e)] && strings.HasPrefix(e.Name, dir+"/")
	})
}

func (r *Resetter) sysctls(entries []ledger.Entry) {
	for _, e := range ofType(entries, ledger.TypeSysctl) {
		path := r.Sys.Path(resource.SysctlPath(e.Name))
		now, err := os.ReadFile(path)
		if sys.Missing(err) || strings.Join(strings.Fields(string(now)), " ") == e.Previous {
			continue
		}
		r.do(e, "restore", e.Name+" = "+e.Previous, func() error { return resource.WriteSysctl(path, e.Previous) })
	}
}

// state deletes what the helper kept for itself, and the ledger last of all. Journals and the lease's token stay: the
// first tell what happened, the second must never go back.
func (r *Resetter) state(req api.ResetRequest, entries []ledger.Entry) {
	if owner := r.Ledger.Owner(); owner != nil && len(r.failed) == 0 {
		// The ledger itself goes last; the item says so even when nothing else is left to undo.
		r.report.Items = append(r.report.Items, api.ResetItem{Action: "release", Target: "the host from cluster " + owner.ClusterName})
	}
	if r.dryRun {
		return
	}
	for _, e := range ofType(entries, ledger.TypeRun) {
		if !r.failed[entryKey(e)] {
			r.cleanup(r.Runs.Remove(e.Name))
		}
	}
	var undone []ledger.Entry
	for _, e := range entries {
		// The backups are still there when this goes on the next time.
		if !r.failed[entryKey(e)] && e.Type != ledger.TypeBackups {
			undone = append(undone, e)
		}
	}
	if !req.KeepBlobs {
		r.cleanup(r.Sys.RemoveTree(filepath.Join(sys.StateDir, "blobs")))
		r.cleanup(ignoreMissing(os.Remove(r.Sys.State("stamps.json"))))
	}
	r.cleanup(r.Sys.RemoveTree(filepath.Join(sys.StateDir, "receipts")))
	r.cleanup(backup.Clean(r.Sys))
	if len(r.failed) > 0 || r.report.Errors > 0 {
		r.cleanup(r.Ledger.Forget(undone))
		return
	}
	r.cleanup(r.Sys.RemoveTree(filepath.Join(sys.StateDir, "runs")))
	r.cleanup(r.Sys.RemoveTree(sys.RuntimeDir))
	r.cleanup(r.Ledger.Delete())
	r.helpers()
}

func (r *Resetter) cleanup(err error) {
	if err != nil {
		r.report.Errors++
		r.report.Items = append(r.report.Items, api.ResetItem{Action: "delete", Target: sys.StateDir, Error: err.Error()})
	}
}
