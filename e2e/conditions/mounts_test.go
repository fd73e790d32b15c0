//go:build e2e

package conditions

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/e2e/fixture"
)

// disks are hosts whose directories lie elsewhere than a fresh machine has them.
func disks() []condition {
	dataDirectories := map[string]any{"etcd": "/disks/etcd/data", "containerd": "/disks/containerd/data", "kubelet": "/disks/kubelet/data"}
	return []condition{
		{
			name:    "directories of a node that are links to disks become a cluster; a reset leaves links, disks, and a foreign directory mounted among the volumes",
			arrange: linkDirectories,
			running: func(t *testing.T, s *site) {
				// As a local volume of somebody else's data is.
				s.exec(t, "n1", "sh", "-c", "mkdir -p /data/kubelet/pods/x/volumes/v && mount --bind /srv/foreign /data/kubelet/pods/x/volumes/v && "+
					"mkdir -p /data/containerd/x && mount --bind /srv/foreign /data/containerd/x")
			},
			removed: func(t *testing.T, s *site) {
				if got := s.exec(t, "n1", "cat", "/srv/foreign/deep/precious"); got != "theirs\n" {
					t.Errorf("the foreign file holds %q", got)
				}
			},
		},
		{
			name:    "data directories on disks of their own hold the data, are found again by the next operation, and are empty after a reset",
			arrange: ownDisks,
			edit:    fixture.Set("Cluster", "", dataDirectories, "spec", "dataDirectories"),
			running: func(t *testing.T, s *site) {
				s.exec(t, "n1", "sh", "-c", "test -d /disks/etcd/data/member && test -d /disks/containerd/data/io.containerd.content.v1.content && test -d /disks/kubelet/data/pods && test -d /var/lib/etcd/member")
				s.mustUp(t)
				s.describe(t, false, fixture.Set("Cluster", "", map[string]any{"etcd": "/disks/other"}, "spec", "dataDirectories"))
				out, code := s.up(t)
				const says = "host n1 keeps the data of etcd at /disks/etcd/data, and data does not move to /disks/other by itself: put dataDirectories.etcd back"
				if code == succeeded || !strings.Contains(strings.Join(strings.Fields(out), " "), says) {
					t.Errorf("another directory ended with code %d and does not say %q", code, says)
				}
				s.exec(t, "n1", "test", "!", "-e", "/disks/other")
				s.describe(t, false, fixture.Set("Cluster", "", dataDirectories, "spec", "dataDirectories"))
				s.mustUp(t)
			},
			removed: func(t *testing.T, s *site) {
				if got := s.exec(t, "n1", "find", "/disks", "-mindepth", "2"); got != "" {
					t.Errorf("on the disks is left %q", got)
				}
			},
		},
		{
			name:    "a data directory that holds somebody's files is refused by name",
			arrange: func(t *testing.T, s *site) { s.put(t, "n1", "/srv/used/theirs", "x", "/srv/used") },
			edit:    fixture.Set("Cluster", "", "/srv/used", "spec", "dataDirectories", "kubelet"),
			code:    failed, says: []string{"Leftovers", "/srv/used", "remove it"},
		},
		{
			name: "a data directory for what has a disk at its well-known place already is refused",
			edit: fixture.Set("Cluster", "", "/srv/etcd", "spec", "dataDirectories", "etcd"),
			code: failed, says: []string{"DataDirectoryMounted", "something is mounted at /var/lib/etcd already", "leave dataDirectories.etcd out"},
		},
		{
			name: "etcd's data directory in an override is refused at once, with the field for it",
			edit: fixture.Set("Cluster", "", "/data/etcd", "spec", "overrides", "kubeadm", "etcd", "local", "dataDir"),
			code: failed, says: []string{"spec.overrides.kubeadm.etcd.local.dataDir", "use controlPlane.dataDirectories.etcd"}, hides: []string{"host/connect"},
		},
		{
			name: "containerd's root in an override is refused at once, with the field for it",
			edit: fixture.Set("Cluster", "", "/data/containerd", "spec", "overrides", "containerd", "root"),
			code: failed, says: []string{"spec.overrides.containerd.root", "use dataDirectories.containerd"}, hides: []string{"host/connect"},
		},
	}
}

// linkDirectories makes links of all that a node writes to, each to a disk: there, the volumes of a container host.
func linkDirectories(t *testing.T, s *site) {
	s.exec(t, "n1", "sh", "-c", `set -e
mkdir -p /srv/foreign/deep; echo theirs > /srv/foreign/deep/precious
for d in kubelet etcd containerd; do
  mkdir -p /data/$d; mount --bind /var/lib/$d /data/$d; umount /var/lib/$d; rmdir /var/lib/$d; ln -s /data/$d /var/lib/$d
done
mkdir -p /data/kubernetes /data/cni; rm -rf /etc/kubernetes /opt/cni; ln -s /data/kubernetes /etc/kubernetes; ln -s ../data/cni /opt/cni`)
	awaitUnmounted(t, s, "/var/lib")
	t.Cleanup(func() {
		s.exec(t, "n1", "sh", "-c", `for d in kubelet etcd containerd; do rm /var/lib/$d; mkdir /var/lib/$d; mount --bind /data/$d /var/lib/$d; umount /data/$d; done
rm -rf /etc/kubernetes /opt/cni /data /srv/foreign`)
		awaitUnmounted(t, s, "/data")
	})
}

// ownDisks gives a host a disk for each kind of data, which are the volumes of a container host.
func ownDisks(t *testing.T, s *site) {
	s.exec(t, "n1", "sh", "-c", "set -e; for d in kubelet etcd containerd; do mkdir -p /disks/$d; mount --bind /var/lib/$d /disks/$d; umount /var/lib/$d; done")
	awaitUnmounted(t, s, "/var/lib")
	t.Cleanup(func() {
		s.exec(t, "n1", "sh", "-c", "for d in kubelet etcd containerd; do mount --bind /disks/$d /var/lib/$d; umount /disks/$d; done; rm -rf /disks")
		awaitUnmounted(t, s, "/disks")
	})
}

// awaitUnmounted waits until systemd has seen that nothing is mounted at the directories of data below a directory, which it learns
// some moments after the mounts are gone: until then, what a host is made of would change under the line that looks at it.
func awaitUnmounted(t *testing.T, s *site, below string) {
	t.Helper()
	s.exec(t, "n1", "timeout", "20", "bash", "-c",
		`for d in kubelet etcd containerd; do unit=$(systemd-escape --path --suffix=mount "$0/$d"); while systemctl is-active --quiet "$unit"; do :; done; done`, below)
}
