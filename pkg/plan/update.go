package plan

import (
	"slices"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/dns"
	"github.com/kubewright/kubewright/pkg/steps/images"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// disturbing are the resources whose change justifies moving the pods of a node away first: exchanging kubelet or what containers run
// on. A changed configuration only restarts kubelet or containerd, which containers outlive.
var disturbing = []string{
	"file" + layout.BinDir + "/kubelet", "file" + layout.BinDir + "/containerd", "file" + layout.BinDir + "/containerd-shim-runc-v2", "file" + layout.BinDir + "/runc",
}

// Backup is the graph that takes a snapshot of etcd through one control plane, and nothing else.
func Backup(at string, backup hostapi.Backup) *Graph {
	return &Graph{Steps: []Step{{ID: StepSnapshot, Title: "Take a verified snapshot of etcd", Hosts: []string{at},
		Resources: map[string][]hostapi.Resource{at: {{ID: "backup/etcd", Backup: &backup}}}}}}
}

// snapshot takes a verified snapshot of etcd before anything is done to a running control plane.
func (b *builder) snapshot() error {
	if !b.running() || b.in.Backup.Recipient == "" {
		return nil
	}
	s := Step{ID: StepSnapshot, Title: "Take a verified snapshot of etcd", Hosts: []string{b.at()}, Needs: onAll(StepContent, StepImages, StepTools, StepKernel)}
	if len(b.forgotten())+len(b.leaving(false)) == 0 {
		s.When = &When{Steps: []string{StepCPUpdate, StepPrepare, StepEtcd}}
	}
	return b.add(s, func(desired.Host) ([]hostapi.Resource, error) {
		return []hostapi.Resource{{ID: "backup/etcd", Backup: &b.in.Backup}}, nil
	})
}

// configuration writes what the cluster keeps for kubeadm and every kubelet, which all later steps read.
func (b *builder) configuration() error {
	if b.in.Via != "" {
		return nil
	}
	cluster, err := kubeadm.ClusterConfiguration(b.in.Cluster)
	if err != nil {
		return err
	}
	shared, err := kubeadm.KubeletConfiguration(b.in.Cluster)
	if err != nil {
		return err
	}
	need := append(onAll(StepContent, StepImages, StepTools, StepKernel, StepSnapshot), b.initialised()...)
	b.steps = append(b.steps, Step{ID: StepConfiguration, Title: "Keep the configuration in the cluster", Hosts: []string{b.at()}, Needs: need,
		Action: Configure{Cluster: cluster, Kubelet: shared, Forward: b.forward()}})
	return nil
}

// forward is where cluster DNS forwards to; nil when that cannot be told now.
func (b *builder) forward() *dns.Forwarding {
	if f, known := dns.ForwardingOf(b.in.Cluster, b.in.Facts); known {
		return &f
	}
	return nil
}

// initialised is the need of a cluster that exists.
func (b *builder) initialised() []engine.Need {
	if b.initial == "" {
		return nil
	}
	return []engine.Need{{Step: StepInit, Scope: engine.AnyHost}}
}

// updateControlPlanes brings joined control planes, one after the other, to version and configuration: the static pods of all first, then
// kubelet and container runtime. A kubelet that reaches any API server through its proxy must never be newer than that one.
func (b *builder) updateControlPlanes() error {
	hosts := b.updatedControlPlanes
	begin := append(onAll(StepConfiguration, StepSnapshot, StepForget), onSame(StepAuthorities, StepRegister)...)
	if b.membersFirst() {
		begin = append(begin, onAll(StepControlPlane, StepLeaveMember)...)
	}
	if err := b.add(Step{ID: StepCPUpdate, Title: "Update static pods", Hosts: hosts, Lane: LaneStaticPods, Guard: GuardStaticPods, Needs: begin},
		b.staticPods); err != nil {
		return err
	}
	return b.roll(LaneControlPlanes, hosts, onAll(StepCPUpdate, StepProxy), [3]string{StepCPDrain, StepCPNode, StepCPReturn})
}

// updateWorkers brings joined workers to version and configuration, in batches, once the control plane is there.
func (b *builder) updateWorkers() error {
	return b.roll(LaneWorkers, b.updatedWorkers, onAll(StepContent, StepImages, StepProxy, StepConfiguration, StepCPReturn, StepKubeProxy, StepKubeProxyReady, StepNetwork, StepMetricsServer),
		[3]string{StepWorkerDrain, StepWorkerUpdate, StepWorkerReturn})
}

// roll is the way of a node through a change: drain, update, return.
func (b *builder) roll(lane string, hosts []string, needs []engine.Need, ids [3]string) error {
	if len(hosts) == 0 {
		return nil
	}
	needs = append(onSame(StepRegister), needs...)
	policy := b.in.Cluster.Rollout.Drain
	if !policy.Disabled {
		b.steps = append(b.steps, Step{ID: ids[0], Title: "Drain the node", Hosts: hosts, Lane: lane, Needs: needs,
			When: &When{Steps: []string{ids[1]}, SameHost: true, Resources: disturbing}, Action: Drain{Policy: policy}})
	}
	update := Step{ID: ids[1], Title: "Update kubelet and the container runtime", Hosts: hosts, Lane: lane, Needs: append(onSame(ids[0]), needs...)}
	if lane == LaneControlPlanes {
		update.Guard = GuardEtcdCanRestart // a kubelet of another minor version begins static pods anew
	}
	if err := b.addSigned(update, b.nodeUpdate); err != nil {
		return err
	}
	versions := map[string]string{}
	for _, h := range b.in.Cluster.Hosts {
		versions[h.Name] = h.KubeletVersion
	}
	apiServer := ""
	if lane == LaneControlPlanes {
		apiServer = b.in.Cluster.Version
	}
	b.steps = append(b.steps, Step{ID: ids[2], Title: "See the node back in service", Hosts: hosts, Lane: lane, Needs: onSame(ids[1]), Action: Return{Version: versions, APIServer: apiServer}})
	return nil
}

// staticPods lists what a joined control plane needs before and for its static pods.
func (b *builder) staticPods(h desired.Host) ([]hostapi.Resource, error) {
	var resources []hostapi.Resource
	for _, f := range b.files(h) {
		switch f.Name {
		case "kubeadm", "kubectl", "etcdctl", "etcdutl":
			resources = append(resources, layout.Place(f))
		}
	}
	for _, make := range []func(*desired.Cluster, desired.Host) (hostapi.Resource, error){kubeadm.Certificate, kubeadm.ControlPlane} {
		r, err := make(b.in.Cluster, h)
		if err != nil {
			return nil, err
		}
		resources = append(resources, r)
	}
	return resources, nil
}

// nodeUpdate lists what a joined node consists of, in the order in which it is brought up to date. The kubelet of a Ready node has an identity,
// wherever it keeps that, and is given no other.
func (b *builder) nodeUpdate(h desired.Host, m Material) ([]hostapi.Resource, error) {
	resources, err := b.containerd(h)
	if err != nil {
		return nil, err
	}
	node, err := b.kubelet(h, m)
	if err != nil {
		return nil, err
	}
	resources = append(resources, slices.DeleteFunc(node, func(r hostapi.Resource) bool {
		return b.in.State.Nodes[h.Name].Ready && slices.Contains(kubeadm.KubeletIdentityIDs(), r.ID)
	})...)
	for _, make := range []func(*desired.Cluster, desired.Host) (hostapi.Resource, error){kubeadm.KubeletConfig, kubeadm.PostUpgrade} {
		r, err := make(b.in.Cluster, h)
		if err != nil {
			return nil, err
		}
		resources = append(resources, r)
	}
	running, err := b.kubeletRuns(h)
	return append(resources, running), err
}

// addons brings CoreDNS and kube-proxy to version and configuration once every control plane is there. kubeadm init does so itself.
//
// One is there before the other is begun, and both before workers are: while the kube-proxy of a node starts anew, that node does not
// learn where pods have gone, so nothing else moves pods meanwhile. A pod of the older CoreDNS answers for some seconds after it was told
// to end, and a kube-proxy that is exchanged in those would send questions to it until long after.
func (b *builder) addons() error {
	if b.in.Via != "" {
		return nil
	}
	at := []string{b.at()}
	update := len(b.updatedControlPlanes) > 0
	// Without a pod network of ours nobody knows when pods can start.
	await := update && b.opensNodes()
	if update {
		if err := b.add(Step{ID: StepCoreDNS, Title: "Apply CoreDNS", Hosts: at, Needs: onAll(StepCPReturn)},
			one(func(h desired.Host) (hostapi.Resource, error) { return kubeadm.CoreDNS(b.in.Cluster, h) })); err != nil {
			return err
		}
	}
	if await {
		b.steps = append(b.steps, Step{ID: StepCoreDNSReady, Title: "See CoreDNS exchanged", Hosts: at, Needs: onAll(StepCoreDNS), When: &When{Steps: []string{StepCoreDNS}},
			Action: AwaitWorkloads{Workloads: []Workload{{"Deployment", kubeSystem, "coredns"}}, Exchanged: true}})
	}
	if update {
		if err := b.add(Step{ID: StepKubeProxy, Title: "Apply kube-proxy", Hosts: at, Needs: onAll(StepCoreDNS, StepCoreDNSReady)},
			one(func(h desired.Host) (hostapi.Resource, error) { return kubeadm.KubeProxy(b.in.Cluster, h) })); err != nil {
			return err
		}
	}
	digest, err := kubeadm.KubeProxyKey(b.in.Cluster)
	if err != nil {
		return err
	}
	proxy := Workload{"DaemonSet", kubeSystem, "kube-proxy"}
	b.steps = append(b.steps, Step{ID: StepKubeProxyStart, Title: "Restart kube-proxy when its configuration changed", Hosts: at, Needs: append(onAll(StepKubeProxy), b.initialised()...),
		Action: Rollout{Workload: proxy, Digest: digest}})
	if await {
		b.steps = append(b.steps, Step{ID: StepKubeProxyReady, Title: "See kube-proxy exchanged", Hosts: at, Needs: onAll(StepKubeProxy, StepKubeProxyStart),
			When: &When{Steps: []string{StepKubeProxy}}, Action: AwaitWorkloads{Workloads: []Workload{proxy}}})
	}
	return nil
}

// unpin lets kubelet's garbage collection have the images that nothing of this version needs.
func (b *builder) unpin() error {
	if len(b.updatedControlPlanes)+len(b.updatedWorkers) == 0 {
		return nil
	}
	return b.add(Step{ID: StepUnpin, Title: "Let go of images of other versions", Hosts: b.joined(), Needs: onAll(StepNodes, StepWorkloads)},
		func(h desired.Host) ([]hostapi.Resource, error) {
			return []hostapi.Resource{images.Pins(b.images(h))}, nil
		})
}

// record notes in the cluster that all of the spec but its hosts was brought about. It comes last.
func (b *builder) record() error {
	if b.in.Via != "" || b.in.SpecDigest == "" {
		return nil
	}
	b.steps = append(b.steps, Step{ID: StepRecord, Title: "Note what was brought about", Hosts: []string{b.at()},
		Needs: onAll(StepConfiguration, StepNodes, StepMembers, StepWorkloads, StepDNS, StepMetrics, StepUnpin, StepKubeProxyStart, StepLeaveNode, StepForget), Action: Record{Spec: b.in.SpecDigest}})
	return nil
}

// joined lists the hosts that are nodes already.
func (b *builder) joined() []string {
	return append(append([]string{}, b.updatedControlPlanes...), b.updatedWorkers...)
}
