package facts

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

type process struct {
	pid     int
	name    string
	exe     string
	sockets []string // inodes
}

// processes reads /proc once. Processes that cannot be looked into have no sockets.
func processes(s *sys.System) []process {
	entries, err := os.ReadDir(s.Path("/proc"))
	if err != nil {
		return nil
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := s.Path("/proc", e.Name())
		p := process{pid: pid, name: readLine(s, "/proc/"+e.Name()+"/comm")}
		if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
			p.exe = strings.TrimSuffix(exe, " (deleted)")
		}
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err == nil {
			for _, fd := range fds {
				target, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
				if err != nil {
					continue
				}
				if inode, ok := strings.CutPrefix(target, "socket:["); ok {
					p.sockets = append(p.sockets, strings.TrimSuffix(inode, "]"))
				}
			}
		}
		all = append(all, p)
	}
	return all
}

// resolved reports whether systemd-resolved runs. The kernel keeps the first 15 characters of a program's name.
func resolved(procs []process) bool {
	return slices.ContainsFunc(procs, func(p process) bool { return p.name == "systemd-resolve" })
}

// nodePrograms are the programs whose presence tells what a host is used for.
func nodePrograms() []string {
	return []string{
		"kubelet", "kubeadm", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd",
		"containerd", "containerd-shim-runc-v2", "ctr", "runc", "dockerd", "crio", "podman", "cri-dockerd", "k3s", "rke2", "k0s",
		"microk8s", "flanneld", "calico-node", "cilium-agent", "haproxy", "keepalived", "nft", "iptables",
		"losetup", "mount", "cp",
	}
}

func programs(s *sys.System, procs []process, l *ledger.Ledger) []api.Program {
	running := map[string]bool{}
	for _, p := range procs {
		running[filepath.Base(p.exe)] = true
		running[p.name] = true
	}
	var all []api.Program
	for _, name := range nodePrograms() {
		p := api.Program{Name: name, Running: running[name] || (len(name) > 15 && running[name[:15]])}
		for dir := range strings.SplitSeq(sys.SearchPath, ":") {
			if at := dir + "/" + name; sys.Executable(s.Path(at)) {
				p.Path, p.Owned = at, l.Owns(at)
				break
			}
		}
		if p.Path != "" || p.Running {
			all = append(all, p)
		}
	}
	return all
}

// traces looks for what a Kubernetes node leaves behind, and for anything in more.
func traces(s *sys.System, l *ledger.Ledger, more []string) []api.PathFact {
	var found []string
	for _, pattern := range []string{
		"/etc/kubernetes/*.conf", "/etc/kubernetes/manifests/*", "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key",
		"/etc/kubernetes/pki/etcd/ca.crt", "/etc/cni/net.d/*", "/usr/local/bin/kube*", "/usr/bin/kube*", "/opt/cni/bin/*",
		"/etc/systemd/system/kubelet.service", "/usr/lib/systemd/system/kubelet.service", "/etc/containerd/config.toml",
		"/etc/systemd/system/kubelet.service.d/*.conf", "/run/systemd/system/kubelet.service.d/*.conf", "/usr/local/lib/systemd/system/kubelet.service.d/*.conf",
		"/usr/lib/systemd/system/kubelet.service.d/*.conf", "/etc/systemd/system/containerd.service.d/*.conf", "/run/systemd/system/containerd.service.d/*.conf",
		"/usr/local/lib/systemd/system/containerd.service.d/*.conf", "/usr/lib/systemd/system/containerd.service.d/*.conf",
	} {
		matches, err := filepath.Glob(s.Path(pattern))
		if err != nil {
			continue
		}
		for _, m := range matches {
			found = append(found, "/"+strings.TrimPrefix(strings.TrimPrefix(m, s.Path("/")), "/"))
		}
	}
	// kubelet's unit reads this file (kubeadm's convention); distributions ship it with nothing in it.
	if setsVariable(read(s, kubeletDefaults)) {
		found = append(found, kubeletDefaults)
	}
	places := []string{"/var/lib/etcd", "/var/lib/etcd/member", "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/var/lib/rancher", "/var/lib/k0s"}
	for _, dir := range append(places, more...) {
		if entries, err := os.ReadDir(s.Path(dir)); err == nil && len(entries) > 0 && !sys.EmptyDir(s.Path(dir)) {
			found = append(found, dir)
		}
	}
	slices.Sort(found)
	var all []api.PathFact
	for _, p := range slices.Compact(found) {
		fi, err := os.Stat(s.Path(p))
		all = append(all, api.PathFact{Path: p, Dir: err == nil && fi.IsDir(), Owned: l.Owns(p)})
	}
	return all
}

// kubeletDefaults is where Debian's way of installing keeps flags of kubelet.
const kubeletDefaults = "/etc/default/kubelet"

// setsVariable reports whether a file of variables gives one of them a value.
func setsVariable(text string) bool {
	for line := range strings.Lines(text) {
		name, value, assigned := strings.Cut(strings.TrimSpace(line), "=")
		if assigned && !strings.HasPrefix(name, "#") && !strings.HasPrefix(name, ";") && strings.Trim(value, `"' `) != "" {
			return true
		}
	}
	return false
}
