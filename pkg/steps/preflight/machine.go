package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Minimums are kubeadm's (constants.ControlPlaneMem is 1700 MiB, ControlPlaneNumCPU is 2).
const (
	controlPlaneMemory = 1700 << 20
	controlPlaneCPUs   = 2
)

// maxClockSkew is well below the ten minutes that certificates are backdated.
const maxClockSkew = 2 * time.Minute

// workSpace is what a node needs for logs, containers and etcd on top of the content itself.
const workSpace = 2 << 30

func platform(j *judge) {
	if !slices.Contains(j.cluster.Release.Platforms, j.facts.Platform) {
		j.refuse("PlatformNotInBundle", fmt.Sprintf("the host is %s, the bundle holds %s %s only; build or choose a bundle with that platform",
			j.facts.Platform, j.cluster.Version, strings.Join(j.cluster.Release.Platforms, ", ")))
	}
}

// systemd runs what is detached, containerd and kubelet; there is no other way.
func systemd(j *judge) {
	if j.facts.SystemdVersion == 0 {
		j.refuse("Systemd", "systemd does not run the host, or cannot be asked; hosts need it to run kubelet and the container runtime")
	}
}

func rootRights(j *judge) {
	if j.facts.UID != 0 {
		j.refuse("NotRoot", fmt.Sprintf("the helper runs as uid %d; log in as root or set spec.sudo of the Host", j.facts.UID))
	}
}

func address(j *judge) {
	for _, i := range j.facts.Interfaces {
		for _, a := range i.Addresses {
			if prefix, err := netip.ParsePrefix(a); err == nil && prefix.Addr().String() == j.host.Address {
				return
			}
		}
	}
	j.object("AddressNotOnHost", fmt.Sprintf("no interface of the host has the address %s; set spec.internalAddress of the Host to the address the node shall use", j.host.Address))
}

// cgroupV1Refused is the first version, pre-releases included, of which kubelet's failCgroupV1 is true unless it is set.
const cgroupV1Refused = "v1.35.0-alpha.0"

// cgroups: kubelet refuses cgroup v1 when failCgroupV1 is true.
func cgroups(j *judge) {
	if j.facts.Cgroup == "v2" {
		return
	}
	kubelet, err := kubeadm.EffectiveKubelet(j.cluster, j.host)
	if err != nil {
		j.refuse("KubeletOverride", err.Error())
		return
	}
	refuses, set := kubelet["failCgroupV1"].(bool)
	if !set {
		at, err := version.ParseSemantic(j.host.KubeletVersion)
		// A version that cannot be read is taken for a new one.
		refuses = err != nil || at.AtLeast(version.MustParseSemantic(cgroupV1Refused))
	}
	if refuses {
		j.refuse("CgroupV1", fmt.Sprintf("the host runs cgroup %s, which kubelet %s refuses; boot it with cgroup v2, or set failCgroupV1: false in overrides.kubelet",
			j.facts.Cgroup, j.host.KubeletVersion))
	}
}

func swap(j *judge) {
	if j.facts.SwapBytes == 0 {
		return
	}
	kubelet, err := kubeadm.EffectiveKubelet(j.cluster, j.host)
	if err != nil {
		return
	}
	if accepted, ok := kubelet["failSwapOn"].(bool); ok && !accepted {
		return
	}
	j.object("Swap", "swap is on, which kubelet refuses; turn it off (swapoff -a and /etc/fstab), or set failSwapOn: false in overrides.kubelet")
}

func memory(j *judge) {
	if j.host.IsControlPlane() && j.facts.MemoryBytes < controlPlaneMemory {
		j.object("Memory", fmt.Sprintf("the host has %d MiB of memory, a control plane needs %d MiB", j.facts.MemoryBytes>>20, controlPlaneMemory>>20))
	}
}

func cpus(j *judge) {
	if j.host.IsControlPlane() && j.facts.CPUs < controlPlaneCPUs {
		j.object("CPUs", fmt.Sprintf("the host has %d CPU, a control plane needs %d", j.facts.CPUs, controlPlaneCPUs))
	}
}

func kernelFeatures(j *judge) {
	f := j.facts.Features
	var missing []string
	for _, need := range []struct {
		name    string
		present bool
	}{
		{"overlay", f.Overlay}, {"nf_tables", f.NFTables}, {"nf_conntrack", f.Conntrack},
		{"vxlan", f.VXLAN || j.cluster.Network.CNI.Type != v1alpha1.FlannelCNI || j.cluster.Network.CNI.FlannelBackend != "vxlan"},
	} {
		if !need.present && !f.ModulesDir {
			missing = append(missing, need.name)
		}
	}
	if len(missing) > 0 {
		j.object("KernelFeatures", fmt.Sprintf("the kernel %s lacks %s and has no modules to load", j.facts.Kernel, strings.Join(missing, ", ")))
	}
}

// dataMounts refuses to put data from another directory where somebody has mounted a disk for it: systemd would take that for the mount it
// is asked for.
func dataMounts(j *judge) {
	for _, d := range j.host.DataDirectories {
		if slices.Contains(j.facts.DataMounts, d.Place) {
			j.refuse("DataDirectoryMounted", fmt.Sprintf("something is mounted at %s already, so %s cannot appear there: leave dataDirectories.%s out to use what is mounted, or unmount it", d.Place, d.Path, d.Field))
		}
	}
}

// danglingLinks refuses what no directory can be made through. A disk that is not mounted is often the reason, and data that belongs there
// must not begin anew elsewhere.
func danglingLinks(j *judge) {
	for _, l := range j.facts.DanglingLinks {
		j.refuse("DanglingLink", fmt.Sprintf("%s is a link to %s, which is not there: mount what holds that directory, make it, or remove the link", l.Path, l.Target))
	}
}

// disk sums up what has to fit. Content is staged first, then unpacked into images and programs: nearly twice its size for a while.
func disk(j *judge) {
	if j.ours() {
		return
	}
	var content int64
	seen := map[string]bool{}
	add := func(digest string, size int64) {
		if !seen[digest] {
			seen[digest] = true
			content += size
		}
	}
	for _, f := range layout.Files(j.cluster.Release, j.facts.Platform, j.host.IsControlPlane()) {
		add(f.Digest.String(), f.Size)
	}
	for _, i := range layout.Images(j.cluster.Release, j.facts.Platform, j.host.IsControlPlane()) {
		for _, l := range i.Layers {
			add(l.Digest.String(), l.Size)
		}
	}
	need := content*2 + workSpace
	for _, d := range j.facts.Disks {
		if d.ReadOnly {
			j.refuse("DiskReadOnly", fmt.Sprintf("%s is on a file system mounted read-only", d.Path))
		}
	}
	images := layout.ContainerdDir
	for _, d := range j.host.DataDirectories {
		if d.Place == layout.ContainerdDir {
			images = d.Path
		}
	}
	for _, path := range []string{images, "/var/lib/kubewright", "/var/lib"} {
		for _, d := range j.facts.Disks {
			if d.Path == path && d.FreeBytes < need {
				j.object("Disk", fmt.Sprintf("%s has %d MiB free, %d MiB are needed; free some space", path, d.FreeBytes>>20, need>>20))
				return
			}
		}
	}
}

func clock(j *judge) {
	if skew := j.facts.ClockSkew.Abs(); skew > maxClockSkew {
		j.object("Clock", fmt.Sprintf("the host's clock is %s off; synchronise time on all hosts", skew.Round(time.Second)))
	}
}

// Format lists problems for people, host by host.
func Format(problems []Problem) string {
	lines := make([]string, 0, len(problems))
	for _, p := range problems {
		lines = append(lines, p.Check+": "+p.Message)
	}
	sort.Strings(lines)
	return strings.Join(lines, "; ")
}
