// Package kubelet says what kubelet consists of on a host: programs, units, its serving certificate. Starting it is kubeadm's part.
package kubelet

import (
	"crypto/sha256"
	"encoding/hex"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// unit restarts fast: kubelet exits until kubeadm has written its configuration.
const unit = `[Unit]
Description=kubelet: the Kubernetes node agent (installed by Kubewright)
After=network-online.target containerd.service
Wants=network-online.target

[Service]
ExecStart=` + layout.BinDir + `/kubelet
Restart=always
StartLimitInterval=0
RestartSec=2

[Install]
WantedBy=multi-user.target
`

// dropIn passes kubelet the files that kubeadm writes; the names are kubeadm's.
const dropIn = `[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=` + layout.BinDir + `/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`

// Resources lists the programs, CNI plugins and unit files. The serving certificate is signed by the cluster's authority, so that
// clients such as metrics-server need not trust kubelets blindly; one that is already there stays.
func Resources(files []bundle.File, serving pki.KeyPair) []hostapi.Resource {
	resources := []hostapi.Resource{
		{ID: "dir/kubelet", Dir: &hostapi.Dir{Path: layout.KubeletDir, Purge: true}},
		{ID: "dir/kubernetes", Dir: &hostapi.Dir{Path: layout.KubernetesDir, Purge: true}},
		// Kubelet watches this directory from its start on. If it appears later, kubelet only notices by looking every 20 seconds.
		{ID: "dir/manifests", Dir: &hostapi.Dir{Path: layout.ManifestDir, Purge: true}},
	}
	for _, f := range files {
		if f.Kind == bundle.FileCNIPlugin || isProgram(f.Name) {
			resources = append(resources, layout.Place(f))
		}
	}
	key := layout.Secret(layout.KubeletServingKey, serving.Key)
	key.File.Keep = true
	cert := layout.Text(layout.KubeletServingCert, serving.Cert)
	cert.File.Keep = true
	return append(resources, key, cert,
		layout.Text(layout.UnitDir+"/kubelet.service", []byte(unit)),
		layout.Text(layout.UnitDir+"/kubelet.service.d/10-kubeadm.conf", []byte(dropIn)),
	)
}

// Prepared is kubelet's unit before joining, which starts it.
func Prepared() hostapi.Resource {
	return hostapi.Resource{ID: "unit/kubelet", Unit: &hostapi.Unit{Name: "kubelet.service", Enabled: true, LeaveRunning: true}}
}

// Running is kubelet's unit once the host has joined. It is restarted when the program, its units or its configuration (named by key)
// are others than it was started with; what joining has started is taken for what stands here.
func Running(files []bundle.File, key string) hostapi.Resource {
	inputs := sha256.New()
	for _, f := range files {
		if f.Name == "kubelet" {
			inputs.Write([]byte(f.Digest))
		}
	}
	inputs.Write([]byte(unit + dropIn + key))
	return hostapi.Resource{ID: "unit/kubelet", Unit: &hostapi.Unit{
		Name: "kubelet.service", Enabled: true, Active: true, Adopt: true, Inputs: hex.EncodeToString(inputs.Sum(nil)),
	}}
}

func isProgram(name string) bool {
	switch name {
	case "kubeadm", "kubelet", "kubectl", "etcdctl", "etcdutl":
		return true
	}
	return false
}
