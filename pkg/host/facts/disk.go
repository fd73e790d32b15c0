package facts

import (
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// diskPaths returns the places a node fills.
func diskPaths() []string {
	return []string{"/", "/var/lib", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet", "/usr/local", "/var/log", sys.StateDir}
}

// disks looks at the file system that holds each path, or will hold it once it is made.
func disks(s *sys.System) []api.Disk {
	var all []api.Disk
	for _, p := range diskPaths() {
		at := p
		for at != "/" && !sys.Exists(s.Path(at)) {
			at = path.Dir(at)
		}
		var st unix.Statfs_t
		if unix.Statfs(s.Path(at), &st) != nil {
			continue
		}
		d := api.Disk{Path: p, TotalBytes: int64(st.Blocks) * st.Bsize, FreeBytes: int64(st.Bavail) * st.Bsize, ReadOnly: st.Flags&unix.ST_RDONLY != 0}
		if fi, err := os.Stat(s.Path(at)); err == nil {
			if sst, ok := fi.Sys().(*syscall.Stat_t); ok {
				d.Device = uint64(sst.Dev) //nolint:unconvert // the field's type differs between systems
			}
		}
		all = append(all, d)
	}
	return all
}
