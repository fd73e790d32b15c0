// Package layout says where things stand on a host. It knows paths and nothing else.
package layout

import (
	"path"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
)

// Directories and files on a host. Those below /etc/kubernetes and /var/lib are kubeadm's defaults.
const (
	BinDir             = "/usr/local/bin"
	CNIBinDir          = "/opt/cni/bin"
	CNIConfDir         = "/etc/cni/net.d"
	ToolDir            = "/opt/kubewright/tools"
	UnitDir            = "/etc/systemd/system"
	KubernetesDir      = "/etc/kubernetes"
	ManifestDir        = "/etc/kubernetes/manifests"
	PKIDir             = "/etc/kubernetes/pki"
	EtcdDataDir        = desired.EtcdPlace
	EtcdMemberDir      = EtcdDataDir + "/member"
	KubeletDir         = desired.KubeletPlace
	ContainerdDir      = desired.ContainerdPlace
	ContainerdSocket   = "/run/containerd/containerd.sock"
	KubeletClientPEM   = KubeletDir + "/pki/kubelet-client-kubewright.pem"
	KubeletServingCert = KubeletDir + "/pki/kubewright-serving.crt"
	KubeletServingKey  = KubeletDir + "/pki/kubewright-serving.key"
)

// InstallPath is where a file of the bundle stands on a host, or "" when it does not go to hosts.
func InstallPath(f bundle.File) string {
	switch f.Kind {
	case bundle.FileBinary:
		return path.Join(BinDir, f.Name)
	case bundle.FileTool:
		return path.Join(ToolDir, f.Name)
	case bundle.FileCNIPlugin:
		return path.Join(CNIBinDir, f.Name)
	default:
		return ""
	}
}

// Tool is the command line prefix that starts a tool of the bundle through the loader that came with it, so that nothing of the host's
// distribution matters.
func Tool(name string) string {
	return ToolDir + "/ld.so --library-path " + ToolDir + " " + ToolDir + "/" + name
}

// controlPlaneOnly are programs that workers have no use for.
func controlPlaneOnly(name string) bool {
	return name == "kubectl" || name == "etcdctl" || name == "etcdutl"
}

// controlPlaneImage tells images that run on control planes only.
func controlPlaneImage(component string) bool {
	switch component {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd":
		return true
	}
	return false
}

// NodeImage tells images of what runs on a node before the network of its pods does: without them it cannot become one.
func NodeImage(component string) bool {
	switch component {
	case "pause", "kube-proxy", "flannel":
		return true
	}
	return controlPlaneImage(component)
}

// Files lists what of a release goes onto a host of a platform.
func Files(release *bundle.Release, platform string, controlPlane bool) []bundle.File {
	var files []bundle.File
	for _, f := range release.Files {
		if InstallPath(f) == "" || (f.Platform != "" && f.Platform != platform) || (controlPlaneOnly(f.Name) && !controlPlane) {
			continue
		}
		files = append(files, f)
	}
	return files
}

// Image is one image of a release for one platform.
type Image struct {
	Name, Component string
	bundle.ImagePlatform
}

// Images lists the images a host of a platform needs, those of the control plane first, since everything waits for them.
func Images(release *bundle.Release, platform string, controlPlane bool) []Image {
	var first, rest []Image
	for _, image := range release.Images {
		for _, p := range image.Platforms {
			if p.Platform != platform {
				continue
			}
			i := Image{Name: image.Name, Component: image.Component, ImagePlatform: p}
			switch {
			case !controlPlaneImage(image.Component):
				rest = append(rest, i)
			case controlPlane:
				first = append(first, i)
			}
		}
	}
	return append(first, rest...)
}
