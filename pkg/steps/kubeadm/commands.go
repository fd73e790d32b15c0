package kubeadm

import (
	"slices"
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
	covers, err := initCovers(c, h)
	if err != nil {
		return hostapi.Resource{}, err
	}
	r := command(InitCommand, c.UID, []string{"init"}, []hostapi.CommandFile{
		{Path: dir + "/config.yaml", Content: config},
		{Path: dir + "/patches/kubeletconfiguration0+merge.json", Content: patch},
	}, "/etc/kubernetes/admin.conf", "/etc/kubernetes/manifests/etcd.yaml")
	r.Command.Covers = covers
	r.Command.StaticPods, r.Command.Discards = controlPlanePods, []string{superAdmin}
	return watching(controlPlanePods...)(r, nil)
}

// JoinWorker runs kubeadm join on a worker.
func JoinWorker(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	return watching()(covering(c, h)(once(kubeletStart)(join(JoinCommand, c, h, nil, kubeletConf, CACert))))
}

// JoinPrepare is the first third of joining a control plane: certificates, kubeconfigs, kubelet. It changes nothing outside the
// host, so that hosts can do it side by side. The API server's manifest is left for later: without its etcd it would only crash and
// be held back by kubelet's back-off.
func JoinPrepare(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	return watching()(once(kubeletStart)(join(JoinPrepareCommand, c, h, []string{
		"control-plane-prepare/control-plane", "etcd-join", "kubelet-wait-bootstrap", "control-plane-join", "wait-control-plane",
	}, "/etc/kubernetes/admin.conf")))
}

// JoinEtcd is the second third: the host's etcd becomes a learner and is promoted. Only one may do so at a time.
func JoinEtcd(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	return watching()(awaiting(controlPlanePods[:1]...)(join(JoinEtcdCommand, c, h, []string{
		"preflight", "control-plane-prepare", "check-etcd", kubeletStart, "kubelet-wait-bootstrap", "control-plane-join", "wait-control-plane",
	}, "/etc/kubernetes/manifests/etcd.yaml")))
}

// JoinFinish is the last third: the static pods of the control plane, kubelet's registration, the node's role.
func JoinFinish(c *desired.Cluster, h desired.Host) (hostapi.Resource, error) {
	return watching(controlPlanePods...)(awaiting(controlPlanePods[1:]...)(covering(c, h)(join(JoinFinishCommand, c, h, []string{
		"preflight", "control-plane-prepare/download-certs", "control-plane-prepare/certs", "control-plane-prepare/kubeconfig",
		"check-etcd", kubeletStart, "etcd-join",
	}, kubeletConf, "/etc/kubernetes/manifests/kube-apiserver.yaml"))))
}

// superAdmin is an administrator's kubeconfig that no RBAC can limit (system:masters, for a year). kubeadm needs it on the first control plane,
// to bind the group of admin.conf, and leaves it there.
const superAdmin = layout.KubernetesDir + "/super-admin.conf"

// CACert is the certificate of the cluster's authority, which joining places on a host and kubelet trusts.
const CACert = layout.PKIDir + "/ca.crt"

// ControlPlaneLabels are those that kubeadm gives the node of a control plane (its phases/markcontrolplane).
func ControlPlaneLabels() map[string]string {
	return map[string]string{"node-role.kubernetes.io/control-plane": "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
}

const (
	// kubeletStart is the phase of joining that writes kubelet's configuration and starts it.
	kubeletStart = "kubelet-start"
	// kubeletConf is how kubelet reaches the API.
	kubeletConf = layout.KubernetesDir + "/kubelet.conf"
	// kubeletRan is a file that kubelet makes when it has started, and before it may be a Ready node. It finds its unit enabled at boot.
	kubeletRan = layout.KubeletDir + "/cpu_manager_state"
)

// once makes a join leave a phase out when it was done by an attempt that was cut off afterwards: kubeadm refuses to start kubelet when
// there is a Ready node of that name, even if the node is this very host.
func once(phase string) func(hostapi.Resource, error) (hostapi.Resource, error) {
	return func(r hostapi.Resource, err error) (hostapi.Resource, error) {
		if err != nil {
			return r, err
		}
		r.Command.Begun = &hostapi.Begun{Path: kubeletRan, Argv: skipping(r.Command.Argv, phase)}
		return r, nil
	}
}

// skipping is the command line of a join that leaves out one phase more.
func skipping(argv []string, phase string) []string {
	argv = slices.Clone(argv)
	for i, a := range argv {
		if strings.HasPrefix(a, skipPhases) {
			argv[i] = a + "," + phase
			return argv
		}
	}
	return append(argv, skipPhases+phase)
}

// skipPhases is kubeadm's flag, which takes the names of phases with commas between them.
const skipPhases = "--skip-phases="

// configFlag is kubeadm's flag for its configuration.
const configFlag = "--config="

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

// controlPlanePods are the static pods that commands wait for, as kubeadm names them without the node's name. etcd comes first.
var controlPlanePods = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// awaiting names the static pods that a command waits for.
func awaiting(pods ...string) func(hostapi.Resource, error) (hostapi.Resource, error) {
	return func(r hostapi.Resource, err error) (hostapi.Resource, error) {
		if err == nil {
			r.Command.StaticPods = pods
		}
		return r, err
	}
}

// watching ends a command at once when kubelet, the container runtime or one of these static pods ends again and again: kubeadm would wait
// for minutes and say nothing of the cause. Before kubeadm has written its configuration, kubelet is expected to end.
func watching(pods ...string) func(hostapi.Resource, error) (hostapi.Resource, error) {
	return func(r hostapi.Resource, err error) (hostapi.Resource, error) {
		if err == nil {
			r.Command.Watch = &hostapi.Watch{
				Units:      []hostapi.WatchedUnit{{Name: "containerd.service"}, {Name: "kubelet.service", Once: kubeletConfigOut}},
				StaticPods: pods,
			}
		}
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

func join(name string, c *desired.Cluster, h desired.Host, skip []string, creates ...string) (hostapi.Resource, error) {
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
		args = append(args, skipPhases+strings.Join(skip, ","))
	}
	return command(name, c.UID, args, []hostapi.CommandFile{
		{Path: dir + "/config.yaml", Content: config},
		{Path: dir + "/patches/kubeletconfiguration0+merge.json", Content: patch},
	}, creates...), nil
}

func command(name, key string, args []string, files []hostapi.CommandFile, creates ...string) hostapi.Resource {
	argv := append([]string{layout.BinDir + "/kubeadm"}, args...)
	return hostapi.Resource{ID: "command/" + name, Command: &hostapi.Command{
		Name:           name,
		Argv:           append(argv, configFlag+workDir(name)+"/config.yaml"),
		Files:          files,
		Creates:        creates,
		Owns:           owned,
		Key:            key,
		TimeoutSeconds: 900,
	}}
}

func workDir(name string) string { return "/run/kubewright/" + name }
