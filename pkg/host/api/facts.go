package api

import (
	"slices"
	"time"
)

// Facts is what a host is and what is already on it. Gathering them changes nothing.
type Facts struct {
	Hostname  string    `json:"hostname"`
	MachineID string    `json:"machineID"`
	BootID    string    `json:"bootID"`
	OS        OSRelease `json:"os"`
	// Kernel is the release (uname -r); Platform is like "linux/amd64".
	Kernel   string `json:"kernel"`
	Platform string `json:"platform"`
	CPUs     int    `json:"cpus"`
	// MemoryBytes is the total memory.
	MemoryBytes int64  `json:"memoryBytes"`
	SwapBytes   int64  `json:"swapBytes"`
	Disks       []Disk `json:"disks"`
	// Cgroup is "v1", "v2" or "hybrid".
	Cgroup string `json:"cgroup"`
	// CgroupControllers are those that are enabled, by the kernel's names; nil when that cannot be found out.
	CgroupControllers []string `json:"cgroupControllers,omitempty"`
	// KernelConfig is what the kernel was built with, of the options a node may need, without CONFIG_: "y", "m", or "n" for those left out. It
	// is nil when the host does not keep its kernel's configuration.
	KernelConfig   map[string]string `json:"kernelConfig,omitempty"`
	SystemdVersion int               `json:"systemdVersion"`
	UID            int               `json:"uid"`
	Interfaces     []Interface       `json:"interfaces"`
	// DefaultRoute4 and 6 name the interface of the default route, "" when there is none.
	DefaultRoute4 string `json:"defaultRoute4,omitempty"`
	DefaultRoute6 string `json:"defaultRoute6,omitempty"`
	// Routes are the other routes of IPv4 in the main table.
	Routes    []Route     `json:"routes,omitempty"`
	Listening []Listening `json:"listening"`
	// Nameservers are those of /etc/resolv.conf; ResolvConfMissing says that the file is not there, or is a link that leads nowhere.
	Nameservers       []string `json:"nameservers"`
	ResolvConfMissing bool     `json:"resolvConfMissing,omitempty"`
	// Resolved says that systemd-resolved runs; ResolvedNameservers are those it asks itself, of /run/systemd/resolve/resolv.conf.
	Resolved            bool     `json:"resolved,omitempty"`
	ResolvedNameservers []string `json:"resolvedNameservers,omitempty"`
	// UnixNanos is the host's clock when it gathered the facts.
	UnixNanos int64 `json:"unixNanos"`
	// ClockSkew is the host's clock minus the controller's when the answer arrived; set by the client. The way back makes
	// it appear slower by the latency of the network.
	ClockSkew time.Duration `json:"clockSkew"`
	// EndpointProblem is why the host cannot resolve the name that its cluster's API is reached by; set by who has asked it.
	EndpointProblem string `json:"-"`
	// Programs are container runtimes and Kubernetes programs found on the host.
	Programs []Program `json:"programs,omitempty"`
	// Paths are those of the well-known traces of a Kubernetes node that exist. Directories count only when not empty.
	Paths []PathFact `json:"paths,omitempty"`
	// DataDirectories are the directories that our mount units bind to the well-known places of data, by place.
	DataDirectories map[string]string `json:"dataDirectories,omitempty"`
	// DataMounts are the well-known places of data at which something is mounted that is not ours.
	DataMounts []string `json:"dataMounts,omitempty"`
	// DanglingLinks are links that lead nowhere where a node's data and configuration belong.
	DanglingLinks []DanglingLink `json:"danglingLinks,omitempty"`
	// CAHash is kubeadm's pin of /etc/kubernetes/pki/ca.crt: "sha256:<hex>" of its SubjectPublicKeyInfo.
	CAHash string `json:"caHash,omitempty"`
	// Owner is from the ledger; nil when no cluster claimed the host.
	Owner *Owner     `json:"owner,omitempty"`
	Lease LeaseState `json:"lease"`
	// OwnedPaths are the files and directories the ledger says we made or changed.
	OwnedPaths []string `json:"ownedPaths,omitempty"`
	// Runs are the detached commands running now, by name.
	Runs []string `json:"runs,omitempty"`
	// Receipts are the detached commands that ended well and left a receipt, by name.
	Receipts []string `json:"receipts,omitempty"`
	// ReceiptKeys are the keys of the commands in Receipts, by name.
	ReceiptKeys map[string]string `json:"receiptKeys,omitempty"`
	Features    KernelFeatures    `json:"kernelFeatures"`
	// LegacyFirewall says that a table of the older iptables filters packets, whose rules are not in Firewall.
	LegacyFirewall bool `json:"legacyFirewall,omitempty"`
	// Firewall are the tables of nftables that may keep packets off.
	Firewall []FirewallTable `json:"firewall,omitempty"`
	// Sysctls are the kernel parameters of NodeSysctls; helpers of earlier releases name none.
	Sysctls []SysctlFact `json:"sysctls,omitempty"`
}

// NodeSysctls are the kernel parameters that a node depends on. The three of forwarding are one switch for the kernel, or come to the same.
func NodeSysctls() []string {
	return []string{
		"net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv4.conf.default.forwarding", "net.bridge.bridge-nf-call-iptables",
		"fs.inotify.max_user_instances", "fs.inotify.max_user_watches",
	}
}

// SysctlFact is a kernel parameter, and what the host's files make of it.
type SysctlFact struct {
	Key string `json:"key"`
	// Value it has now, "" when the kernel lacks it.
	Value string `json:"value,omitempty"`
	// Settings are the lines that set it at boot or by `sysctl --system`, in the order in which they are read. The last one wins.
	Settings []SysctlSetting `json:"settings,omitempty"`
}

// SysctlSetting is a line of a file that sets a kernel parameter.
type SysctlSetting struct {
	File  string `json:"file"`
	Line  int    `json:"line"`
	Value string `json:"value"`
}

// Sysctl returns what is known of a kernel parameter, nil for nothing.
func (f *Facts) Sysctl(key string) *SysctlFact {
	if i := slices.IndexFunc(f.Sysctls, func(s SysctlFact) bool { return s.Key == key }); i >= 0 {
		return &f.Sysctls[i]
	}
	return nil
}

// Has tells that one of the well-known traces exists.
func (f *Facts) Has(path string) bool {
	return slices.ContainsFunc(f.Paths, func(p PathFact) bool { return p.Path == path })
}

// OSRelease is from /etc/os-release.
type OSRelease struct {
	ID         string `json:"id"`
	VersionID  string `json:"versionID"`
	PrettyName string `json:"prettyName"`
}

// Disk is the file system that holds (or would hold) Path.
type Disk struct {
	Path string `json:"path"`
	// TotalBytes and FreeBytes (for unprivileged users) of the file system.
	TotalBytes int64 `json:"totalBytes"`
	FreeBytes  int64 `json:"freeBytes"`
	// Device tells file systems apart: two paths with the same Device share FreeBytes.
	Device uint64 `json:"device"`
	// ReadOnly says the file system is mounted read-only.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// Interface is a network interface that is not loopback.
type Interface struct {
	Name      string   `json:"name"`
	MTU       int      `json:"mtu"`
	Up        bool     `json:"up"`
	MAC       string   `json:"mac,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // CIDR form
}

// Route leads to a network.
type Route struct {
	// Network in CIDR form.
	Network   string `json:"network"`
	Interface string `json:"interface"`
	// Gateway is set when the network is reached over another host.
	Gateway bool `json:"gateway,omitempty"`
}

// Listening is a TCP socket that accepts connections.
type Listening struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
	// Process is the program's name, "" when it could not be found out.
	Process string `json:"process,omitempty"`
	PID     int    `json:"pid,omitempty"`
}

// Program is an executable that matters to a Kubernetes node.
type Program struct {
	Name string `json:"name"`
	// Path is where it lies, "" when it only runs.
	Path    string `json:"path,omitempty"`
	Running bool   `json:"running"`
	// Owned says that the ledger knows the path as ours.
	Owned bool `json:"owned,omitempty"`
}

// PathFact is a path that exists.
type PathFact struct {
	Path  string `json:"path"`
	Dir   bool   `json:"dir,omitempty"`
	Owned bool   `json:"owned,omitempty"`
}

// DanglingLink is a symbolic link to what is not there.
type DanglingLink struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// LeaseState is whether a session holds the lease now.
type LeaseState struct {
	Held      bool   `json:"held"`
	Holder    string `json:"holder,omitempty"`
	Operation string `json:"operation,omitempty"`
	// Token is the newest fencing token of the host.
	Token int64 `json:"token"`
}

// KernelFeatures are those a node needs, found functionally (a feature that is built in counts).
type KernelFeatures struct {
	Overlay     bool `json:"overlay"`
	NFTables    bool `json:"nfTables"`
	BrNetfilter bool `json:"brNetfilter"`
	VXLAN       bool `json:"vxlan"`
	Conntrack   bool `json:"conntrack"`
	IPv6        bool `json:"ipv6"`
	// ModulesDir says that /lib/modules/<release> is there, so that modprobe can work.
	ModulesDir bool `json:"modulesDir"`
}
