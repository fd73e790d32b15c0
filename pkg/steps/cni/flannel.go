// Package cni renders the pod network: what stands on hosts, and what is applied to the cluster.
package cni

import (
	"encoding/json"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// flannelConf makes the flannel plugin delegate to bridge with the subnet flanneld was given, and forwards the hostPorts of pods.
const flannelConf = `{
  "name": "cbr0",
  "cniVersion": "0.3.1",
  "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}},
    {"type": "` + portmapName + `", "backend": "nftables", "snat": true, "capabilities": {"portMappings": true}}
  ]
}
`

const portmapName = "kubewright-portmap"

// nftDir holds nft under its own name, for the one program that looks for it there.
const nftDir = "/opt/kubewright/nft"

// nft starts the bundle's nft with its own loader and libraries, so that nothing of the host's distribution matters.
func nft() string { return "#!/bin/sh\nexec " + layout.Tool("nft") + " \"$@\"\n" }

// portmap starts the portmap plugin, which finds nft on its PATH alone (sigs.k8s.io/knftables). It stands between containerd and the
// plugin so that containerd, whose PATH it inherits, need not be restarted on nodes that run already.
const portmap = `#!/bin/sh
PATH=` + nftDir + `:$PATH exec ` + layout.CNIBinDir + `/portmap
`

// ConfPath is where flannelConf stands on a host: a node that has it takes pods.
const ConfPath = layout.CNIConfDir + "/10-flannel.conflist"

// subnetWait bounds the wait for flanneld, whose image is on the host already.
const subnetWait = 300

// HostResources lists the CNI configuration of a host, and before it what it names: without nft no pod would start any more. The configuration is put down only once flanneld has told the host its subnet: a node that is
// Ready before is given pods whose network cannot be set up, and kubelet takes its time to try again.
func HostResources() []hostapi.Resource {
	return []hostapi.Resource{
		{ID: "probe/flannel-subnet", Probe: &hostapi.Probe{Path: "/run/flannel/subnet.env", TimeoutSeconds: subnetWait}},
		program(nftDir+"/nft", nft()),
		program(layout.CNIBinDir+"/"+portmapName, portmap),
		layout.Text(ConfPath, []byte(flannelConf)),
	}
}

func program(path, text string) hostapi.Resource {
	r := layout.Text(path, []byte(text))
	r.File.Mode = 0o755
	return r
}

// SetFlannel writes the pod range, the backend and the API endpoint of nodes into flannel's ConfigMap among objects: the pod network
// must not wait for kube-proxy's Service rules. It fails when the ConfigMap is missing, which means that the bundle's manifest is not
// the one this program knows.
func SetFlannel(objects []*unstructured.Unstructured, network v1alpha1.Network, endpoint desired.Endpoint) error {
	conf, err := json.Marshal(map[string]any{
		"Network":        network.PodCIDR,
		"EnableNFTables": true,
		"Backend":        map[string]any{"Type": network.CNI.FlannelBackend},
	})
	if err != nil {
		return fmt.Errorf("render flannel's net-conf.json: %w", err)
	}
	for _, o := range objects {
		if o.GetKind() != "ConfigMap" || o.GetName() != "kube-flannel-cfg" {
			continue
		}
		for key, value := range map[string]string{
			"net-conf.json": string(conf), "apiserver-host": endpoint.Host, "apiserver-port": strconv.Itoa(endpoint.Port),
		} {
			if err := unstructured.SetNestedField(o.Object, value, "data", key); err != nil {
				return fmt.Errorf("set %s of ConfigMap kube-flannel-cfg: %w", key, err)
			}
		}
		return nil
	}
	return fmt.Errorf("the bundle's flannel manifest holds no ConfigMap kube-flannel-cfg: use a bundle built by this version")
}
