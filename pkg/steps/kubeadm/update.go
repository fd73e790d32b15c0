package kubeadm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Names of the commands that bring configuration and versions onto hosts that have joined. Joining does what they do as well, so it
// leaves their receipts behind.
const (
	// CertificateCommand makes the API server's certificate anew.
	CertificateCommand = "kubeadm-apiserver-certificate"
	// ControlPlaneCommand exchanges the static pods of the control plane.
	ControlPlaneCommand = "kubeadm-control-plane"
	// KubeletConfigCommand writes kubelet's configuration.
	KubeletConfigCommand = "kubeadm-kubelet-config"
	// PostUpgradeCommand removes what a newer kubelet does not take any more.
	PostUpgradeCommand = "kubeadm-post-upgrade"
	// CoreDNSCommand applies CoreDNS.
	CoreDNSCommand = "kubeadm-coredns"
	// KubeProxyCommand applies kube-proxy.
	KubeProxyCommand = "kubeadm-kube-proxy"
)

const (
	apiserverCert    = layout.PKIDir + "/apiserver.crt"
	apiserverKey     = layout.PKIDir + "/apiserver.key"
	kubeletConfigOut = layout.KubeletDir + "/config.yaml"
)

// staticPods are the manifests kubeadm writes on a control plane; nobody else may.
var staticPods = []string{
	layout.ManifestDir + "/etcd.yaml", layout.ManifestDir + "/kube-apiserver.yaml",
	layout.ManifestDir + "/kube-controller-manager.yaml", layout.ManifestDir + "/kube-scheduler.yaml",
}

// Certificate makes the API server's certificate of a host when the names in it have changed. The API server reads it again by itself.
func Certificate(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	cover, err := certificateCover(c, h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	return phase(c, h, cover, []string{"init", "phase", "certs", "apiserver"}, func(r *hostapi.Command) {
		r.Creates = []string{apiserverCert, apiserverKey}
		r.Removes = []string{apiserverCert, apiserverKey}
	})
}

// etcdCopies are the copies of etcd's data that kubeadm makes before it exchanges etcd's manifest and keeps (phases/upgrade, KubeStaticPodPathManager,
// constants.CreateTimestampDir): all of the cluster's Secrets, in plain text unless encryption at rest is set up.
const etcdCopies = layout.KubernetesDir + "/tmp/kubeadm-backup-etcd-*"

// etcdInputs are the inputs of ControlPlane that etcd's manifest depends on (kubeadm's phases/etcd, GetEtcdPodSpec); its image is the one that
// the version asks for.
var etcdInputs = []string{
	"address", "configuration.certificatesDir", "configuration.etcd", "configuration.featureGates", "configuration.imageRepository", versionInput,
}

// versionInput is the input of ControlPlane that a newer version of Kubernetes changes.
const versionInput = "configuration.kubernetesVersion"

// ControlPlane brings the static pods of a host to the cluster's version and configuration, one after the other, as kubeadm does: it
// waits for each and puts the old manifests back when one does not come up. One that ends again and again is not waited for: what was there
// before is put back at once.
//
// Only what a change concerns is exchanged. kubeadm by itself restarts etcd whenever the API server changes, under the same UID, so that
// kubelet holds it back a little longer each time, and renews certificates on the way (phases/upgrade, upgradeComponent). So both are left
// out unless the version changes, and etcd is only touched when something of it changed. A newer version renews the certificates.
func ControlPlane(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	cover, err := controlPlaneCover(c, h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	// etcd is not watched: when that does not come up, kubeadm brings back its data and its manifest.
	r, err := watching(controlPlanePods[1:]...)(awaiting(controlPlanePods...)(upgradePhase(h, cover, "control-plane")))
	if err != nil {
		return hostapi.Resource{}, err
	}
	r.Command.Watch.Restores = staticPods[1:]
	r.Command.Scratch = []string{etcdCopies}
	// Clusters of earlier versions lose it with the next change of their control plane.
	r.Command.Discards = []string{superAdmin}
	for _, way := range []struct {
		name            string
		inputs, outputs []string
		node            map[string]any
	}{
		{name: "without-etcd", inputs: etcdInputs, outputs: staticPods[:1], node: map[string]any{"etcdUpgrade": false, "certificateRenewal": false}},
		{name: "same-version", inputs: []string{versionInput}, node: map[string]any{"certificateRenewal": false}},
	} {
		if err := narrow(h, r.Command, way.name, way.node); err != nil {
			return hostapi.Resource{}, err
		}
		n := &r.Command.Narrower[len(r.Command.Narrower)-1]
		n.Inputs, n.Outputs = way.inputs, way.outputs
	}
	return r, nil
}

// narrow adds a way to run a phase of kubeadm upgrade node with further settings, which stand in a file of their own: kubeadm takes no such
// flags beside a configuration.
func narrow(h desired.Host, c *hostapi.Command, name string, settings map[string]any) error {
	config, err := upgradeConfiguration(h, workDir(c.Name), settings)
	if err != nil {
		return err
	}
	file := workDir(c.Name) + "/" + name + ".yaml"
	c.Files = append(c.Files, hostapi.CommandFile{Path: file, Content: config})
	argv := slices.Clone(c.Argv)
	argv[len(argv)-1] = configFlag + file
	c.Narrower = append(c.Narrower, hostapi.Narrower{Argv: argv})
	return nil
}

// KubeletConfig writes kubelet's configuration on a host out of what the cluster keeps for all, and the host's own part.
func KubeletConfig(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	cover, err := kubeletConfigCover(c, h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	return upgradePhase(h, cover, "kubelet-config")
}

// PostUpgrade removes flags of kubelet that the version does not know any more.
func PostUpgrade(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	cover, err := postUpgradeCover(c)
	if err != nil {
		return hostapi.Resource{}, err
	}
	return upgradePhase(h, cover, "post-upgrade")
}

// CoreDNS applies CoreDNS at the cluster's version and configuration.
func CoreDNS(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	cover, err := coreDNSCover(c)
	if err != nil {
		return hostapi.Resource{}, err
	}
	return phase(c, h, cover, []string{"init", "phase", "addon", "coredns"}, nil)
}

// KubeProxy applies kube-proxy at the cluster's version and configuration.
func KubeProxy(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	cover, err := kubeProxyCover(c)
	if err != nil {
		return hostapi.Resource{}, err
	}
	return phase(c, h, cover, []string{"init", "phase", "addon", "kube-proxy"}, nil)
}

// phase runs a phase of kubeadm init, with the configuration a first control plane would have.
func phase(c *desired.Cluster, h desired.Host, cover hostapi.Cover, args []string, more func(*hostapi.Command)) (hostapi.Resource, error) {
	config, err := Init(c, h, workDir(cover.Name))
	if err != nil {
		return hostapi.Resource{}, err
	}
	// The configuration names a directory of patches, which must be there.
	patch, err := kubeletPatch(h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	r := command(cover.Name, cover.Key, args, []hostapi.CommandFile{
		{Path: workDir(cover.Name) + "/config.yaml", Content: config},
		{Path: workDir(cover.Name) + "/patches/kubeletconfiguration0+merge.json", Content: patch},
	})
	r.Command.Inputs, r.Command.Outputs = cover.Inputs, cover.Outputs
	if more != nil {
		more(r.Command)
	}
	return r, nil
}

// upgradePhase runs a phase of kubeadm upgrade node, which takes the configuration from the cluster.
func upgradePhase(h desired.Host, cover hostapi.Cover, name string) (hostapi.Resource, error) {
	dir := workDir(cover.Name)
	config, err := upgradeConfiguration(h, dir, nil)
	if err != nil {
		return hostapi.Resource{}, err
	}
	patch, err := kubeletPatch(h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	r := command(cover.Name, cover.Key, []string{"upgrade", "node", "phase", name}, []hostapi.CommandFile{
		{Path: dir + "/config.yaml", Content: config},
		{Path: dir + "/patches/kubeletconfiguration0+merge.json", Content: patch},
	})
	r.Command.Inputs, r.Command.Outputs = cover.Inputs, cover.Outputs
	return r, nil
}

// upgradeConfiguration renders kubeadm's UpgradeConfiguration for a node, with further settings of upgrading nodes laid over it.
func upgradeConfiguration(h desired.Host, dir string, settings map[string]any) ([]byte, error) {
	ignore := []any{}
	for _, check := range h.KubeadmChecks() {
		ignore = append(ignore, check)
	}
	fields, err := nodeFields(h)
	if err != nil {
		return nil, err
	}
	node := map[string]any{
		"ignorePreflightErrors": ignore,
		"imagePullPolicy":       "Never",
		"patches":               map[string]any{"directory": dir + "/patches"},
	}
	maps.Copy(node, settings)
	upgrade := map[string]any{"apiVersion": apiVersion, "kind": "UpgradeConfiguration", "node": node}
	if timeouts, ok := fields["timeouts"]; ok {
		upgrade["timeouts"] = timeouts
	}
	return documents(upgrade)
}

func certificateCover(c *desired.Cluster, h desired.Host) (hostapi.Cover, error) {
	return coverOf(CertificateCommand, map[string]any{
		"names": c.CertSANs, "endpoint": c.Endpoint.Host, "address": h.Address, "services": c.Network.ServiceCIDR, "domain": c.Network.DNSDomain,
	})
}

func controlPlaneCover(c *desired.Cluster, h desired.Host) (hostapi.Cover, error) {
	config, err := ClusterConfiguration(c)
	if err != nil {
		return hostapi.Cover{}, err
	}
	// Names in the certificate do not stand in static pods; CertificateCommand sees to them.
	if server, ok := config["apiServer"].(map[string]any); ok {
		server = maps.Clone(server)
		delete(server, "certSANs")
		config["apiServer"] = server
	}
	return coverOf(ControlPlaneCommand, map[string]any{"configuration": config, "address": h.Address}, staticPods...)
}

func kubeletConfigCover(c *desired.Cluster, h desired.Host) (hostapi.Cover, error) {
	shared, err := KubeletConfiguration(c)
	if err != nil {
		return hostapi.Cover{}, err
	}
	own, err := kubeletPatch(h)
	if err != nil {
		return hostapi.Cover{}, err
	}
	return coverOf(KubeletConfigCommand, map[string]any{"shared": shared, "own": string(own), "version": c.Version}, kubeletConfigOut)
}

func postUpgradeCover(c *desired.Cluster) (hostapi.Cover, error) {
	return coverOf(PostUpgradeCommand, map[string]any{"version": c.Version})
}

func coreDNSCover(c *desired.Cluster) (hostapi.Cover, error) {
	return coverOf(CoreDNSCommand, map[string]any{"version": c.Version, "services": c.Network.ServiceCIDR, "domain": c.Network.DNSDomain})
}

func kubeProxyCover(c *desired.Cluster) (hostapi.Cover, error) {
	proxy, err := KubeProxyConfiguration(c)
	if err != nil {
		return hostapi.Cover{}, err
	}
	network := c.Network
	network.DNS = nil // it is about names, of which kube-proxy knows nothing
	return coverOf(KubeProxyCommand, map[string]any{"version": c.Version, "proxy": proxy, "network": network, "endpoint": c.Endpoint.String()})
}

// initCovers lists what initialising a cluster does of the commands above.
func initCovers(c *desired.Cluster, h desired.Host) ([]hostapi.Cover, error) {
	covers, err := joinCovers(c, h)
	if err != nil {
		return nil, err
	}
	dns, err := coreDNSCover(c)
	if err != nil {
		return nil, err
	}
	proxy, err := kubeProxyCover(c)
	return append(covers, dns, proxy), err
}

// joinCovers lists what joining a host does of the commands above.
func joinCovers(c *desired.Cluster, h desired.Host) ([]hostapi.Cover, error) {
	config, err := kubeletConfigCover(c, h)
	if err != nil {
		return nil, err
	}
	after, err := postUpgradeCover(c)
	if err != nil {
		return nil, err
	}
	covers := []hostapi.Cover{config, after}
	if !h.IsControlPlane() {
		return covers, nil
	}
	certificate, err := certificateCover(c, h)
	if err != nil {
		return nil, err
	}
	pods, err := controlPlaneCover(c, h)
	if err != nil {
		return nil, err
	}
	return append(covers, certificate, pods), nil
}

// KubeProxyKey identifies what kube-proxy is configured with.
func KubeProxyKey(c *desired.Cluster) (string, error) {
	proxy, err := KubeProxyConfiguration(c)
	if err != nil {
		return "", err
	}
	return keyOf(map[string]any{"proxy": proxy, "podCIDR": c.Network.PodCIDR, "endpoint": c.Endpoint.String()})
}

// KubeletKey identifies what kubelet of a host is configured with.
func KubeletKey(c *desired.Cluster, h desired.Host) (string, error) {
	cover, err := kubeletConfigCover(c, h)
	return cover.Key, err
}

// coverOf is the receipt of a command that depends on these inputs and makes these files. What objects hold counts one by one, so that
// people learn which setting is another.
func coverOf(name string, inputs map[string]any, outputs ...string) (hostapi.Cover, error) {
	key, err := keyOf(inputs)
	if err != nil {
		return hostapi.Cover{}, err
	}
	cover := hostapi.Cover{Name: name, Key: key, Inputs: map[string]string{}, Outputs: outputs}
	for input, value := range inputs {
		object, ok := value.(map[string]any)
		if !ok {
			object = map[string]any{"": value}
		}
		for field, value := range object {
			digest, err := keyOf(map[string]any{"": value})
			if err != nil {
				return hostapi.Cover{}, err
			}
			cover.Inputs[strings.TrimSuffix(input+"."+field, ".")] = digest[:16]
		}
	}
	return cover, nil
}

// keyOf is a digest over what a command depends on; encoding/json sorts the keys of maps.
func keyOf(inputs map[string]any) (string, error) {
	text, err := json.Marshal(inputs)
	if err != nil {
		return "", fmt.Errorf("render what a command depends on: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
