package provision

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

const (
	// podBridge is the interface through which a node's pods are reached (the bridge plugin's default name).
	podBridge = "cni0"
	// restartCommand is the command that begins kubelet again on a host.
	restartCommand = "kubelet-restart"
)

// checkRegistered is done when the API has the node.
func (x *execution) checkRegistered(ctx context.Context, host string) (engine.Verdict, error) {
	node, err := x.kube.freshNode(ctx, host)
	if err != nil {
		return unknown(err), nil
	}
	if node == nil {
		return needed("the node is not registered: somebody deleted it"), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}

// applyRegister makes the node and begins kubelet again, which takes the node over and fills it in; one that runs on keeps waiting for a node
// that it has registered before. The node is made with the pod range it had: with another one the network of its host, which is
// set up for that, would refuse every pod.
func (x *execution) applyRegister(ctx context.Context, a plan.Register, host string, report func(string)) error {
	objects, err := x.kube.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: host, Labels: a.Labels[host]},
		Spec:       corev1.NodeSpec{Taints: a.Taints[host]},
	}
	taken := map[string]bool{}
	if err := x.kube.eachNode(ctx, func(n *corev1.Node) { taken[n.Spec.PodCIDR] = true }); err != nil {
		return engine.Retryable(err)
	}
	if own := podRange(x.facts[host], x.desired.Network.PodCIDR); own != "" && !taken[own] {
		node.Spec.PodCIDR, node.Spec.PodCIDRs = own, []string{own}
	}
	if err := objects.Create(ctx, node); err != nil && !apierrors.IsAlreadyExists(err) {
		return engine.Retryable(fmt.Errorf("register node %s: %w", host, err))
	}
	x.kube.forgetNodes()
	report("restart kubelet")
	helper, err := x.sessions.leased(ctx, host)
	if err != nil {
		return err
	}
	restart := hostapi.Resource{ID: "command/" + restartCommand, Command: &hostapi.Command{
		Name: restartCommand, Key: fmt.Sprintf("%s-%d", x.request.Operation.Name, x.request.Attempt),
		// Where it lies on every machine with systemd, merged /usr or not.
		Argv: []string{"/bin/systemctl", "restart", "kubelet.service"},
	}}
	if _, err := helper.Apply(ctx, hostapi.ApplyRequest{Step: plan.StepRegister, Owner: x.owner(), Resources: []hostapi.Resource{restart}}, func(hostapi.Progress) {}); err != nil {
		return classify(err)
	}
	return nil
}

// podRange is the range of pod addresses that a host's network is set up for, "" when it is not, or lies outside the cluster's.
func podRange(facts *hostapi.Facts, cluster string) string {
	whole, err := netip.ParsePrefix(cluster)
	if err != nil || facts == nil {
		return ""
	}
	for _, i := range facts.Interfaces {
		if i.Name != podBridge {
			continue
		}
		for _, a := range i.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && whole.Contains(p.Addr()) && p.Bits() > whole.Bits() {
				return p.Masked().String()
			}
		}
	}
	return ""
}

// awaitStopped is done once the node is not Ready, or not there. The API takes 40 seconds to notice that a kubelet is gone.
func (x *execution) awaitStopped(ctx context.Context, host string) (engine.Verdict, error) {
	node, err := x.kube.node(ctx, host)
	switch {
	case err != nil:
		return unknown(err), nil
	case node != nil && notReady(node) == "":
		return unknown(fmt.Errorf("node %s still counts as Ready, though its host was reset by hand: when that does not end within a minute, stop kubelet there", host)), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}
