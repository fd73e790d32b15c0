package desired

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// The well-known places of data on a host. The last two are the programs' own defaults, the first is kubeadm's.
const (
	EtcdPlace       = "/var/lib/etcd"
	ContainerdPlace = "/var/lib/containerd"
	KubeletPlace    = "/var/lib/kubelet"
)

// DataDirectory is where data of a host is kept that programs find at its well-known place.
type DataDirectory struct {
	// Place is one of the well-known places; Path is the directory that appears there.
	Place, Path string
	// Field is the field that is for it, below dataDirectories.
	Field string
}

// dataDirectories lays what is said of a host over what is said of its pool and the cluster, and lists what is not at its well-known
// place. Workers have no etcd.
func dataDirectories(object, pool, cluster v1alpha1.DataDirectories, controlPlane bool, field string) ([]DataDirectory, error) {
	var dirs []DataDirectory
	for _, d := range []DataDirectory{
		{EtcdPlace, cmp.Or(object.Etcd, pool.Etcd, cluster.Etcd), "etcd"},
		{ContainerdPlace, cmp.Or(object.Containerd, pool.Containerd, cluster.Containerd), "containerd"},
		{KubeletPlace, cmp.Or(object.Kubelet, pool.Kubelet, cluster.Kubelet), "kubelet"},
	} {
		if d.Path == "" || d.Path == d.Place || (d.Place == EtcdPlace && !controlPlane) {
			continue
		}
		for _, other := range dirs {
			if d.Path == other.Path || strings.HasPrefix(d.Path, other.Path+"/") || strings.HasPrefix(other.Path, d.Path+"/") {
				return nil, &SpecError{field, fmt.Sprintf("dataDirectories puts %s at %s and %s at %s: each needs a directory of its own, apart from the others", other.Field, other.Path, d.Field, d.Path)}
			}
		}
		dirs = append(dirs, d)
	}
	return dirs, nil
}
