package facts

import (
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// diskPaths returns the places a node fills.
func diskPaths() []string {
	return []string{"/", "/var/lib", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet", "/usr/local", "/var/log", sys.StateDir}
}

// disks looks at the file system that holds each path, those asked for as well, or will hold it once it is made.
func disks(s *sys.System, more []string) []api.Disk {
	var all []api.Disk
	for _, p := range append(diskPaths(), more...) {
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

// dataDirectories reads what our mount units bind to the well-known places of data, and at which of these others have mounted something.
func dataDirectories(s *sys.System, l *ledger.Ledger) (ours map[string]string, others []string) {
	ours = map[string]string{}
	mounts, err := s.Mounts()
	for _, place := range []string{"/var/lib/etcd", "/var/lib/containerd", "/var/lib/kubelet"} {
		unit := "/etc/systemd/system/" + api.MountUnit(place)
		if what := s.MountSource(unit); what != "" && l.Owns(unit) {
			ours[place] = what
		} else if err == nil && mounts.Point(place) {
			others = append(others, place)
		}
	}
	return ours, others
}
