package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/access"
	"github.com/kubewright/kubewright/pkg/steps/cni"
)

// cluster adds what is applied to the cluster and what must be observed before anything counts as done. These steps run on one
// control plane, through which the API is reached.
func (b *builder) cluster() error {
	c := b.in.Cluster
	at := []string{b.at()}
	initialised := append(onAll(StepCPReturn, StepKubeProxy), b.initialised()...)
	flannel := b.opensNodes()
	var workloads []Workload
	if flannel {
		if err := cni.SetFlannel(b.in.Flannel, c.Network, c.Endpoint); err != nil {
			return err
		}
		b.steps = append(b.steps, Step{ID: StepNetwork, Title: "Apply the pod network", Hosts: at, Needs: initialised, Action: ApplyObjects{b.in.Flannel}})
		workloads = append(workloads, Workload{"DaemonSet", kubeSystem, "kube-proxy"}, Workload{"DaemonSet", flannelNamespace, "kube-flannel-ds"}, Workload{"Deployment", kubeSystem, "coredns"})
	}
	if c.MetricsServer {
		b.steps = append(b.steps, Step{ID: StepMetricsServer, Title: "Apply metrics-server", Hosts: at, Needs: initialised, Action: ApplyObjects{b.in.MetricsServer}})
		if flannel {
			workloads = append(workloads, Workload{"Deployment", kubeSystem, "metrics-server"})
		}
	}
	if flannel {
		if err := b.add(Step{ID: StepPodNetwork, Title: "Open nodes to pods", Hosts: b.all, Needs: append(onSame(StepTools, StepOtherImages, StepControlPlane, StepJoin), append(initialised, onAll(StepNetwork, StepConfiguration)...)...)},
			func(h desired.Host) ([]hostapi.Resource, error) {
				// Joining has started kubelet by now; what with is written down, so that a change of it is noticed later.
				running, err := b.kubeletRuns(h)
				if slices.Contains(b.fresh, h.Name) {
					return append(cni.HostResources(), running), err
				}
				return cni.HostResources(), nil
			}); err != nil {
			return err
		}
	}
	if b.in.Via == "" {
		// An upgrade of this program alone changes nothing: a cluster of an earlier version gets it with the next change of its control plane.
		b.steps = append(b.steps, Step{ID: StepAccess, Title: "Grant what looking at the cluster needs", Hosts: at, Needs: initialised,
			When: &When{Steps: []string{StepInit, StepCPUpdate, StepPrepare}}, Action: ApplyObjects{access.Health()}})
	}
	node := AwaitNode{Version: map[string]string{}, Labels: map[string]map[string]string{}, Taints: map[string][]corev1.Taint{}, NeedReady: flannel}
	for _, h := range c.Hosts {
		node.Version[h.Name], node.Labels[h.Name], node.Taints[h.Name] = h.KubeletVersion, h.Labels, h.Taints
	}
	b.steps = append(b.steps,
		Step{ID: StepNodes, Title: "See nodes Ready", Hosts: b.all, Needs: append(onSame(StepControlPlane, StepJoin, StepPodNetwork, StepCPReturn, StepWorkerReturn), initialised...),
			Action: node},
		Step{ID: StepMembers, Title: "See etcd members healthy", Hosts: at, Needs: append(onAll(StepControlPlane, StepForget, StepLeaveMember), initialised...), Action: AwaitEtcd{Members: b.controlPlanes, LeftOut: b.in.LeftOut}},
	)
	if !flannel {
		return nil
	}
	server, err := c.DNSServiceIP()
	if err != nil {
		return err
	}
	// Some of their pods belong on every node, and those of a node that is out of reach are not there however long one waits. Those that were
	// on a node that leaves have to come up elsewhere first.
	if len(b.in.LeftOut) == 0 {
		b.steps = append(b.steps, Step{ID: StepWorkloads, Title: "See system workloads available", Hosts: at, Needs: onAll(StepNodes, StepNetwork, StepLeaveNode), Action: AwaitWorkloads{Workloads: workloads}})
	}
	b.steps = append(b.steps,
		Step{ID: StepDNS, Title: "See cluster DNS answer", Hosts: at, Needs: onAll(StepWorkloads), Action: AwaitDNS{Server: server, Name: kubernetesHostname + c.Network.DNSDomain + "."}},
	)
	if c.MetricsServer {
		b.steps = append(b.steps, Step{ID: StepMetrics, Title: "See metrics answer", Hosts: at, Needs: onAll(StepWorkloads), Action: AwaitAPIService{metricsAPIService}})
	}
	return nil
}
