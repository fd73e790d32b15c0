package reset

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/netlink"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// What a node's own programs make at run time cannot be in the ledger one by one. It is ours when the program that makes
// it is: kubelet (pods, their mounts and cgroups), containerd (shims and mounts), and what kube-proxy, flannel and the
// bridge plugin put into the network for them.
const (
	kubeletUnit    = "kubelet.service"
	containerdUnit = "containerd.service"
	shimName       = "containerd-shim-runc-v2"
	kubeletDir     = "/var/lib/kubelet"
	containerdDir  = "/var/lib/containerd"
	containerdRun  = "/run/containerd"
	// podTasksDir holds the root file systems of the containers of pods while they run.
	podTasksDir = containerdRun + "/io.containerd.runtime.v2.task/" + podNamespace
	// podNamespace is where kubelet's containers are; other namespaces of containerd are other people's.
	podNamespace = "k8s.io"
	netnsDir     = "/run/netns"
	// podSlice holds all pods where kubelet leaves their cgroups to systemd.
	podSlice = "kubepods.slice"
	// bridgeName is what the CNI configuration calls the bridge of the pods.
	bridgeName = "cni0"
)

// nodeLinks are interfaces by their fixed names: the bridge of the CNI configuration, flannel's VXLAN.
func nodeLinks() []string { return []string{bridgeName, "flannel.1", "flannel-v6.1", "kube-ipvs0"} }

type table struct {
	family uint8
	name   string
}

// nodeTables are the nftables tables of kube-proxy (nftables mode) and flannel.
func nodeTables() []table {
	return []table{
		{netlink.FamilyIP, "kube-proxy"}, {netlink.FamilyIP6, "kube-proxy"},
		{netlink.FamilyIP, "flannel-ipv4"}, {netlink.FamilyIP6, "flannel-ipv6"},
	}
}

// cniTables are those that CNI plugins make for every network on the host together.
func cniTables() []table {
	return []table{{netlink.FamilyInet, "cni_plugins_masquerade"}, {netlink.FamilyIP, "cni_hostport"}, {netlink.FamilyIP6, "cni_hostport"}}
}

// stopNode stops our units, kubelet first so that it starts no pod anew, then the pods, then containerd.
func (r *Resetter) stopNode(ctx context.Context, entries []ledger.Entry) {
	units := ofType(entries, ledger.TypeUnit)
	ours := func(name string) bool {
		return slices.ContainsFunc(units, func(e ledger.Entry) bool { return e.Name == name })
	}
	slices.SortStableFunc(units, func(a, b ledger.Entry) int { return rank(a.Name) - rank(b.Name) })
	mounts := slices.DeleteFunc(slices.Clone(units), func(e ledger.Entry) bool { return !strings.HasSuffix(e.Name, ".mount") })
	for _, e := range units {
		if strings.HasSuffix(e.Name, ".mount") {
			continue
		}
		if e.Name == containerdUnit {
			r.killPods(ctx, e)
			if r.keepRuntime(e) {
				continue
			}
		}
		r.stopUnit(ctx, e)
	}
	if ours(containerdUnit) {
		e := ledger.Entry{Type: ledger.TypeUnit, Name: containerdUnit}
		// A shim may have been starting when its pods were killed.
		r.killPods(ctx, e)
		if r.runtimeStays {
			r.unmount(e, podTasksDir)
		} else {
			r.unmount(e, containerdRun, containerdDir)
			r.runtimeLeftover(e, containerdRun)
		}
	}
	if ours(kubeletUnit) {
		e := ledger.Entry{Type: ledger.TypeUnit, Name: kubeletUnit}
		r.killPods(ctx, e)
		r.unmountPods(e)
		r.deleteNetns(e)
		r.network(e)
		r.runtimeLeftover(e, "/run/flannel")
		r.cgroups(ctx, e)
	}
	for _, e := range mounts {
		r.unbind(ctx, e)
	}
}

// unbind takes away the mount that puts data of a node at its well-known place, once nobody uses it any more.
func (r *Resetter) unbind(ctx context.Context, e ledger.Entry) {
	if r.runtimeStays && e.Name == api.MountUnit(containerdDir) {
		r.failed[entryKey(e)] = true
		return
	}
	for _, place := range []string{"/var/lib/etcd", containerdDir, kubeletDir} {
		if mounts, err := r.Sys.Mounts(); err == nil && e.Name == api.MountUnit(place) && e.Created && mounts.Point(place) {
			r.do(e, "unmount", place, func() error { return r.Kernel.Unmount(place) })
		}
	}
	r.stopUnit(ctx, e)
}

func rank(unit string) int {
	switch unit {
	case kubeletUnit:
		return 0
	case containerdUnit:
		return 2
	}
	return 1
}

// killPods ends the shims of pods that run from a binary of ours, with all that they started, and what is in the cgroups of our
// kubelet: containers go on when their shim and containerd have been killed.
func (r *Resetter) killPods(ctx context.Context, e ledger.Entry) {
	pids := r.podProcesses()
	if r.Ledger.Has(ledger.TypeUnit, kubeletUnit) {
		for _, pid := range r.cgroupProcesses() {
			if !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	if len(pids) == 0 {
		return
	}
	r.do(e, "kill", strconv.Itoa(len(pids))+" processes of pods", func() error { return r.Kernel.Kill(ctx, pids) })
}

func (r *Resetter) podProcesses() []int {
	dirs, err := os.ReadDir(r.Sys.Path("/proc"))
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	var found []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if parent, ok := r.parent(pid); ok {
			children[parent] = append(children[parent], pid)
		}
		if r.isShim(d.Name()) {
			if namespace, _ := r.container(d.Name()); namespace == podNamespace {
				found = append(found, pid)
			}
		}
	}
	for i := 0; i < len(found); i++ {
		for _, c := range children[found[i]] {
			if !slices.Contains(found, c) {
				found = append(found, c)
			}
		}
	}
	// Children first: a shim that sees its container end would only write about it.
	slices.Reverse(found)
	return found
}

// parent reads the fourth field of /proc/<pid>/stat; the second, in parentheses, may hold anything.
func (r *Resetter) parent(pid int) (int, bool) {
	data, err := os.ReadFile(r.Sys.Path("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(f[1])
	return parent, err == nil
}

func alive(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	// A zombie is dead; its parent is being killed, too.
	return len(f) > 0 && f[0] != "Z" && f[0] != "X"
}

// deleteNetns removes the names of network namespaces that containerd made for pods.
func (r *Resetter) deleteNetns(e ledger.Entry) {
	names, err := filepath.Glob(r.Sys.Path(netnsDir, "cni-*"))
	if err != nil {
		return
	}
	for _, p := range names {
		name := filepath.Base(p)
		r.detach(e, netnsDir, func(m sys.Mount) bool { return filepath.Base(m.At) == name })
		r.do(e, "delete", filepath.Join(netnsDir, name), func() error { return ignoreMissing(os.Remove(p)) })
	}
}

func (r *Resetter) network(e ledger.Entry) {
	for _, name := range append(r.podLinks(), nodeLinks()...) {
		if r.Kernel.HasLink(name) {
			r.do(e, "delete network interface", name, func() error {
				_, err := r.Kernel.DeleteLink(name)
				return err
			})
		}
	}
	r.chains(e)
	tables := nodeTables()
	if !r.runtimeStays {
		tables = append(tables, cniTables()...)
	}
	for _, t := range tables {
		if r.Kernel.HasTable(t.family, t.name) {
			r.do(e, "delete nftables table", t.name, func() error {
				_, err := r.Kernel.DeleteTable(t.family, t.name)
				return err
			})
		}
	}
}

// podLinks are the host's ends of the pods' interfaces, which are ports of our bridge. The kernel removes them with the pods' network
// namespaces, but some time after those are gone.
func (r *Resetter) podLinks() []string {
	ports, err := filepath.Glob(r.Sys.Path("/sys/class/net", bridgeName, "brif/*"))
	if err != nil {
		return nil
	}
	for i, p := range ports {
		ports[i] = filepath.Base(p)
	}
	return ports
}

func (r *Resetter) runtimeLeftover(e ledger.Entry, dir string) {
	if sys.Exists(r.Sys.Path(dir)) {
		r.do(e, "delete", dir, func() error { return r.Sys.RemoveTree(dir) })
	}
}

// cgroups removes the empty groups kubelet leaves, which would otherwise count as a kubelet's traces. Where systemd manages them for
// kubelet they are slices, and systemd has to be told.
func (r *Resetter) cgroups(ctx context.Context, e ledger.Entry) {
	if len(r.groups(podSlice)) > 0 {
		r.do(e, "stop", podSlice, func() error { return r.systemctl(ctx, "stop", "--", podSlice) })
	}
	for _, g := range r.groups("kubepods") {
		r.do(e, "delete", strings.TrimPrefix(g, r.Sys.Path("/sys")), func() error {
			// Only empty groups can be removed, so nothing that still runs is harmed; the deepest come first.
			var dirs []string
			err := filepath.WalkDir(g, func(p string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, p)
				}
				return ctx.Err()
			})
			slices.Reverse(dirs)
			for _, d := range dirs {
				if rmErr := os.Remove(d); err == nil {
					err = ignoreMissing(rmErr)
				}
			}
			return err
		})
	}
}

// cgroupProcesses are those in the cgroups that kubelet makes for pods.
func (r *Resetter) cgroupProcesses() []int {
	var pids []int
	for _, g := range slices.Concat(r.groups("kubepods"), r.groups(podSlice)) {
		_ = filepath.WalkDir(g, func(p string, d os.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				// A group that has gone meanwhile has no processes.
				return nil //nolint:nilerr // see above
			}
			data, err := os.ReadFile(p)
			for field := range strings.FieldsSeq(string(data)) {
				if pid, convErr := strconv.Atoi(field); err == nil && convErr == nil && pid > 1 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// groups are the cgroups of a name at the top of the only hierarchy, or of each.
func (r *Resetter) groups(name string) []string {
	groups, err := filepath.Glob(r.Sys.Path("/sys/fs/cgroup/*", name))
	if err != nil {
		return nil
	}
	if own := r.Sys.Path("/sys/fs/cgroup", name); sys.Exists(own) {
		groups = append(groups, own)
	}
	return groups
}

// images removes images we pulled into a containerd that is not ours; ours loses its whole store.
func (r *Resetter) images(ctx context.Context, entries []ledger.Entry) {
	if r.Ledger.Owns(containerdDir) {
		return
	}
	for _, e := range ofType(entries, ledger.TypeImage) {
		if !e.Created || !sys.Exists(r.Sys.Path(containerdRun, "containerd.sock")) {
			continue
		}
		r.do(e, "delete image", e.Name, func() error {
			_, err := r.Sys.Runner.Run(ctx, "ctr", "--namespace", "k8s.io", "--connect-timeout", "5s", "images", "rm", e.Name)
			return err
		})
	}
}
