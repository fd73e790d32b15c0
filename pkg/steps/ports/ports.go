// Package ports is the one list of what listens on nodes and who talks to whom: preflight checks hosts against it, and
// docs/requirements.md shows it.
package ports

import (
	"strconv"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
)

// Protocols as they are written in documents.
const (
	TCP = "TCP"
	UDP = "UDP"
)

// Where a port is reached from.
const (
	// Nodes are all hosts of the cluster, and pods on them.
	Nodes = "all nodes"
	// ControlPlanes are the hosts of the control plane.
	ControlPlanes = "control planes"
	// Users are whoever uses the API, and the machine that Kubewright runs on.
	Users = "all nodes, users; a manager, which goes through SSH where it cannot"
	// Runner is the machine that Kubewright runs on, or the bastion before it.
	Runner = "the machine Kubewright runs on, or its bastion"
	// Self is the host itself: the port is on its loopback, and no firewall between hosts matters.
	Self = "the host itself"
)

// Port is a port that something on a node listens on.
type Port struct {
	Number   int
	Protocol string
	// On says that only control planes have it.
	ControlPlane bool
	// From is who connects to it: Nodes, ControlPlanes, Users, Runner or Self.
	From string
	// Program that listens.
	Program string
	// Kernel says that no process holds the port, so that it cannot be seen in use.
	Kernel bool
}

// Name is like 6443/TCP.
func (p Port) Name() string { return strconv.Itoa(p.Number) + "/" + p.Protocol }

// Local reports whether only the host itself connects to it.
func (p Port) Local() bool { return p.From == Self }

// SSH is what Kubewright reaches hosts by, unless the Host says another.
const SSH = 22

// vxlan is where flannel's backend vxlan exchanges packets of pods.
const vxlan = 8472

// All lists every port of a cluster with its defaults, as kubeadm (constants.go), etcd, kubelet and flannel have them. The ports of the
// endpoint and of flannel's backend depend on the cluster; see Of.
func All() []Port {
	return []Port{
		{Number: SSH, Protocol: TCP, From: Runner, Program: "sshd"},
		{Number: desired.APIServerPort, Protocol: TCP, ControlPlane: true, From: Users, Program: "kube-apiserver"},
		{Number: desired.EtcdPort, Protocol: TCP, ControlPlane: true, From: ControlPlanes, Program: "etcd, for clients"},
		{Number: 2380, Protocol: TCP, ControlPlane: true, From: ControlPlanes, Program: "etcd, for other members"},
		{Number: 10250, Protocol: TCP, From: Nodes, Program: "kubelet"},
		{Number: vxlan, Protocol: UDP, From: Nodes, Program: "flannel, with the backend vxlan", Kernel: true},
		{Number: 10256, Protocol: TCP, From: "load balancers of Services, if there are any", Program: "kube-proxy, its health"},
		{Number: 10257, Protocol: TCP, ControlPlane: true, From: Self, Program: "kube-controller-manager"},
		{Number: 10259, Protocol: TCP, ControlPlane: true, From: Self, Program: "kube-scheduler"},
		{Number: desired.ProxyPort, Protocol: TCP, From: Self, Program: "the local proxy to API servers, with the endpoint LocalProxy"},
		{Number: desired.EtcdProxyPort, Protocol: TCP, ControlPlane: true, From: Self, Program: "the local proxy to etcd"},
		{Number: 2381, Protocol: TCP, ControlPlane: true, From: Self, Program: "etcd, its health and metrics"},
		{Number: 10248, Protocol: TCP, From: Self, Program: "kubelet, its health"},
		{Number: 10249, Protocol: TCP, From: Self, Program: "kube-proxy, its metrics"},
	}
}

// Of lists the ports of a host of a cluster, SSH left out.
func Of(c *desired.Cluster, h desired.Host) []Port {
	var list []Port
	for _, p := range All() {
		switch {
		case p.Number == SSH, p.ControlPlane && !h.IsControlPlane():
			continue
		case p.Number == vxlan && (c.Network.CNI.Type != v1alpha1.FlannelCNI || c.Network.CNI.FlannelBackend != "vxlan"):
			continue
		case p.Number == desired.ProxyPort:
			if c.Endpoint.Type != v1alpha1.LocalProxyEndpoint {
				continue
			}
			p.Number = c.Endpoint.Port
		}
		list = append(list, p)
	}
	return list
}
