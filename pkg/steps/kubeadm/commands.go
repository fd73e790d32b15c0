package kubeadm

import (
	"strings"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// Names of the detached commands. They are stable: a host's receipts are found by them.
const (
	InitCommand        = "kubeadm-init"
	JoinCommand        = "kubeadm-join"
	JoinPrepareCommand = "kubeadm-join-prepare"
	JoinEtcdCommand    = "kubeadm-join-etcd"
	JoinFinishCommand  = "kubeadm-join-finish"
)

// owned is what kubeadm and what it starts make on a host; Reset removes it.
var owned = []string{layout.KubernetesDir, layout.KubeletDir, layout.EtcdDataDir}

// InitResource runs kubeadm init. Its key is the cluster's UID alone: whatever else changes, a cluster is initialised once.
func InitResource(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	dir := workDir(InitCommand)
	config, err := Init(c, h, dir)
	if err != nil {
		return hostapi.Resource{}, err
	}
	patch, err := kubeletPatch(h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	covers, err := joinCovers(c, h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	addons, err := addonsCover(c)
	if err != nil {
		return hostapi.Resource{}, err
	}
	r := command(InitCommand, c.UID, []string{"init"}, []hostapi.CommandFile{
		{Path: dir + "/config.yaml", Content: config},
		{Path: dir + "/patches/kubeletconfiguration0+merge.json", Content: patch},
	}, "/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/manifests/etcd.yaml")
	r.Command.Covers = append(covers, addons)
	return r, nil
}

// JoinWorker runs kubeadm join on a worker.
func JoinWorker(c *desired.Cluster, h desired.Host, discovery []byte) (hostapi.Resource, error) {
	return covering(c, h)(join(JoinCommand, c, h, discovery, nil, "/etc/kubernetes/kubelet.conf"))
}

// JoinPrepare is the first third of joining a control plane: certificates, kubeconfigs, kubelet. It changes nothing outside the
// host, so that hosts can do it side by side. The API server's manifest is left for later: without its etcd it would only crash and
// be held back by kubelet's back-off.
func JoinPrepare(c *desired.Cluster, h desired.Host, discovery []byte) (hostapi.Resource, error) {
	return join(JoinPrepareCommand, c, h, discovery, []string{
		"control-plane-prepare/control-plane", "etcd-join", "kubelet-wait-bootstrap", "control-plane-join", "wait-control-plane",
	}, "/etc/kubernetes/admin.conf")
}

// JoinEtcd is the second third: the host's etcd becomes a learner and is promoted. Only one may do so at a time.
func JoinEtcd(c *desired.Cluster, h desired.Host, discovery []byte) (hostapi.Resource, error) {
	return join(JoinEtcdCommand, c, h, discovery, []string{
		"preflight", "control-plane-prepare", "check-etcd", "kubelet-start", "kubelet-wait-bootstrap", "control-plane-join", "wait-control-plane",
	}, "/etc/kubernetes/manifests/etcd.yaml")
}

// JoinFinish is the last third: the static pods of the control plane, kubelet's registration, the node's role.
func JoinFinish(c *desired.Cluster, h desired.Host, discovery []byte) (hostapi.Resource, error) {
	return covering(c, h)(join(JoinFinishCommand, c, h, discovery, []string{
		"preflight", "control-plane-prepare/download-certs", "control-plane-prepare/certs", "control-plane-prepare/kubeconfig",
		"check-etcd", "kubelet-start", "etcd-join",
	}, "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/manifests/kube-apiserver.yaml"))
}

// covering adds to the last command of a join what it does of later ones.
func covering(c *desired.Cluster, h desired.Host) func(hostapi.Resource, error) (hostapi.Resource, error) {
	return func(r hostapi.Resource, err error) (hostapi.Resource, error) {
		if err != nil {
			return r, err
		}
		r.Command.Covers, err = joinCovers(c, h)
		return r, err
	}
}

// Joined tells from a host's receipts whether it is a node of its cluster.
func Joined(receipts []string) bool {
	for _, r := range receipts {
		if r == InitCommand || r == JoinCommand || r == JoinFinishCommand {
			return true
		}
	}
	return false
}

func join(name string, c *desired.Cluster, h desired.Host, discovery []byte, skip []string, creates ...string) (hostapi.Resource, error) {
	dir := workDir(name)
	config, err := Join(h, dir)
	if err != nil {
		return hostapi.Resource{}, err
	}
	patch, err := kubeletPatch(h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	args := []string{"join"}
	if len(skip) > 0 {
		args = append(args, "--skip-phases="+strings.Join(skip, ","))
	}
	return command(name, c.UID, args, []hostapi.CommandFile{
		{Path: dir + "/config.yaml", Content: config},
		{Path: dir + "/discovery.conf", Content: discovery, Secret: true},
		{Path: dir + "/patches/kubeletconfiguration0+merge.json", Content: patch},
	}, creates...), nil
}

func command(name, key string, args []string, files []hostapi.CommandFile, creates ...string) hostapi.Resource {
	argv := append([]string{layout.BinDir + "/kubeadm"}, args...)
	return hostapi.Resource{ID: "command/" + name, Command: &hostapi.Command{
		Name:           name,
		Argv:           append(argv, "--config="+workDir(name)+"/config.yaml"),
		Files:          files,
		Creates:        creates,
		Owns:           owned,
		Key:            key,
		TimeoutSeconds: 900,
	}}
}

func workDir(name string) string { return "/run/kubewright/" + name }
