package plan

import (
	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/cni"
)

// cluster adds what is applied to the cluster and what must be observed before anything counts as done. These steps run on one
// control plane, through which the API is reached.
func (b *builder) cluster() error {
	c := b.in.Cluster
	at := []string{b.initial}
	var initialised []engine.Need
	if b.initial == "" {
		at = b.controlPlanes[:1]
	} else {
		initialised = []engine.Need{{Step: StepInit, Scope: engine.AnyHost}}
	}
	flannel := c.Network.CNI.Type == v1alpha1.FlannelCNI
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
		if err := b.add(Step{ID: StepPodNetwork, Title: "Open nodes to pods", Hosts: b.all, Needs: append(onSame(StepControlPlane, StepJoin), append(initialised, onAll(StepNetwork)...)...)},
			func(desired.Host) ([]hostapi.Resource, error) { return cni.HostResources(), nil }); err != nil {
			return err
		}
	}
	labels := map[string]map[string]string{}
	for _, h := range c.Hosts {
		labels[h.Name] = h.Labels
	}
	var members []string
	members = append(members, b.controlPlanes...)
	b.steps = append(b.steps,
		Step{ID: StepNodes, Title: "See nodes Ready", Hosts: b.all, Needs: append(onSame(StepControlPlane, StepJoin, StepPodNetwork), initialised...),
			Action: AwaitNode{Version: c.Version, Labels: labels, NeedReady: flannel}},
		Step{ID: StepMembers, Title: "See etcd members healthy", Hosts: at, Needs: append(onAll(StepControlPlane), initialised...), Action: AwaitEtcd{members}},
	)
	if !flannel {
		return nil
	}
	dns, err := c.DNSServiceIP()
	if err != nil {
		return err
	}
	b.steps = append(b.steps,
		Step{ID: StepWorkloads, Title: "See system workloads available", Hosts: at, Needs: onAll(StepNodes, StepNetwork), Action: AwaitWorkloads{workloads}},
		Step{ID: StepDNS, Title: "See cluster DNS answer", Hosts: at, Needs: onAll(StepWorkloads), Action: AwaitDNS{Server: dns, Name: kubernetesHostname + c.Network.DNSDomain + "."}},
	)
	if c.MetricsServer {
		b.steps = append(b.steps, Step{ID: StepMetrics, Title: "See metrics answer", Hosts: at, Needs: onAll(StepWorkloads), Action: AwaitAPIService{metricsAPIService}})
	}
	return nil
}
