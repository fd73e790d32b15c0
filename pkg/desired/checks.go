package desired

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// check is a check of a host that has a name, for ignorePreflightErrors.
type check struct {
	name string
	// kubeadm are the names under which kubeadm looks at the same.
	kubeadm []string
}

// ownChecks are those that Kubewright does itself, by facts, before anything is placed on a host. A name that ends with a dash stands for
// all that begin with it.
var ownChecks = []check{
	{name: "HostOwnedByOtherCluster"}, {name: "HostInOtherCluster"}, {name: "AuthorityUnreadable"}, {name: "ClusterDataLost"},
	{name: "Leftovers", kubeadm: []string{"DirAvailable-", "FileAvailable-"}},
	{name: "Port-"},
	{name: "PlatformNotInBundle"}, {name: "Systemd"},
	{name: "NotRoot", kubeadm: []string{"IsPrivilegedUser"}},
	{name: "AddressNotOnHost"},
	{name: "CgroupV1"}, {name: "KubeletOverride"},
	{name: "CgroupControllers", kubeadm: []string{"SystemVerification"}},
	{name: "KernelConfig", kubeadm: []string{"SystemVerification"}},
	{name: "KernelFeatures"}, {name: "KernelParameters"},
	{name: "Swap"},
	{name: "Memory", kubeadm: []string{"Mem"}},
	{name: "CPUs", kubeadm: []string{"NumCPU"}},
	{name: "Programs", kubeadm: []string{"FileExisting-"}},
	{name: "Disk"}, {name: "DiskReadOnly"}, {name: "DataDirectoryMounted"}, {name: "DanglingLink"},
	{name: "LoopbackNameserver"}, {name: "Nameservers"}, {name: "EndpointName"}, {name: "NetworkOverlap"},
	{name: "Firewall", kubeadm: []string{"Firewalld"}},
	{name: "Clock"}, {name: "MachineIDUnique"},
}

// kubeadmChecks are those that kubeadm alone does (cmd/kubeadm/app/preflight and phases/upgrade): they depend on what Kubewright has placed
// by then.
var kubeadmChecks = []string{
	"CRI", "ContainerRuntimeVersion", "Hostname", "HTTPProxy", "HTTPProxyCIDR", "KubernetesVersion", "KubeletVersion", "ImagePull",
	"ExternalEtcdVersion", "ExternalEtcdClientCertificates", "Service-", "FileContent-", "CreateJob", "ControlPlaneNodesReady", "StaticPodManifest",
	"CoreDNSUnsupportedPlugins", "CoreDNSMigration",
}

// allChecks is kubeadm's word for every check.
const allChecks = "all"

// is tells a name of a check, as kubeadm does: capital letters do not matter.
func is(pattern, name string) bool {
	if strings.HasSuffix(pattern, "-") {
		return len(name) > len(pattern) && strings.EqualFold(name[:len(pattern)], pattern)
	}
	return strings.EqualFold(pattern, name)
}

// IsOwnCheck reports whether Kubewright has a check of this name.
func IsOwnCheck(name string) bool {
	return slices.ContainsFunc(ownChecks, func(c check) bool { return is(c.name, name) })
}

// checksNamed says which of Kubewright's checks a name means, and whether it is known at all: kubeadm's names are taken too.
func checksNamed(name string) (own []string, known bool) {
	for _, c := range ownChecks {
		switch {
		case strings.EqualFold(name, allChecks):
			own = append(own, c.name)
		case is(c.name, name) && strings.HasSuffix(c.name, "-"):
			own = append(own, c.name+name[len(c.name):])
		case is(c.name, name), slices.ContainsFunc(c.kubeadm, func(k string) bool { return is(k, name) }):
			own = append(own, c.name)
		}
	}
	return own, len(own) > 0 || slices.ContainsFunc(kubeadmChecks, func(k string) bool { return is(k, name) })
}

// KubeadmChecks are those of the checks to ignore that only kubeadm does.
func (h Host) KubeadmChecks() []string {
	var names []string
	for _, name := range h.IgnorePreflightErrors {
		if own, _ := checksNamed(name); len(own) == 0 || strings.EqualFold(name, allChecks) {
			names = append(names, name)
		}
	}
	return names
}

// Ignores reports whether one of Kubewright's checks is among those to ignore, under whichever of its names.
func (h Host) Ignores(check string) bool {
	return slices.ContainsFunc(h.IgnorePreflightErrors, func(name string) bool {
		own, _ := checksNamed(name)
		return slices.ContainsFunc(own, func(o string) bool { return is(o, check) })
	})
}

// checkIgnored refuses names of checks that nobody does: what they were meant to accept would stop an operation later.
func checkIgnored(spec v1alpha1.ClusterSpec) error {
	fields := map[string][]string{
		"spec.overrides":              spec.Overrides.IgnorePreflightErrors,
		"spec.controlPlane.overrides": spec.ControlPlane.Overrides.IgnorePreflightErrors,
	}
	order := []string{"spec.overrides", "spec.controlPlane.overrides"}
	for p, pool := range spec.Workers {
		field := fmt.Sprintf("spec.workers[%d].overrides", p)
		fields[field], order = pool.Overrides.IgnorePreflightErrors, append(order, field)
	}
	for _, field := range order {
		for i, name := range fields[field] {
			if _, known := checksNamed(name); !known {
				return &SpecError{fmt.Sprintf("%s.ignorePreflightErrors[%d]", field, i),
					fmt.Sprintf("%q is the name of no check: copy it from the operation's problems. Kubewright's checks are %s; kubeadm's names are taken as well", name, strings.Join(CheckNames(), ", "))}
			}
		}
	}
	return nil
}

// CheckNames lists Kubewright's checks for people; N stands for a number.
func CheckNames() []string {
	names := make([]string, 0, len(ownChecks))
	for _, c := range ownChecks {
		if name := c.name; strings.HasSuffix(name, "-") {
			names = append(names, name+"N")
		} else {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
