// Package cni renders the pod network: what stands on hosts, and what is applied to the cluster.
package cni

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/api/v1alpha1"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// flannelConf makes the flannel plugin delegate to bridge with the subnet flanneld was given.
const flannelConf = `{
  "name": "cbr0",
  "cniVersion": "1.0.0",
  "plugins": [
    {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}}
  ]
}
`

// HostResources lists the CNI configuration of a host.
func HostResources() []hostapi.Resource {
	return []hostapi.Resource{layout.Text(layout.CNIConfDir+"/10-flannel.conflist", []byte(flannelConf))}
}

// SetFlannelNetwork writes the pod range and backend into the flannel ConfigMap among objects. It fails when there is none, which
// means that the bundle's manifest is not the one this program knows.
func SetFlannelNetwork(objects []*unstructured.Unstructured, network v1alpha1.Network) error {
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
		if err := unstructured.SetNestedField(o.Object, string(conf), "data", "net-conf.json"); err != nil {
			return fmt.Errorf("set net-conf.json of ConfigMap kube-flannel-cfg: %w", err)
		}
		return nil
	}
	return fmt.Errorf("the bundle's flannel manifest holds no ConfigMap kube-flannel-cfg: use a bundle built by this version")
}
