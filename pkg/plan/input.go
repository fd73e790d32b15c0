package plan

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/pki"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// Input is everything a plan is made from.
type Input struct {
	Cluster *desired.Cluster
	// Bundle is the name of the bundle that the cluster's release is of.
	Bundle string
	// Facts by host, for every host of the cluster.
	Facts map[string]*hostapi.Facts
	// Flannel and MetricsServer are the objects of the bundle's manifests.
	Flannel, MetricsServer []*unstructured.Unstructured
	// State of the running cluster.
	State State
	// Leaving lists the hosts that go.
	Leaving []Leaving
	// Scope names the hosts that are looked at; nil means all. Hosts that are known to be as wanted can be left out, so that adding one
	// to a large cluster does not touch the others.
	Scope []string
	// Via is the control plane through which the cluster is used when Scope leaves all of them out.
	Via string
	// LeftOut names hosts outside Scope that nobody could reach. What only comes about with them is not awaited.
	LeftOut []string
	// SpecDigest identifies everything of the spec but which hosts there are; it is kept in the cluster once it was brought about.
	SpecDigest string
	// Backup is the snapshot to take before the control plane is changed; without a recipient none is taken.
	Backup hostapi.Backup
}

// Material is signed for one host, while a step is carried out that the host needs it for.
type Material struct {
	// Client is the identity a joining kubelet starts with.
	Client pki.KeyPair
	// Serving is kubelet's serving certificate.
	Serving pki.KeyPair
}

// initialHost decides which control plane runs kubeadm init. It is the one that did so, or was about to, if there is one; none when
// the cluster lives but that host has gone; otherwise the first of the spec.
func initialHost(in Input) (name string, live bool) {
	controlPlanes := in.Cluster.ControlPlanes()
	for _, h := range controlPlanes {
		facts := in.Facts[h.Name]
		if facts == nil {
			continue
		}
		if slices.Contains(facts.Receipts, kubeadm.InitCommand) || slices.Contains(facts.Runs, kubeadm.InitCommand) {
			return h.Name, slices.Contains(facts.Receipts, kubeadm.InitCommand)
		}
	}
	for _, h := range controlPlanes {
		if facts := in.Facts[h.Name]; facts != nil && slices.Contains(facts.Receipts, kubeadm.JoinEtcdCommand) {
			return "", true
		}
	}
	if len(in.State.Nodes) > 0 {
		return "", true
	}
	return controlPlanes[0].Name, false
}
