//go:build e2e

package helper

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
)

const (
	kubeletTree    = "/var/lib/kubelet"
	etcdTree       = "/var/lib/etcd"
	containerdTree = "/var/lib/containerd"
	kubernetesTree = "/etc/kubernetes"
	// foreign is somebody's data; every reset leaves all of it.
	foreign = "/srv/foreign"
	// linked makes a path of the host a link to a directory on a disk, as an administrator with a small root does.
	linked = `link() { umount "$1" 2>/dev/null; rm -rf "$1"; mkdir -p "$(dirname "$1")" "/data$1"; ln -s "/data$1" "$1"; }; `
)

// tree is what is set up at a path: a directory of ours with a file in it.
func tree(path string) []api.Resource {
	return []api.Resource{
		{ID: "dir", Dir: &api.Dir{Path: path, Purge: true}},
		{ID: "file", File: &api.File{Path: path + "/ours/file", Content: []byte("ours")}},
	}
}

// runtime is units of the names that a node's have, so that the mounts below their directories are theirs.
func runtime() []api.Resource {
	const unit = "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
	var rs []api.Resource
	for _, name := range []string{"containerd.service", "kubelet.service"} {
		rs = append(rs, api.Resource{ID: name + "-file", File: &api.File{Path: "/etc/systemd/system/" + name, Content: []byte(unit)}},
			api.Resource{ID: name, Unit: &api.Unit{Name: name, Enabled: true, Active: true, Inputs: "1"}})
	}
	return rs
}

// TestAResetRemovesNothingBehindLinksAndMountsOfOthers is one line a hostile or merely ordinary layout of disks. Whatever it says, the
// foreign data is all there afterwards.
func TestAResetRemovesNothingBehindLinksAndMountsOfOthers(t *testing.T) {
	m := dial(t)
	c := m.changing(t, "op")
	for _, line := range []struct {
		name string
		// before makes the host what it is, resources are set up on it, then later happens to it.
		before    string
		resources []api.Resource
		later     string
		// says is what the first reset cannot do, "" when it ends clean; mended makes the next one end clean.
		says, mended string
		// left is a test(1) expression for what has to be there in the end.
		left string
	}{
		{
			name:   "the kubelet's directory is a link, and a foreign directory is bind-mounted as a pod's volume",
			before: linked + "link " + kubeletTree, resources: tree(kubeletTree),
			later: "mkdir -p /data/var/lib/kubelet/pods/x/volumes/v && mount --bind " + foreign + " /data/var/lib/kubelet/pods/x/volumes/v",
			left:  "-L " + kubeletTree + " -a -d /data/var/lib/kubelet -a ! -e /data/var/lib/kubelet/pods -a ! -e /data/var/lib/kubelet/ours",
		},
		{
			name:   "containerd's directory is a link, and a foreign directory is bind-mounted below it",
			before: linked + "link " + containerdTree, resources: tree(containerdTree),
			later: "mkdir -p /data/var/lib/containerd/tmpmounts/x && mount --bind " + foreign + " /data/var/lib/containerd/tmpmounts/x",
			left:  "-L " + containerdTree + " -a -d /data/var/lib/containerd -a ! -e /data/var/lib/containerd/tmpmounts",
		},
		{
			name:      "the kubelet's directory is itself a mount point, and a mount was made by the other path to it",
			before:    "umount " + kubeletTree + "; mkdir -p /disk/kubelet && mount --bind /disk/kubelet " + kubeletTree + " && mount --make-private " + kubeletTree,
			resources: tree(kubeletTree),
			later:     "mkdir -p /disk/kubelet/pods/x/volumes/v && mount --bind " + foreign + " /disk/kubelet/pods/x/volumes/v",
			left:      "-d /disk/kubelet -a ! -e /disk/kubelet/pods -a ! -e /disk/kubelet/ours",
		},
		{
			name:   "etcd's directory is a link, and a foreign directory is bind-mounted below it",
			before: linked + "link " + etcdTree, resources: tree(etcdTree),
			later: "mkdir /data/var/lib/etcd/x && mount --bind " + foreign + " /data/var/lib/etcd/x",
			says:  "/data/var/lib/etcd/x is still mounted", mended: "umount /data/var/lib/etcd/x",
			left: "-L " + etcdTree + " -a -d /data/var/lib/etcd -a ! -e /data/var/lib/etcd/ours",
		},
		{
			name:      "a foreign file is bind-mounted over a file below etcd's directory",
			resources: tree(etcdTree),
			later:     "mount --bind " + foreign + "/precious " + etcdTree + "/ours/file",
			says:      etcdTree + "/ours/file is still mounted", mended: "umount " + etcdTree + "/ours/file",
			left: "-d " + etcdTree + " -a ! -e " + etcdTree + "/ours",
		},
		{
			name:   "kubeadm's directory is a link, and a link in it leads to foreign data",
			before: linked + "link " + kubernetesTree, resources: tree(kubernetesTree),
			later: "ln -s " + foreign + " " + kubernetesTree + "/theirs",
			left:  "-L " + kubernetesTree + " -a -d /data/etc/kubernetes -a ! -e /data/etc/kubernetes/theirs -a ! -e /data/etc/kubernetes/ours",
		},
		{
			name:      "the directory of CNI plugins is a link to one with a plugin of somebody else",
			before:    linked + "link /opt/cni; mkdir /data/opt/cni/bin; echo theirs > /data/opt/cni/bin/other",
			resources: []api.Resource{{ID: "bridge", File: &api.File{Path: "/opt/cni/bin/bridge", Content: []byte("ours")}}},
			left:      "-L /opt/cni -a -s /data/opt/cni/bin/other -a ! -e /data/opt/cni/bin/bridge",
		},
		{
			name:      "a foreign directory with files of the same names was mounted over ours",
			resources: []api.Resource{{ID: "file", File: &api.File{Path: "/opt/ours/precious", Content: []byte("ours")}}},
			later:     "mount --bind " + foreign + " /opt/ours",
			says:      "/opt/ours/precious lies behind what was mounted at /opt/ours", mended: "umount /opt/ours",
			left: "! -e /opt/ours",
		},
		{
			name:      "a foreign directory was mounted over a directory that we made",
			resources: tree("/opt/tree"),
			later:     "mount --bind " + foreign + " /opt/tree",
			says:      "/opt/tree lies behind what was mounted at /opt/tree", mended: "umount /opt/tree",
			left: "! -e /opt/tree",
		},
		{
			name:      "a directory that we made was replaced by a link to foreign data",
			resources: tree("/opt/tree"),
			later:     "rm -r /opt/tree && ln -s " + foreign + " /opt/tree",
			says:      "/opt/tree leads to " + foreign + " now", mended: "rm /opt/tree",
			left: "! -e /opt/tree",
		},
		{
			name:      "an administrator moved the pods to another disk that others use as well",
			resources: tree(kubeletTree),
			later: "mkdir -p /disk/pods/x/volumes/v /disk/pods/theirs && ln -s /disk/pods " + kubeletTree + "/pods && mount -t tmpfs none /disk/pods/x/volumes/v && " +
				"mount --bind " + foreign + " /disk/pods/theirs",
			left: "-s /disk/pods/theirs/precious -a ! -e " + kubeletTree + "/pods",
		},
		{
			name:      "/etc/fstab mounts a disk below the kubelet's directory",
			resources: tree(kubeletTree),
			later:     "mkdir " + kubeletTree + "/disk && echo '" + foreign + " " + kubeletTree + "/disk none bind 0 0' > /etc/fstab && mount " + kubeletTree + "/disk",
			says:      kubeletTree + "/disk is still mounted", mended: "umount " + kubeletTree + "/disk; rm /etc/fstab",
			left: "! -e " + kubeletTree + "/disk",
		},
		{
			name:   "a foreign directory is mounted where blobs are staged",
			before: "mkdir -p /var/lib/kubewright/blobs/x && mount --bind " + foreign + " /var/lib/kubewright/blobs/x", resources: tree(etcdTree),
			says: "/var/lib/kubewright/blobs/x is still mounted", mended: "umount /var/lib/kubewright/blobs/x",
			left: "! -e /var/lib/kubewright/blobs",
		},
		{
			name:      "a network namespace of somebody else",
			resources: tree(kubeletTree),
			later:     "ip netns add theirs && touch /run/netns/cni-ours && mount --bind /proc/self/ns/net /run/netns/cni-ours",
			left:      "-e /run/netns/theirs -a ! -e /run/netns/cni-ours",
		},
	} {
		t.Run(line.name, func(t *testing.T) {
			m.run(t, nil, "mkdir -p "+foreign+"/ours "+foreign+"/member && echo x | tee "+foreign+"/precious "+foreign+"/ours/file "+foreign+"/member/snap > /dev/null")
			before := m.run(t, nil, "cd "+foreign+" && find . -type f | sort | xargs sha256sum")
			if line.before != "" {
				m.run(t, nil, line.before)
			}
			t.Cleanup(func() {
				m.run(t, nil, "cd /; for at in $(awk '{print $5}' /proc/self/mountinfo | grep -E '^/(disk|data|opt|srv|var/lib/(kubelet|etcd|containerd))(/|$)' | sort -r); do umount $at; done; rm -rf /disk /data /opt/cni; "+
					"for d in kubelet etcd containerd; do rm -rf /var/lib/$d 2>/dev/null; mkdir -p /var/lib/$d; done; [ ! -L "+kubernetesTree+" ] || rm "+kubernetesTree)
			})
			if _, err := c.Apply(t.Context(), request(append(runtime(), line.resources...)...), nil); err != nil {
				t.Fatal(err)
			}
			if line.later != "" {
				m.run(t, nil, line.later)
			}
			report, err := c.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, i := range report.Items {
				if i.Error != "" {
					said = append(said, i.Error)
				}
			}
			if after := m.run(t, nil, "cd "+foreign+" && find . -type f | sort | xargs sha256sum"); after != before {
				t.Fatalf("foreign data was removed:\n%s\nwas\n%s\nthe reset: %+v", after, before, report)
			}
			if (line.says == "") != (len(said) == 0) || !strings.Contains(strings.Join(said, "\n"), line.says) {
				t.Errorf("the reset says %q", said)
			}
			if line.mended != "" {
				m.run(t, nil, line.mended)
				if report, err = c.Reset(t.Context(), api.ResetRequest{Owner: owner}, nil); err != nil || report.Errors != 0 {
					t.Errorf("when it is mended: %+v, %v", report, err)
				}
			}
			m.run(t, nil, "[ "+line.left+" ] && [ ! -e /var/lib/kubewright/ledger.json ]")
			if after := m.run(t, nil, "cd "+foreign+" && find . -type f | sort | xargs sha256sum"); after != before {
				t.Errorf("foreign data was removed in the end:\n%s\nwas\n%s", after, before)
			}
		})
	}
}
