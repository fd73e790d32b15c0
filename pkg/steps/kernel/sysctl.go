package kernel

import (
	"path"
	"slices"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// ConfPath holds our kernel parameters. Of all files the last one wins, in the order of their names whichever directory they are in
// (sysctl.d(5)), so the name sorts after those that people choose.
const ConfPath = "/etc/sysctl.d/zzz-kubewright.conf"

// sysctlConf is read by `sysctl --system` after the files of all directories. Debian 11 and 12 link to it from /etc/sysctl.d, too.
const sysctlConf = "/etc/sysctl.conf"

// parameters are what nodes need. Limits are only raised, and only where the helper says what they are.
func parameters(facts *hostapi.Facts) []hostapi.Sysctl {
	all := []hostapi.Sysctl{
		// The kernel keeps one switch for all interfaces under two names, and one for interfaces to come, such as those of pods.
		{Key: "net.ipv4.ip_forward", Value: "1"},
		{Key: "net.ipv4.conf.all.forwarding", Value: "1"},
		{Key: "net.ipv4.conf.default.forwarding", Value: "1"},
	}
	if bridges(facts) {
		all = append(all, hostapi.Sysctl{Key: "net.bridge.bridge-nf-call-iptables", Value: "1"})
	}
	// The kernel's default of 128 instances is used up by kubelet, the container runtime and a few pods that watch files, since all of
	// them run as the same user.
	for _, limit := range []hostapi.Sysctl{
		{Key: "fs.inotify.max_user_instances", Value: "8192", AtLeast: true},
		{Key: "fs.inotify.max_user_watches", Value: "524288", AtLeast: true},
	} {
		if f := facts.Sysctl(limit.Key); f != nil && f.Value != "" {
			all = append(all, limit)
		}
	}
	return all
}

// lasting says that our file has to raise a limit at each boot: it does so already, or the host's limit is lower, and no other file
// raises it. A line in our file would otherwise lower what the kernel or another file gives.
func lasting(facts *hostapi.Facts, limit hostapi.Sysctl) bool {
	f := facts.Sysctl(limit.Key)
	ours := slices.ContainsFunc(f.Settings, func(s hostapi.SysctlSetting) bool { return s.File == ConfPath })
	others := slices.DeleteFunc(slices.Clone(f.Settings), func(s hostapi.SysctlSetting) bool { return s.File == ConfPath })
	if len(others) > 0 && limit.SatisfiedBy(others[len(others)-1].Value) {
		return false
	}
	return ours || !limit.SatisfiedBy(f.Value)
}

// Overruled is a line of somebody's file that wins over ours whenever the files are read.
type Overruled struct {
	Want    hostapi.Sysctl
	Setting hostapi.SysctlSetting
}

// OverruledBy lists the lines that are read after our file and give a kernel parameter another value than nodes need.
func OverruledBy(facts *hostapi.Facts) []Overruled {
	var all []Overruled
	for _, want := range parameters(facts) {
		f := facts.Sysctl(want.Key)
		if f == nil || len(f.Settings) == 0 {
			continue
		}
		last := f.Settings[len(f.Settings)-1]
		if (last.File == sysctlConf || path.Base(last.File) > path.Base(ConfPath)) && !want.SatisfiedBy(last.Value) {
			all = append(all, Overruled{Want: want, Setting: last})
		}
	}
	return all
}
