package backup

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// spare is what stays free beside a backup: etcd and kubelet write to the same disk and stop when it is full.
const spare = 64 << 20

// FreeSpace asks the file system that holds path.
func FreeSpace(path string) (bytes int64, device uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("look for free space at %s: %w", path, err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return 0, 0, fmt.Errorf("look for free space: %w", err)
	}
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		device = uint64(s.Dev) //nolint:unconvert // the field's type differs between systems
	}
	return int64(st.Bavail) * st.Bsize, device, nil
}

// room refuses to begin what would fill a disk: the snapshot lies there twice for a moment, in the clear and encrypted.
func (t *Taker) room(b *api.Backup, size int64) error {
	work, dir := t.Sys.State(workDir), filepath.Dir(t.Sys.Path(b.Path()))
	workFree, workDevice, err := t.Free(work)
	if err != nil {
		return err
	}
	dirFree, dirDevice, err := t.Free(dir)
	if err != nil {
		return err
	}
	need := size + spare
	if workDevice == dirDevice {
		need += size
	}
	if workFree < need {
		return &SpaceError{Path: work, Need: need, Free: workFree}
	}
	if dirFree < need {
		return &SpaceError{Path: dir, Need: need, Free: dirFree}
	}
	return nil
}
