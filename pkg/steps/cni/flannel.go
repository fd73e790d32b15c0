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

// SetFlannel writes the pod range and backend into flannel's ConfigMap among objects, and the API endpoint of nodes into its
// DaemonSet: the pod network must not wait for kube-proxy's Service rules. It fails when either is missing, which means that the
// bundle's manifest is not the one this program knows.
func SetFlannel(objects []*unstructured.Unstructured, network v1alpha1.Network, endpoint desired.Endpoint) error {
	if err := setNetwork(objects, network); err != nil {
		return err
	}
	daemonSet, err := find(objects, "DaemonSet", "kube-flannel-ds")
	if err != nil {
		return err
	}
	containers, _, err := unstructured.NestedSlice(daemonSet.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) == 0 {
		return fmt.Errorf("the bundle's flannel DaemonSet has no containers: use a bundle built by this version (%w)", err)
	}
	container, ok := containers[0].(map[string]any)
	if !ok {
		return fmt.Errorf("the bundle's flannel DaemonSet is malformed: use a bundle built by this version")
	}
	env, _ := container["env"].([]any)
	container["env"] = append(env,
		map[string]any{"name": "KUBERNETES_SERVICE_HOST", "value": endpoint.Host},
		map[string]any{"name": "KUBERNETES_SERVICE_PORT", "value": strconv.Itoa(endpoint.Port)},
	)
	return unstructured.SetNestedSlice(daemonSet.Object, containers, "spec", "template", "spec", "containers")
}

func setNetwork(objects []*unstructured.Unstructured, network v1alpha1.Network) error {
	conf, err := json.Marshal(map[string]any{
		"Network":        network.PodCIDR,
		"EnableNFTables": true,
		"Backend":        map[string]any{"Type": network.CNI.FlannelBackend},
	})
	if err != nil {
		return fmt.Errorf("render flannel's net-conf.json: %w", err)
	}
	config, err := find(objects, "ConfigMap", "kube-flannel-cfg")
	if err != nil {
		return err
	}
	return unstructured.SetNestedField(config.Object, string(conf), "data", "net-conf.json")
}

func find(objects []*unstructured.Unstructured, kind, name string) (*unstructured.Unstructured, error) {
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			return o, nil
		}
	}
	return nil, fmt.Errorf("the bundle's flannel manifest holds no %s %s: use a bundle built by this version", kind, name)
}
