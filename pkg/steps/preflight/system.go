package preflight

import (
	"fmt"
	"slices"
	"strings"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// What a node's kernel must be built with and have enabled is what kubeadm's SystemVerification asks for (system-validators, types_unix.go).
// Some options have two names.
var (
	kernelOptions = []string{
		"NAMESPACES", "NET_NS", "PID_NS", "IPC_NS", "UTS_NS", "CGROUPS", "CPUSETS", "MEMCG", "INET", "EXT4_FS", "PROC_FS",
		"NETFILTER_XT_TARGET_REDIRECT|IP_NF_TARGET_REDIRECT", "NETFILTER_XT_MATCH_COMMENT", "FAIR_GROUP_SCHED", "CGROUP_PIDS", "CGROUP_SCHED",
	}
	kernelOptionsV1 = []string{"CGROUP_CPUACCT", "CGROUP_DEVICE", "CGROUP_FREEZER"}
	kernelOptionsV2 = []string{"CGROUP_BPF"}
	controllersV1   = []string{"cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"}
	controllersV2   = []string{"cpu", "cpuset", "devices", "freezer", "memory", "pids"}
)

// kernelConfig looks at what the kernel was built with, where the host keeps that.
func kernelConfig(j *judge) {
	if j.facts.KernelConfig == nil {
		return
	}
	wanted := append(slices.Clone(kernelOptions), kernelOptionsV1...)
	if j.facts.Cgroup == "v2" {
		wanted = append(slices.Clone(kernelOptions), kernelOptionsV2...)
	}
	var missing []string
	for _, names := range wanted {
		if !slices.ContainsFunc(strings.Split(names, "|"), func(name string) bool {
			value := j.facts.KernelConfig[name]
			return value == "y" || value == "m"
		}) {
			missing = append(missing, "CONFIG_"+strings.ReplaceAll(names, "|", " or CONFIG_"))
		}
	}
	if len(missing) > 0 {
		j.object("KernelConfig", fmt.Sprintf("the kernel %s was built without %s; boot one that has it", j.facts.Kernel, strings.Join(missing, ", ")))
	}
}

// cgroupControllers looks at what kubelet needs to limit what pods use. Some boards boot without the memory controller.
func cgroupControllers(j *judge) {
	if j.facts.CgroupControllers == nil {
		return
	}
	wanted := controllersV1
	if j.facts.Cgroup == "v2" {
		wanted = controllersV2
	}
	var missing []string
	for _, name := range wanted {
		if !slices.Contains(j.facts.CgroupControllers, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		j.object("CgroupControllers", fmt.Sprintf("the cgroup controllers %s are off, without which kubelet cannot limit pods; boot the kernel with them (for memory: cgroup_enable=memory)", strings.Join(missing, ", ")))
	}
}

// hostPrograms are what kubelet and kubeadm run of the host's own (kubeadm, preflight/checks_linux.go, addExecChecks).
var hostPrograms = []string{"cp", "losetup", "mount"}

func programs(j *judge) {
	var missing []string
	for _, name := range hostPrograms {
		if !slices.ContainsFunc(j.facts.Programs, func(p hostapi.Program) bool { return p.Name == name && p.Path != "" }) {
			missing = append(missing, name)
		}
	}
	if len(missing) == len(hostPrograms) {
		return // the helper is of an earlier release and looked for none of them: every host has cp
	}
	if len(missing) > 0 {
		j.object("Programs", fmt.Sprintf("the host lacks %s, which kubelet and kubeadm run; install it (util-linux, coreutils)", strings.Join(missing, ", ")))
	}
}
