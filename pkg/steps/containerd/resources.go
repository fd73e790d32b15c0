package containerd

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/kubewright/kubewright/pkg/bundle"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// unit follows containerd's own unit file: the container processes outlive a restart of the daemon (KillMode=process), and the
// daemon manages the cgroups below its own (Delegate).
const unit = `[Unit]
Description=containerd container runtime (installed by Kubewright)
After=network.target dbus.service

[Service]
Type=notify
ExecStart=` + layout.BinDir + `/containerd
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

// programs are those of the bundle this package installs.
func isProgram(name string) bool {
	switch name {
	case "containerd", "containerd-shim-runc-v2", "ctr", "runc":
		return true
	}
	return false
}

// Resources lists programs, configuration and the running unit.
func Resources(files []bundle.File, config []byte) []hostapi.Resource {
	var resources []hostapi.Resource
	inputs := sha256.New()
	for _, f := range files {
		if f.Kind == bundle.FileBinary && isProgram(f.Name) {
			resources = append(resources, layout.Place(f))
			inputs.Write([]byte(f.Digest))
		}
	}
	inputs.Write(config)
	inputs.Write([]byte(unit))
	// What containerd and CNI plugins make by themselves is taken over beforehand, so that a reset knows it for ours.
	for _, dir := range []string{layout.ContainerdDir, "/opt/containerd", layout.CNIConfDir, "/var/lib/cni", "/run/flannel"} {
		resources = append(resources, hostapi.Resource{ID: "dir" + dir, Dir: &hostapi.Dir{Path: dir, Purge: true}})
	}
	return append(resources,
		layout.Text("/etc/containerd/config.toml", config),
		layout.Text(layout.UnitDir+"/containerd.service", []byte(unit)),
		hostapi.Resource{ID: "unit/containerd", Unit: &hostapi.Unit{
			Name: "containerd.service", Enabled: true, Active: true, Inputs: hex.EncodeToString(inputs.Sum(nil)),
		}},
	)
}
