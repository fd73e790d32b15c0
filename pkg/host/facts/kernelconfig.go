package facts

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

// maxKernelConfig bounds what is read of a kernel's configuration; that of a distribution's kernel is a quarter of a MiB.
const maxKernelConfig = 4 << 20

// kernelOptions returns the options that nodes may need (kubeadm's system-validators, types_unix.go).
func kernelOptions() []string {
	return []string{
		"NAMESPACES", "NET_NS", "PID_NS", "IPC_NS", "UTS_NS", "CGROUPS", "CPUSETS", "MEMCG", "INET", "EXT4_FS", "PROC_FS", "FAIR_GROUP_SCHED",
		"NETFILTER_XT_TARGET_REDIRECT", "IP_NF_TARGET_REDIRECT", "NETFILTER_XT_MATCH_COMMENT",
		"CGROUP_CPUACCT", "CGROUP_DEVICE", "CGROUP_FREEZER", "CGROUP_PIDS", "CGROUP_SCHED", "CGROUP_BPF",
	}
}

// kernelConfig reads what the running kernel was built with, from the places where distributions keep it; nil when there is none.
func kernelConfig(s *sys.System) map[string]string {
	release := readLine(s, "/proc/sys/kernel/osrelease")
	for _, path := range []string{
		"/proc/config.gz", "/boot/config-" + release, "/usr/lib/modules/" + release + "/config", "/lib/modules/" + release + "/config",
		"/usr/lib/ostree-boot/config-" + release, "/usr/lib/kernel/config-" + release, "/lib/modules/" + release + "/build/.config",
	} {
		if found := readKernelConfig(s.Path(path), strings.HasSuffix(path, ".gz")); found != nil {
			return found
		}
	}
	return nil
}

func readKernelConfig(path string, zipped bool) map[string]string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var text io.Reader = f
	if zipped {
		if text, err = gzip.NewReader(f); err != nil {
			return nil
		}
	}
	found, any := map[string]string{}, false
	for _, name := range kernelOptions() {
		found[name] = "n"
	}
	lines := bufio.NewScanner(io.LimitReader(text, maxKernelConfig))
	for lines.Scan() {
		name, value, set := strings.Cut(strings.TrimPrefix(lines.Text(), "CONFIG_"), "=")
		any = any || set
		if set && found[name] != "" {
			found[name] = value
		}
	}
	if lines.Err() != nil || !any {
		return nil
	}
	return found
}

// controllers lists the cgroup controllers that are enabled. What version 2 does without a controller counts as there, as for kubeadm.
func controllers(s *sys.System, version string) []string {
	if version == "v2" {
		enabled := strings.Fields(readLine(s, "/sys/fs/cgroup/cgroup.controllers"))
		if len(enabled) == 0 {
			return nil
		}
		return append(enabled, "devices", "freezer")
	}
	var enabled []string
	for line := range strings.Lines(read(s, "/proc/cgroups")) {
		// name hierarchy cgroups enabled
		if f := strings.Fields(line); len(f) >= 4 && f[3] == "1" {
			enabled = append(enabled, f[0])
		}
	}
	slices.Sort(enabled)
	return enabled
}
