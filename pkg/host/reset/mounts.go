package reset

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// unmount detaches what a node's programs mounted below the directories, by whatever path. A directory that is itself a mount point is
// the machine's, and so is what /etc/fstab or a mount unit of the machine mounts. Where a directory leads elsewhere than when it was
// taken over, or was never ours and is a link, nothing is known of the mounts there.
func (r *Resetter) unmount(e ledger.Entry, dirs ...string) {
	for _, dir := range dirs {
		if tree, ours := r.Ledger.Find(ledger.TypeTree, dir); ours && r.moved(tree) != nil {
			continue
		} else if at, err := r.Sys.Resolve(dir); !ours && (err != nil || at != dir) {
			continue
		}
		r.detach(e, dir, func(sys.Mount) bool { return true })
	}
}

// unmountPods is unmount for kubelet's directory, and for where its pods are when somebody has moved those with a link: there, only
// what lies where kubelet mounts volumes is known to be kubelet's.
func (r *Resetter) unmountPods(e ledger.Entry) {
	r.unmount(e, kubeletDir)
	pods := path.Join(kubeletDir, "pods")
	at, err := r.Sys.Resolve(pods)
	if err != nil {
		return
	}
	r.detach(e, pods, func(m sys.Mount) bool {
		below := strings.Split(strings.TrimPrefix(m.At, at+"/"), "/")
		return len(below) > 2 && (below[1] == "volumes" || below[1] == "volume-subpaths")
	})
}

// detach unmounts the mounts in dir that are ours, until none is left that was not tried.
func (r *Resetter) detach(e ledger.Entry, dir string, ours func(sys.Mount) bool) {
	configured := r.Sys.Configured()
	for {
		at, mounts, err := r.look(dir)
		if err != nil {
			r.do(e, "unmount", dir, func() error { return err })
			return
		}
		i := slices.IndexFunc(mounts.In(at), func(m sys.Mount) bool {
			// What another mount hides is reached, and detached, once that one is gone.
			return !r.detached[m.ID] && ours(m) && !slices.Contains(configured, m.At) && (mounts.Visible(m) || r.dryRun)
		})
		if i < 0 {
			return
		}
		m := mounts.In(at)[i]
		r.detached[m.ID] = true
		r.do(e, "unmount", m.At, func() error { return r.Kernel.Unmount(m.At) })
	}
}

// look finds where a directory leads, and what is mounted now.
func (r *Resetter) look(dir string) (at string, mounts *sys.Mounts, err error) {
	if at, err = r.Sys.Resolve(dir); err != nil {
		return "", nil, err
	}
	mounts, err = r.Sys.Mounts()
	return at, mounts, err
}

// foreignMount says what is mounted in a tree and is not ours, so that the tree stays.
func (r *Resetter) foreignMount(tree string) error {
	at, mounts, err := r.look(tree)
	if err != nil {
		return err
	}
	for _, m := range mounts.In(at) {
		if !r.dryRun || !r.detached[m.ID] {
			return &sys.MountedError{At: m.At}
		}
	}
	return nil
}

// uncovered reports whether the mount that an entry lay on has gone, so that its mode is not that of what is there now.
func (r *Resetter) uncovered(e ledger.Entry) bool {
	mounts, err := r.Sys.Mounts()
	if err != nil || e.Mount == "" {
		return false
	}
	_, mount, err := e.Place(r.Sys, mounts)
	return err != nil || mount != e.Mount
}

// moved says why what is at an entry's path now may be somebody else's: a link or a mount in the way that was not there when it was
// recorded. nil when it is at its place.
func (r *Resetter) moved(e ledger.Entry) error {
	mounts, err := r.Sys.Mounts()
	if err != nil {
		return err
	}
	at, mount, err := e.Place(r.Sys, mounts)
	if err != nil {
		return err
	}
	was := e.At
	switch {
	case e.Mount == "" && (!e.Created || e.Type == ledger.TypeFile):
		// Earlier versions did not record where a path led.
		return nil
	case e.Mount == "":
		// But what was not there before was neither a link nor a mount point.
		if was, err = r.Sys.Resolve(path.Dir(e.Name)); err != nil {
			return err
		}
		was = path.Join(was, path.Base(e.Name))
	case was == "":
		was = e.Name
	}
	switch {
	case at != was:
		return fmt.Errorf("%s leads to %s now, and led to %s when it was set up: nothing there is removed; put it back or remove what you do not need, and reset again", e.Name, at, was)
	case e.Mount == "" && mounts.Point(at), e.Mount != "" && mount != e.Mount && sys.Below(mount, e.Mount) && mounts.Point(mount):
		return fmt.Errorf("%s lies behind what was mounted at %s after it was set up: nothing there is removed; unmount it, and reset again", e.Name, mount)
	}
	return nil
}
