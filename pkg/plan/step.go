// Package plan turns a desired cluster and a snapshot of its hosts into the graph of steps that brings the cluster about. It is
// pure: no I/O, no clock, no randomness. What it returns is what dry-run prints and what the executor binds to hosts.
package plan

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
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
	// Resources by host.
	Resources map[string][]hostapi.Resource
	// Action is nil for steps made of resources.
	Action Action
	// Guard is asked before anything is changed.
	Guard Guard
}

// Action is something brought about or observed through the cluster's API.
type Action interface{ action() }

// ApplyObjects applies objects on the server side under one field manager.
type ApplyObjects struct{ Objects []*unstructured.Unstructured }

// AwaitNode waits until a host's node is Ready at a version, and keeps its labels.
type AwaitNode struct {
	Version string
	// Labels by host.
	Labels map[string]map[string]string
	// NeedReady is false when nobody installs a pod network, without which no node becomes Ready.
	NeedReady bool
}

// AwaitEtcd waits until exactly these members vote and are healthy.
type AwaitEtcd struct{ Members []string }

// Workload names a Deployment or DaemonSet.
type Workload struct{ Kind, Namespace, Name string }

// AwaitWorkloads waits until every replica of the workloads is available.
type AwaitWorkloads struct{ Workloads []Workload }

// AwaitDNS waits until the cluster's DNS answers for a name, asked from a node over its Service address.
type AwaitDNS struct{ Server, Name string }

// AwaitAPIService waits until an aggregated API is available.
type AwaitAPIService struct{ Name string }

func (ApplyObjects) action()    {}
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
	StepKubelet        = "node/kubelet"
	StepProxy          = "node/apiserver-proxy"
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
