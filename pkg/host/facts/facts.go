// Package facts finds out what a host is and what is already on it. It only looks; it must not know what is good or bad
// about a fact.
package facts

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/lease"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Sources are where facts come from.
type Sources struct {
	Sys    *sys.System
	Ledger *ledger.Ledger
	Lease  *lease.Lease
	Runs   *detach.Manager
}

// Gather looks at the host, and at directories beside those that every node fills. What cannot be found out stays empty; only a lease that cannot be read is an error.
func (s Sources) Gather(ctx context.Context, directories ...string) (*api.Facts, error) {
	f := &api.Facts{
		Hostname:  hostname(s.Sys),
		MachineID: readLine(s.Sys, "/etc/machine-id"),
		BootID:    readLine(s.Sys, "/proc/sys/kernel/random/boot_id"),
		OS:        osRelease(s.Sys),
		Kernel:    readLine(s.Sys, "/proc/sys/kernel/osrelease"),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:      runtime.NumCPU(),
		UID:       os.Getuid(),
		Owner:     s.Ledger.Owner(),
		Runs:      s.Runs.RunningNames(),
		Features:  features(s.Sys),
		CAHash:    caHash(s.Sys),
	}
	f.Receipts, f.ReceiptKeys = detach.Receipts(s.Sys)
	f.MemoryBytes, f.SwapBytes = memory(s.Sys)
	f.Disks = disks(s.Sys, directories)
	f.Cgroup = cgroup(s.Sys)
	f.CgroupControllers = controllers(s.Sys, f.Cgroup)
	f.KernelConfig = kernelConfig(s.Sys)
	f.SystemdVersion = systemdVersion(ctx, s.Sys)
	f.Interfaces = interfaces()
	f.DefaultRoute4, f.DefaultRoute6 = defaultRoutes(s.Sys)
	f.Routes = routes(s.Sys)
	f.Firewall, f.LegacyFirewall = tables(s.Sys), legacyFilter(s.Sys)
	f.Sysctls = sysctls(s.Sys)
	f.Nameservers, f.ResolvConfMissing = nameservers(s.Sys, "/etc/resolv.conf"), missing(s.Sys, "/etc/resolv.conf")
	procs := processes(s.Sys)
	if f.Resolved = resolved(procs); f.Resolved {
		f.ResolvedNameservers = nameservers(s.Sys, "/run/systemd/resolve/resolv.conf")
	}
	f.Listening = listening(s.Sys, procs)
	f.Programs = programs(s.Sys, procs, s.Ledger)
	f.Paths = traces(s.Sys, s.Ledger, directories)
	f.DataDirectories, f.DataMounts = dataDirectories(s.Sys, s.Ledger)
	f.DanglingLinks = danglingLinks(s.Sys, directories)
	f.OwnedPaths = s.Ledger.OwnedPaths()
	var err error
	f.Lease, err = s.Lease.State()
	// Last, so that the clock is read close to the answer.
	f.UnixNanos = s.Sys.Now().UnixNano()
	return f, err
}

func read(s *sys.System, path string) string {
	data, err := os.ReadFile(s.Path(path))
	if err != nil {
		return ""
	}
	return string(data)
}

func readLine(s *sys.System, path string) string {
	line, _, _ := strings.Cut(read(s, path), "\n")
	return strings.TrimSpace(line)
}

func hostname(s *sys.System) string {
	if h := readLine(s, "/proc/sys/kernel/hostname"); h != "" {
		return h
	}
	return readLine(s, "/etc/hostname")
}

func osRelease(s *sys.System) api.OSRelease {
	text := read(s, "/etc/os-release")
	if text == "" {
		text = read(s, "/usr/lib/os-release")
	}
	var r api.OSRelease
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		if u, err := strconv.Unquote(v); err == nil {
			v = u
		}
		v = strings.Trim(v, "'")
		switch k {
		case "ID":
			r.ID = v
		case "VERSION_ID":
			r.VersionID = v
		case "PRETTY_NAME":
			r.PrettyName = v
		}
	}
	return r
}

// memory reads the total of memory and swap, in bytes.
func memory(s *sys.System) (total, swap int64) {
	for line := range strings.Lines(read(s, "/proc/meminfo")) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			total = n << 10
		case "SwapTotal:":
			swap = n << 10
		}
	}
	return total, swap
}

// cgroup tells the layout from the file systems mounted below /sys/fs/cgroup, as systemd defines the three layouts.
func cgroup(s *sys.System) string {
	if sys.Exists(s.Path("/sys/fs/cgroup/cgroup.controllers")) {
		return "v2"
	}
	if sys.Exists(s.Path("/sys/fs/cgroup/unified/cgroup.controllers")) || sys.Exists(s.Path("/sys/fs/cgroup/unified/cgroup.procs")) {
		return "hybrid"
	}
	if sys.Exists(s.Path("/sys/fs/cgroup/memory")) || sys.Exists(s.Path("/sys/fs/cgroup/cpu")) {
		return "v1"
	}
	return ""
}

// systemdVersion is 0 when systemd does not run the host.
func systemdVersion(ctx context.Context, s *sys.System) int {
	if !sys.Exists(s.Path("/run/systemd/system")) {
		return 0
	}
	out, err := s.Runner.Run(ctx, "systemctl", "--version")
	if err != nil || out.ExitCode != 0 {
		return 0
	}
	// "systemd 252 (252.39-1~deb12u1)"
	f := strings.Fields(out.Stdout)
	if len(f) < 2 {
		return 0
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return n
}
