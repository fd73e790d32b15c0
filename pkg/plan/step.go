// Package plan turns a desired cluster and a snapshot of its hosts into the graph of steps that brings the cluster about. It is
// pure: no I/O, no clock, no randomness. What it returns is what dry-run prints and what the executor binds to hosts.
package plan

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/dns"
)

// Step is one node of the graph. What it does is either Resources (on hosts, through the helper) or Action (in the cluster,
// through its API).
type Step struct {
	// ID is stable over releases, for example control-plane/init.
	ID string
	// Title for people.
	Title string
	// Hosts it runs on, in order.
	Hosts []string
	Needs []engine.Need
	// Exclusive names a group of steps of which one runs at a time, on one host.
	Exclusive string
	// Lane of the graph it is part of.
	Lane string
	// When limits the step to runs in which something else has to be done; nil means always.
	When *When
	// Resources by host.
	Resources map[string][]hostapi.Resource
	// Signed names the resources whose content is signed when the step is carried out on a host that lacks them, and never before: no plan
	// holds a private key. Sign renders the step's resources for a host with what was signed; nil for steps without any.
	Signed []string
	Sign   func(host string, material Material) ([]hostapi.Resource, error)
	// Action is nil for steps made of resources.
	Action Action
	// Guard is asked before anything is changed.
	Guard Guard
}

// Graph is the steps and the lanes they are in.
type Graph struct {
	Steps []Step
	Lanes []engine.Lane
}

// When names steps made of resources of which at least one must have been found needed, at the start of the run, for the step that has
// the When to be needed itself. So nodes are drained, and snapshots taken, only when there is a reason.
type When struct {
	Steps []string
	// SameHost looks at the step's own host only.
	SameHost bool
	// Resources limits the reasons to resources with these IDs; none means any.
	Resources []string
}

// Action is something brought about or observed through the cluster's API.
type Action interface{ action() }

// ApplyObjects applies objects on the server side under one field manager.
type ApplyObjects struct{ Objects []*unstructured.Unstructured }

// AwaitNode waits until a host's node is Ready at its version, and keeps its labels and taints as its pool wants them.
type AwaitNode struct {
	// Version of kubelet, Labels and Taints by host.
	Version map[string]string
	Labels  map[string]map[string]string
	Taints  map[string][]corev1.Taint
	// NeedReady is false when nobody installs a pod network, without which no node becomes Ready.
	NeedReady bool
}

// Register brings the node of a host that has joined back into the cluster that somebody deleted there. A kubelet that runs does not do so by
// itself.
type Register struct {
	// Labels and Taints by host.
	Labels map[string]map[string]string
	Taints map[string][]corev1.Taint
}

// AwaitStopped waits until the node of a host whose kubelet was taken away is not Ready any more: kubeadm joins no host that is a Ready node.
type AwaitStopped struct{}

// Configure keeps what kubeadm and every kubelet read out of the cluster: its ClusterConfiguration and KubeletConfiguration. What
// kubeadm itself has just written is taken over as it is. Forward is where cluster DNS forwards to; nil leaves that as it is.
type Configure struct {
	Cluster, Kubelet map[string]any
	Forward          *dns.Forwarding
}

// Record notes in the cluster which spec was brought about, its hosts left out.
type Record struct{ Spec string }

// Withdraw deletes ClusterRoleBindings: rights that nobody needs and that somebody could misuse.
type Withdraw struct{ ClusterRoleBindings []string }

// Rollout restarts the pods of a DaemonSet when the digest of what they were started with is another one.
type Rollout struct {
	Workload Workload
	Digest   string
}

// Drain makes a node unschedulable and evicts its pods. Policy holds what happens when that takes too long. Gone is set for a host that
// leaves: a node that is not there, or not Ready, is drained by definition.
type Drain struct {
	Policy v1alpha1.Drain
	Gone   bool
}

// Return waits until a node is Ready with its kubelet at a version, and makes it schedulable again if this project cordoned it.
type Return struct {
	// Version of kubelet by host.
	Version map[string]string
	// APIServer is the version the host's own API server has to answer with; empty on workers.
	APIServer string
}

// RemoveMember takes a host's member out of etcd, after handing on the leadership if it has it. A host that joins has it done only while
// its machine does not hold the member's data.
type RemoveMember struct{}

// ResetHost removes from a machine what its ledger says is ours. What could not be removed does not stop the cluster from forgetting
// the machine, but is reported.
type ResetHost struct{}

// DeleteNode removes a host's node from the cluster.
type DeleteNode struct{}

// AwaitEtcd waits until exactly these members vote and are healthy. How those of LeftOut are is no matter: their hosts are out of reach.
type AwaitEtcd struct{ Members, LeftOut []string }

// Workload names a Deployment or DaemonSet.
type Workload struct{ Kind, Namespace, Name string }

// AwaitWorkloads waits until every replica of the workloads is available.
type AwaitWorkloads struct {
	Workloads []Workload
	// Exchanged waits also until none of the pods that were replaced answers any more.
	Exchanged bool
}

// AwaitDNS waits until the cluster's DNS answers for a name, asked from a node over its Service address.
type AwaitDNS struct{ Server, Name string }

// AwaitAPIService waits until an aggregated API is available.
type AwaitAPIService struct{ Name string }

func (ApplyObjects) action()    {}
func (Configure) action()       {}
func (Register) action()        {}
func (AwaitStopped) action()    {}
func (Record) action()          {}
func (Withdraw) action()        {}
func (Rollout) action()         {}
func (Drain) action()           {}
func (Return) action()          {}
func (RemoveMember) action()    {}
func (ResetHost) action()       {}
func (DeleteNode) action()      {}
func (AwaitNode) action()       {}
func (AwaitEtcd) action()       {}
func (AwaitWorkloads) action()  {}
func (AwaitDNS) action()        {}
func (AwaitAPIService) action() {}

// Guard names a condition that must hold before a step changes anything.
type Guard string

const (
	// GuardNotInitialised refuses when another control plane already holds etcd data.
	GuardNotInitialised Guard = "NotInitialised"
	// GuardEtcdCanGrow refuses unless every etcd member is healthy and quorum holds on the membership with one more.
	GuardEtcdCanGrow Guard = "EtcdCanGrow"
	// GuardEtcdCanShrink refuses unless quorum holds, with members that are well, on the membership without this one.
	GuardEtcdCanShrink Guard = "EtcdCanShrink"
	// GuardEtcdCanRestart refuses unless the other members are a majority that is well.
	GuardEtcdCanRestart Guard = "EtcdCanRestart"
	// GuardStaticPods is GuardEtcdCanRestart, and refuses while a webhook that cannot answer has to agree to pods of the control plane.
	GuardStaticPods Guard = "StaticPodsCanBeExchanged"
)

// Lanes of the graph.
const (
	LaneStaticPods    = "static-pods"
	LaneControlPlanes = "control-planes"
	LaneWorkers       = "workers"
	LaneLeaving       = "leaving"
)

// IDs of the steps.
const (
	StepConnect        = "host/connect"
	StepPreflight      = "host/preflight"
	StepContent        = "content/blobs"
	StepTools          = "host/tools"
	StepKernel         = "host/kernel"
	StepAuthorities    = "control-plane/authorities"
	StepContainerd     = "runtime/containerd"
	StepImages         = "runtime/images"
	StepOtherImages    = "runtime/other-images"
	StepKubelet        = "node/kubelet"
	StepProxy          = "node/apiserver-proxy"
	StepRegister       = "node/register"
	StepStopped        = "node/stopped"
	StepAccess         = "cluster/access"
	StepSnapshot       = "etcd/snapshot"
	StepConfiguration  = "cluster/configuration"
	StepCPUpdate       = "control-plane/update"
	StepCPDrain        = "control-plane/drain"
	StepCPNode         = "control-plane/node"
	StepCPReturn       = "control-plane/return"
	StepWithdraw       = "cluster/bootstrap-rights"
	StepCoreDNS        = "cluster/coredns"
	StepCoreDNSReady   = "cluster/coredns-ready"
	StepKubeProxy      = "cluster/kube-proxy"
	StepKubeProxyStart = "cluster/kube-proxy-restart"
	StepKubeProxyReady = "cluster/kube-proxy-ready"
	StepWorkerDrain    = "worker/drain"
	StepWorkerUpdate   = "worker/update"
	StepWorkerReturn   = "worker/return"
	StepForget         = "leave/dead-member"
	StepLeaveDrain     = "leave/drain"
	StepLeaveMember    = "leave/member"
	StepLeaveReset     = "leave/reset"
	StepLeaveNode      = "leave/node"
	StepRecord         = "cluster/record"
	StepUnpin          = "host/unpin-images"
	StepInit           = "control-plane/init"
	StepPrepare        = "control-plane/prepare"
	StepEtcd           = "control-plane/etcd"
	StepControlPlane   = "control-plane/join"
	StepJoin           = "node/join"
	StepNetwork        = "cluster/network"
	StepMetricsServer  = "cluster/metrics-server"
	StepPodNetwork     = "node/pod-network"
	StepNodes          = "cluster/nodes"
	StepMembers        = "cluster/etcd-members"
	StepWorkloads      = "cluster/workloads"
	StepDNS            = "cluster/dns"
	StepMetrics        = "cluster/metrics"
	membershipGroup    = "etcd-membership"
	metricsAPIService  = "v1beta1.metrics.k8s.io"
	kubeSystem         = "kube-system"
	flannelNamespace   = "kube-flannel"
	kubernetesHostname = "kubernetes.default.svc."
)
