package verified

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// identity is by what a bundle, or a delta with its bases, is known again without reading it.
type identity struct {
	Digest digest.Digest `json:"digest"`
	// Files in the order content is looked for in them.
	Files []file `json:"files"`
}

// file is what tells one file from another, and from itself at another time.
type file struct {
	Size     int64  `json:"size"`
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Modified int64  `json:"modifiedUnixNano"`
	// Changed is when the file was last written, renamed or given other times (ctime): whoever writes can set Modified back, but not this.
	Changed int64 `json:"changedUnixNano"`
}

// identityOf describes the open files of a bundle.
func identityOf(b *bundle.Bundle) (identity, error) {
	id := identity{Digest: b.Digest()}
	infos, err := b.Stat()
	if err != nil {
		return identity{}, err
	}
	for _, info := range infos {
		f := file{Size: info.Size(), Modified: info.ModTime().UnixNano()}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return identity{}, fmt.Errorf("this system does not say which file %s is", info.Name())
		}
		f.Device, f.Inode = uint64(stat.Dev), stat.Ino //nolint:unconvert // the field's type differs between systems
		f.Changed = time.Unix(stat.Ctim.Unix()).UnixNano()
		id.Files = append(id.Files, f)
	}
	return id, nil
}

func (id identity) equal(other identity) bool {
	return id.Digest == other.Digest && slices.Equal(id.Files, other.Files)
}

// unchanged is the identity without the times of change.
func (id identity) unchanged() identity {
	id.Files = slices.Clone(id.Files)
	for i := range id.Files {
		id.Files[i].Changed = 0
	}
	return id
}

// modified is when the newest of the files was written to.
func (id identity) modified() time.Time {
	var newest int64
	for _, f := range id.Files {
		newest = max(newest, f.Modified, f.Changed)
	}
	return time.Unix(0, newest)
}
