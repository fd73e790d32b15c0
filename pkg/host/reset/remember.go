package reset

import (
	"os"
	"path"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/resource"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// nodeTrees are directories that kubelet and containerd make by themselves, with all that is in them.
func nodeTrees() []string {
	return []string{"/var/log/pods", "/var/log/containers", "/usr/libexec/kubernetes", "/run/nri"}
}

// nodeDirs and nodeFiles are made for the pods of kube-proxy and flannel, which mount them from the host; containerd makes the
// directory of network namespaces. Others use them as well, so a directory goes only when nothing is left in it.
func nodeDirs() []string  { return []string{"/lib/modules", netnsDir} }
func nodeFiles() []string { return []string{"/run/xtables.lock"} }

// nodeSysctls are the kernel parameters that kubelet (the first six) and kube-proxy set by themselves.
func nodeSysctls() []string {
	return []string{
		"vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops", "kernel.keys.root_maxkeys", "kernel.keys.root_maxbytes",
		"net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_tcp_timeout_established",
		"net.netfilter.nf_conntrack_tcp_timeout_close_wait", "net.netfilter.nf_conntrack_tcp_be_liberal",
		"net.netfilter.nf_conntrack_udp_timeout", "net.netfilter.nf_conntrack_udp_timeout_stream",
		"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.route_localnet",
	}
}

// Remember records, before a node's programs run, which of the things that they make by themselves are not there yet, and the
// values of what they change: only then does Reset know what is theirs to take away. What was recorded before stays as it is, so
// this may be called before every change.
func Remember(s *sys.System, l *ledger.Ledger) error {
	var entries []ledger.Entry
	missing := func(t ledger.Type, paths []string) {
		for _, p := range paths {
			if !sys.Exists(s.Path(p)) {
				entries = append(entries, ledger.Entry{Type: t, Name: p, Created: true})
			}
		}
	}
	missing(ledger.TypeTree, nodeTrees())
	missing(ledger.TypeDir, nodeDirs())
	missing(ledger.TypeFile, nodeFiles())
	for _, key := range nodeSysctls() {
		value, err := os.ReadFile(s.Path(resource.SysctlPath(key)))
		if err != nil {
			// The kernel lacks it, or gets it with a module later.
			continue
		}
		entries = append(entries, ledger.Entry{Type: ledger.TypeSysctl, Name: key, Previous: strings.Join(strings.Fields(string(value)), " ")})
	}
	return l.Record(entries...)
}

// helperPrefix starts the names of helpers in the directory that is theirs alone.
const helperPrefix = "kubewright-host-"

// helpers removes the helpers that were placed on the host, this one too: it runs on without its file.
func (r *Resetter) helpers() {
	if r.Helper == "" || !strings.HasPrefix(path.Base(r.Helper), helperPrefix) {
		return
	}
	dir := path.Dir(r.Helper)
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), helperPrefix) {
			p := path.Join(dir, f.Name())
			r.do(ledger.Entry{}, "delete", p, func() error { return ignoreMissing(os.Remove(p)) })
		}
	}
	if r.dryRun || sys.EmptyDir(dir) {
		r.do(ledger.Entry{}, "delete", dir, func() error { return ignoreMissing(os.Remove(dir)) })
	}
}
