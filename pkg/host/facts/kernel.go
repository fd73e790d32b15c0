package facts

import (
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/netlink"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func features(s *sys.System) api.KernelFeatures {
	return api.KernelFeatures{
		Overlay:     HasModule(s, "overlay"),
		NFTables:    HasModule(s, "nf_tables"),
		BrNetfilter: HasModule(s, "br_netfilter"),
		VXLAN:       HasModule(s, "vxlan"),
		Conntrack:   HasModule(s, "nf_conntrack"),
		IPv6:        sys.Exists(s.Path("/proc/net/if_inet6")),
		ModulesDir:  HasModulesDir(s),
	}
}

// HasModule says whether what a kernel module brings is there: loaded, built in, or seen to work. In a container the
// modules of the machine's kernel often cannot be listed, so what works is what counts.
func HasModule(s *sys.System, name string) bool {
	name = strings.ReplaceAll(name, "-", "_")
	if sys.Exists(s.Path("/sys/module", name)) || works(s, name) {
		return true
	}
	for line := range strings.Lines(read(s, "/proc/modules")) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == name {
			return true
		}
	}
	for line := range strings.Lines(read(s, modulesDir(s)+"/modules.builtin")) {
		line = strings.TrimSpace(line)
		base := strings.TrimSuffix(line[strings.LastIndex(line, "/")+1:], ".ko")
		if strings.ReplaceAll(base, "-", "_") == name {
			return true
		}
	}
	return false
}

// works tries the feature itself, where that leaves no trace.
func works(s *sys.System, name string) bool {
	switch name {
	case "overlay":
		for line := range strings.Lines(read(s, "/proc/filesystems")) {
			if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == "overlay" {
				return true
			}
		}
	case "br_netfilter":
		return sys.Exists(s.Path("/proc/sys/net/bridge/bridge-nf-call-iptables"))
	case "nf_conntrack":
		return sys.Exists(s.Path("/proc/sys/net/netfilter/nf_conntrack_max"))
	case "nf_tables":
		return s.Real() && netlink.NFTables()
	case "vxlan":
		return s.Real() && netlink.VXLAN()
	}
	return false
}

func modulesDir(s *sys.System) string {
	return "/lib/modules/" + readLine(s, "/proc/sys/kernel/osrelease")
}

// HasModulesDir says that modprobe has something to load from.
func HasModulesDir(s *sys.System) bool {
	return sys.Exists(s.Path(modulesDir(s), "modules.dep"))
}
