package main

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/pkg/bundle"
)

const (
	binDir = "/usr/local/bin"
	cniDir = "/opt/cni/bin"
)

// runtimeFiles are what pulling images needs, so they go first.
func runtimeFiles(b *bundle.Bundle, release *bundle.Release, registry string, cgroupV1 bool) ([]item, error) {
	pause, err := release.Image("pause")
	if err != nil {
		return nil, err
	}
	items := []item{
		text("/etc/containerd/config.toml", containerdConfig(pause.Name, !cgroupV1)),
		text("/etc/containerd/certs.d/_default/hosts.toml", fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", registry, registry)),
		text("/etc/systemd/system/containerd.service", containerdUnit),
	}
	for _, f := range release.Files {
		if f.Kind == bundle.FileBinary && ofRuntime(f.Name) {
			items = append(items, program(b, f, binDir))
		}
	}
	return items, nil
}

// kubernetesFiles are all others. Tools that only Kubewright uses (its local proxy) are left out.
func kubernetesFiles(b *bundle.Bundle, release *bundle.Release, controlPlane bool) []item {
	items := []item{
		text("/etc/systemd/system/kubelet.service", kubeletUnit),
		text("/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", kubeletDropIn),
		text("/etc/cni/net.d/10-flannel.conflist", cniConf),
		text("/etc/sysctl.d/99-kubernetes.conf", "net.ipv4.ip_forward = 1\n"),
	}
	for _, f := range release.Files {
		switch {
		case f.Kind == bundle.FileCNIPlugin:
			items = append(items, program(b, f, cniDir))
		case f.Kind == bundle.FileBinary && !ofRuntime(f.Name) && (controlPlane || !ofControlPlane(f.Name)):
			items = append(items, program(b, f, binDir))
		case f.Kind == bundle.FileManifest && controlPlane:
			items = append(items, program(b, f, "/root/manifests"))
		}
	}
	return items
}

func ofRuntime(name string) bool {
	switch name {
	case "containerd", "containerd-shim-runc-v2", "ctr", "runc":
		return true
	}
	return false
}

func ofControlPlane(name string) bool {
	switch name {
	case "kubectl", "etcdctl", "etcdutl":
		return true
	}
	return false
}

// images are what a host needs, under the same rule as Kubewright's: those of the control plane only where it runs.
func images(release *bundle.Release, controlPlane bool) []string {
	var names []string
	for _, i := range release.Images {
		switch i.Component {
		case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd":
			if !controlPlane {
				continue
			}
		}
		names = append(names, i.Name)
	}
	return names
}

// pullScript pulls all images at once through the transfer service, which fetches and unpacks in parallel.
func pullScript(names []string) string {
	var lines strings.Builder
	lines.WriteString("pids=\n")
	for _, name := range names {
		fmt.Fprintf(&lines, "ctr -n k8s.io images pull --hosts-dir /etc/containerd/certs.d '%s' >/dev/null & pids=\"$pids $!\"\n", name)
	}
	lines.WriteString("for pid in $pids; do wait $pid; done\n")
	return lines.String()
}

// kernelScript loads modules, which containers cannot and need not when the machine has them, and gives hosts without a default route
// a way to Service addresses.
func kernelScript(address string) string {
	return fmt.Sprintf(`modprobe -qa overlay nf_conntrack nf_tables vxlan br_netfilter || true
sysctl -qw net.ipv4.ip_forward=1
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then sysctl -qw net.bridge.bridge-nf-call-iptables=1; fi
ip route replace %s dev eth0 src %s
`, serviceSubnet, address)
}

func containerdConfig(pause string, systemdCgroup bool) string {
	return fmt.Sprintf(`version = 3
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['%s']
conf_dir = '/etc/cni/net.d'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = '%s/runc'
SystemdCgroup = %t
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '%s'
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '/etc/containerd/certs.d'
[plugins.'io.containerd.transfer.v1.local']
max_concurrent_downloads = 4
max_concurrent_unpacks = 4
`, cniDir, binDir, systemdCgroup, pause)
}

const containerdUnit = `[Unit]
Description=containerd
After=network.target
[Service]
Type=notify
ExecStart=` + binDir + `/containerd
Delegate=yes
KillMode=process
Restart=always
RestartSec=2
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999
[Install]
WantedBy=multi-user.target
`

const kubeletUnit = `[Unit]
Description=kubelet
After=containerd.service
[Service]
ExecStart=` + binDir + `/kubelet
Restart=always
StartLimitInterval=0
RestartSec=2
[Install]
WantedBy=multi-user.target
`

const kubeletDropIn = `[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=` + binDir + `/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`

const cniConf = `{"name": "cbr0", "cniVersion": "0.3.1", "plugins": [
  {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}}
]}
`
