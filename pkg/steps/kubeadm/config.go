// Package kubeadm renders kubeadm's configuration and says which of its commands run on a host. It decides nothing about order
// between hosts.
package kubeadm

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

const apiVersion = "kubeadm.k8s.io/v1beta4"

// ownChecks are kubeadm's checks that Kubewright's preflight does in its own way, on every host, before anything is placed; repeated here
// they would stumble over what Kubewright itself has placed, over an attempt that was cut off, or over what the user has accepted: with
// cgroup v1 SystemVerification fails also where kubelet was told to take it. Of the checks that are left (preflight/checks.go) the ones that
// can fail are about the container runtime, kubelet and the images that Kubewright has brought.
var ownChecks = []any{
	"DirAvailable--etc-kubernetes-manifests", "DirAvailable--var-lib-etcd",
	"FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml", "FileAvailable--etc-kubernetes-manifests-kube-controller-manager.yaml",
	"FileAvailable--etc-kubernetes-manifests-kube-scheduler.yaml", "FileAvailable--etc-kubernetes-manifests-etcd.yaml",
	"FileAvailable--etc-kubernetes-kubelet.conf", "FileAvailable--etc-kubernetes-bootstrap-kubelet.conf", "FileAvailable--etc-kubernetes-pki-ca.crt",
	"Port-6443", "Port-10259", "Port-10257", "Port-10250", "Port-2379", "Port-2380", "Hostname",
	"SystemVerification", "Firewalld", "NumCPU", "Mem", "Swap", "FileExisting-losetup", "FileExisting-mount", "FileExisting-cp",
}

// Init renders InitConfiguration, ClusterConfiguration, KubeletConfiguration and KubeProxyConfiguration for the first control plane.
func Init(c *desired.Cluster, h desired.Host, workDir string) ([]byte, error) {
	node, err := nodeFields(h)
	if err != nil {
		return nil, err
	}
	init := map[string]any{
		"apiVersion": apiVersion, "kind": "InitConfiguration",
		"localAPIEndpoint": localEndpoint(h),
		"patches":          map[string]any{"directory": workDir + "/patches"},
		// kubeadm always makes a token together with the RBAC for joining; nobody uses it, so it dies at once.
		"bootstrapTokens": []any{map[string]any{"ttl": "1m0s"}},
		"skipPhases":      []any{"show-join-command"},
	}
	maps.Copy(init, node)
	cluster, err := ClusterConfiguration(c)
	if err != nil {
		return nil, err
	}
	kubelet, err := KubeletConfiguration(c)
	if err != nil {
		return nil, err
	}
	proxy, err := KubeProxyConfiguration(c)
	if err != nil {
		return nil, err
	}
	return documents(init, cluster, kubelet, proxy)
}

// ClusterConfiguration is what kubeadm keeps in the cluster and every later kubeadm command reads.
func ClusterConfiguration(c *desired.Cluster) (map[string]any, error) {
	sans := []any{"localhost", "127.0.0.1"}
	for _, san := range c.CertSANs {
		sans = append(sans, san)
	}
	if c.Endpoint.Host != "127.0.0.1" {
		sans = append(sans, c.Endpoint.Host)
	}
	config, err := desired.Merge(map[string]any{
		"apiVersion": apiVersion, "kind": "ClusterConfiguration",
		"clusterName":          c.Name,
		"kubernetesVersion":    c.Version,
		"controlPlaneEndpoint": c.Endpoint.String(),
		"encryptionAlgorithm":  "ECDSA-P256",
		"apiServer":            map[string]any{"certSANs": sans},
		"networking": map[string]any{
			"podSubnet":     c.Network.PodCIDR,
			"serviceSubnet": c.Network.ServiceCIDR,
			"dnsDomain":     c.Network.DNSDomain,
		},
	}, "spec.overrides.kubeadm", c.Kubeadm)
	if err != nil {
		return nil, err
	}
	for _, field := range desired.NodeFields() {
		delete(config, field)
	}
	const field = "spec.overrides.kubeadm.apiServer"
	if err := setDefaultArg(config, "apiServer", "extraArgs", field, "shutdown-delay-duration", apiServerDelay); err != nil {
		return nil, err
	}
	if err := setDefaultArg(config, "apiServer", "extraArgs", field, "shutdown-watch-termination-grace-period", apiServerWatches); err != nil {
		return nil, err
	}
	// Kubelets serve with certificates that the cluster's authority has signed; see KubeletConfiguration.
	if err := setDefaultArg(config, "apiServer", "extraArgs", field, desired.KubeletAuthorityArg, CACert); err != nil {
		return nil, err
	}
	if members, _ := config["etcd"].(map[string]any); members["external"] != nil {
		return config, nil
	}
	return config, setDefaultArg(config, "apiServer", "extraArgs", field, "etcd-servers", etcdServers(c))
}

// etcdServers are the member of etcd beside an API server, where kubeadm would leave it at (phases/controlplane, getAPIServerCommand), and
// the others through the local proxy: without them an API server whose member is exchanged answers nobody for 20 seconds and more.
func etcdServers(c *desired.Cluster) string {
	own := "127.0.0.1"
	if address, err := netip.ParseAddr(c.ControlPlanes()[0].Address); err == nil && address.Is6() {
		own = "::1"
	}
	return "https://" + net.JoinHostPort(own, strconv.Itoa(desired.EtcdPort)) + ",https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(desired.EtcdProxyPort))
}

// apiServerDelay is how long an API server that was told to end goes on answering while its /readyz says no, so that the nodes' proxies,
// which ask every 2 seconds, and other load balancers send nobody there any more when it does end. kubelet gives static pods 30 seconds.
const apiServerDelay = "5s"

// apiServerWatches is how long it then takes to end watches in order. Without it they would go on, and the API server with them, until
// kubelet kills it.
const apiServerWatches = "5s"

// setDefaultArg adds an argument to a list in a section unless the user gave it. Lists replace one another when overrides are laid over, so
// it comes after them. The user knows the section as field.
func setDefaultArg(config map[string]any, at, list, field, name, value string) error {
	section, ok := config[at].(map[string]any)
	if !ok && config[at] != nil {
		return &desired.SpecError{Field: field, Problem: "must be an object"}
	}
	args, ok := section[list].([]any)
	if !ok && section[list] != nil {
		return &desired.SpecError{Field: field + "." + list, Problem: "must be a list of names and values"}
	}
	for _, a := range args {
		if arg, ok := a.(map[string]any); ok && arg["name"] == name {
			return nil
		}
	}
	if section == nil {
		section = map[string]any{}
		config[at] = section
	}
	section[list] = append(slices.Clone(args), map[string]any{"name": name, "value": value})
	return nil
}

// KubeProxyConfiguration is what kubeadm hands to kube-proxy.
func KubeProxyConfiguration(c *desired.Cluster) (map[string]any, error) {
	return desired.Merge(map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"mode": "nftables",
	}, "spec.overrides.kubeProxy", c.KubeProxy)
}

// KubeletConfiguration is what the cluster keeps for every kubelet; hosts have their own part laid over it.
//
// A kubelet begins with the certificate that was placed for it, and asks the cluster for another one when most of that one's life is over or its
// names are others (k8s.io/client-go, util/certificate: the pair of files counts while there is no kubelet-server-current.pem). So nobody waits
// for a signature while a host joins.
func KubeletConfiguration(c *desired.Cluster) (map[string]any, error) {
	return desired.Merge(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"tlsCertFile":        layout.KubeletServingCert,
		"tlsPrivateKeyFile":  layout.KubeletServingKey,
		"serverTLSBootstrap": true,
	}, "spec.overrides.kubelet", c.Kubelet)
}

// EffectiveKubelet is the kubelet configuration of a host as far as it was given: the shared override with the pool's laid over it.
func EffectiveKubelet(c *desired.Cluster, h desired.Host) (map[string]any, error) {
	return desired.Merge(map[string]any{}, "overrides.kubelet", c.Kubelet, h.PoolKubelet)
}

// Join renders JoinConfiguration. What kubeadm presents itself with is kubelet's own identity, which was placed before, so that no token
// exists in the cluster and nothing else can be joined with it.
func Join(h desired.Host, workDir string) ([]byte, error) {
	node, err := nodeFields(h)
	if err != nil {
		return nil, err
	}
	join := map[string]any{
		"apiVersion": apiVersion, "kind": "JoinConfiguration",
		"discovery": map[string]any{"file": map[string]any{"kubeConfigPath": kubeletConf}},
		"patches":   map[string]any{"directory": workDir + "/patches"},
	}
	maps.Copy(join, node)
	if h.IsControlPlane() {
		join["controlPlane"] = map[string]any{"localAPIEndpoint": localEndpoint(h)}
	}
	return documents(join)
}

// nodeFields are the fields that InitConfiguration and JoinConfiguration share and that may be overridden.
func nodeFields(h desired.Host) (map[string]any, error) {
	const field = "overrides.kubeadm"
	merged, err := desired.Merge(map[string]any{"nodeRegistration": nodeRegistration(h)}, field, h.Kubeadm...)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	for _, name := range desired.NodeFields() {
		if value, ok := merged[name]; ok {
			fields[name] = value
		}
	}
	return fields, setDefaultArg(fields, "nodeRegistration", "kubeletExtraArgs", field+".nodeRegistration", "node-ip", h.Address)
}

// NodeAddress is the address that a host's kubelet is told to report: the host's own, unless an override gives another.
func NodeAddress(h desired.Host) (string, error) {
	fields, err := nodeFields(h)
	if err != nil {
		return "", err
	}
	registration, _ := fields["nodeRegistration"].(map[string]any)
	for _, a := range list(registration["kubeletExtraArgs"]) {
		if text(a["name"]) == "node-ip" {
			return text(a["value"]), nil
		}
	}
	return "", nil
}

func nodeRegistration(h desired.Host) map[string]any {
	ignore := append([]any{}, ownChecks...)
	for _, name := range h.KubeadmChecks() {
		ignore = append(ignore, name)
	}
	return map[string]any{
		"name":                  h.Name,
		"criSocket":             "unix://" + layout.ContainerdSocket,
		"taints":                taints(h.Taints),
		"ignorePreflightErrors": ignore,
		// Everything comes out of the bundle beforehand; an image that is missing is an error here, not a reason to ask a registry.
		"imagePullPolicy": "Never",
	}
}

func taints(list []corev1.Taint) []any {
	out := []any{}
	for _, t := range list {
		taint := map[string]any{"key": t.Key, "effect": string(t.Effect)}
		if t.Value != "" {
			taint["value"] = t.Value
		}
		out = append(out, taint)
	}
	return out
}

func localEndpoint(h desired.Host) map[string]any {
	return map[string]any{"advertiseAddress": h.Address, "bindPort": desired.APIServerPort}
}

// kubeletPatch is what this host's kubelet has differently, as a kubeadm patch; the file's name says target and kind. A control plane
// registers with its taints: kubeadm would only set them at the end of joining, and pods would have been scheduled by then.
func kubeletPatch(h desired.Host) ([]byte, error) {
	own := map[string]any{}
	if h.IsControlPlane() && len(h.Taints) > 0 {
		own["registerWithTaints"] = taints(h.Taints)
	}
	if h.ResolvConf != nil {
		own["resolvConf"] = *h.ResolvConf
	}
	patch, err := desired.Merge(own, "overrides.kubelet", h.PoolKubelet)
	if err != nil {
		return nil, err
	}
	return json.Marshal(patch)
}

func documents(docs ...map[string]any) ([]byte, error) {
	var out []byte
	for i, doc := range docs {
		if i > 0 {
			out = append(out, "---\n"...)
		}
		text, err := yaml.Marshal(doc)
		if err != nil {
			return nil, fmt.Errorf("render kubeadm's %v: %w", doc["kind"], err)
		}
		out = append(out, text...)
	}
	return out, nil
}
