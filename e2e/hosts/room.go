package hosts

import (
	"cmp"
	"path/filepath"
	"syscall"
)

// roomPerHost is what a host takes on the disk when it has run three minor versions of Kubernetes, in bytes: each about 0.6 GiB of
// content and as much unpacked.
const roomPerHost = 4 << 30

// warnOfLittleRoom says when the disk may become full: nodes that run out of it evict pods, and tests then fail for reasons that are hard
// to see.
func warnOfLittleRoom(o Options) {
	var disk syscall.Statfs_t
	dir := cmp.Or(o.Engine.DataRoot, o.Engine.Dir, defaultEngineDir)
	for syscall.Statfs(dir, &disk) != nil && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	free, wanted := int64(disk.Bavail)*disk.Bsize, int64(o.Count)*roomPerHost
	if free < wanted {
		o.Log("%s has %d GiB free; %d hosts with upgrades may take %d GiB", dir, free>>30, o.Count, wanted>>30)
	}
}
