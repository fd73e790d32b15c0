package desired

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// unsupported is a setting that an override cannot change, and what to use instead.
type unsupported struct {
	// path of the setting, dots between fields.
	path, instead string
}

// What cannot be overridden is known to more than the program that reads it: other parts of a node, of the plan or of a reset go by it.
var (
	unsupportedContainerd = []unsupported{
		{"root", "use dataDirectories.containerd of the cluster, the control plane, the pool or the Host"},
		{"state", "it is always /run/containerd: remove it"},
		{"version", "the configuration is always of version 3: remove it"},
		{"grpc.address", "kubelet is told the bundle's socket, /run/containerd/containerd.sock: remove it"},
	}
	unsupportedKubelet = []unsupported{
		{"staticPodPath", "kubeadm writes static pods into /etc/kubernetes/manifests: remove it"},
		{"containerRuntimeEndpoint", "it is always that of the bundle's containerd: remove it"},
	}
	unsupportedKubeadm = []unsupported{
		{"etcd.local.dataDir", "use controlPlane.dataDirectories.etcd, or dataDirectories.etcd of a Host"},
		{"kubernetesVersion", "use spec.version"},
		{"clusterName", "it is always the name of the Cluster: remove it"},
		{"controlPlaneEndpoint", "use spec.controlPlane.endpoint"},
		{"networking.podSubnet", "use spec.network.podCIDR"},
		{"networking.serviceSubnet", "use spec.network.serviceCIDR"},
		{"networking.dnsDomain", "use spec.network.dnsDomain"},
		{"certificatesDir", "certificates are always in /etc/kubernetes/pki: remove it"},
	}
)

// unsupportedFlag says what to use instead of a flag of kubelet, "" for one that may be given.
func unsupportedFlag(name string) string {
	switch name {
	case "root-dir":
		return "use dataDirectories.kubelet of the cluster, the control plane, the pool or the Host"
	case "cert-dir", "config", "kubeconfig", "bootstrap-kubeconfig":
		return "kubeadm's file layout is fixed: remove it"
	case "hostname-override":
		return "a node always has the name of its Host: remove it"
	case "container-runtime-endpoint":
		return "it is always that of the bundle's containerd: remove it"
	case "register-with-taints":
		return "use taints of the pool, or schedulable of the control plane"
	case "tls-cert-file", "tls-private-key-file", "rotate-server-certificates":
		return "use tlsCertFile, tlsPrivateKeyFile and serverTLSBootstrap of overrides.kubelet"
	}
	return ""
}

// checkOverrides refuses what an override cannot change, before anything is touched, with what to use instead.
func checkOverrides(spec v1alpha1.ClusterSpec) error {
	overrides := []struct {
		field string
		v1alpha1.NodeOverrides
	}{{"spec.overrides", spec.Overrides.NodeOverrides}, {"spec.controlPlane.overrides", spec.ControlPlane.Overrides}}
	for p, pool := range spec.Workers {
		overrides = append(overrides, struct {
			field string
			v1alpha1.NodeOverrides
		}{fmt.Sprintf("spec.workers[%d].overrides", p), pool.Overrides})
	}
	for _, o := range overrides {
		for _, part := range []struct {
			name string
			raw  *runtime.RawExtension
			list []unsupported
		}{{"kubeadm", o.Kubeadm, unsupportedKubeadm}, {"kubelet", o.Kubelet, unsupportedKubelet}, {"containerd", o.Containerd, unsupportedContainerd}} {
			if err := checkUnsupported(part.raw, o.field+"."+part.name, part.list); err != nil {
				return err
			}
		}
		if err := checkFlags(o.Kubeadm, o.field+".kubeadm"); err != nil {
			return err
		}
	}
	if err := checkServing(spec); err != nil {
		return err
	}
	return checkAnonymous(spec.Overrides.Kubeadm, "spec.overrides.kubeadm")
}

func checkUnsupported(raw *runtime.RawExtension, field string, list []unsupported) error {
	if raw == nil || len(raw.Raw) == 0 {
		return nil
	}
	var value map[string]any
	if err := json.Unmarshal(raw.Raw, &value); err != nil {
		return &SpecError{field, fmt.Sprintf("must be an object: %v", err)}
	}
	for _, u := range list {
		at, names, given := value, strings.Split(u.path, "."), false
		for i, name := range names {
			below, ok := at[name]
			if !ok {
				break
			}
			given = i == len(names)-1
			at, _ = below.(map[string]any)
		}
		if given {
			return &SpecError{field + "." + u.path, "cannot be overridden: " + u.instead}
		}
	}
	return nil
}

// checkFlags judges kubelet's flags, which kubeadm passes on.
func checkFlags(raw *runtime.RawExtension, field string) error {
	if raw == nil || len(raw.Raw) == 0 {
		return nil
	}
	var value struct {
		NodeRegistration struct {
			KubeletExtraArgs json.RawMessage `json:"kubeletExtraArgs"`
		} `json:"nodeRegistration"`
	}
	var args []kubeadmArg
	if json.Unmarshal(raw.Raw, &value) != nil || json.Unmarshal(value.NodeRegistration.KubeletExtraArgs, &args) != nil {
		// What is no list of flags is refused where they are laid over ours.
		return nil //nolint:nilerr // see above
	}
	for i, a := range args {
		if instead := unsupportedFlag(strings.TrimLeft(a.Name, "-")); instead != "" {
			return &SpecError{fmt.Sprintf("%s.nodeRegistration.kubeletExtraArgs[%d]", field, i), fmt.Sprintf("flag %s cannot be given: %s", a.Name, instead)}
		}
		if a.is("node-ip") && !namesAddresses(a.Value) {
			return &SpecError{fmt.Sprintf("%s.nodeRegistration.kubeletExtraArgs[%d]", field, i),
				fmt.Sprintf("flag node-ip is %q, which is no address: API servers verify that a kubelet's certificate names the address that its node has", a.Value)}
		}
	}
	return nil
}
