package provision

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

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
	// reportLimit bounds the wait for a kubelet to fill in its node; it does so every 10 seconds (KubeletConfiguration, nodeStatusUpdateFrequency).
	reportLimit = time.Minute
)

// checkRegistered is done when the API has the node, and its kubelet has filled it in: one that starts while its node says that there is room for
// no pods at all refuses every pod, those of the control plane among them.
func (x *execution) checkRegistered(ctx context.Context, host string) (engine.Verdict, error) {
	node, err := x.kube.freshNode(ctx, host)
	switch {
	case err != nil:
		return unknown(err), nil
	case node == nil:
		return needed("the node is not registered: somebody deleted it"), nil
	case len(node.Status.Allocatable) == 0:
		return needed("the node is there, and its kubelet has not filled it in"), nil
	}
	return engine.Verdict{State: engine.Done}, nil
}

// applyRegister makes the node, for the kubelet that runs to fill in: it registers a node when it starts and not again, and restarting it would
// do more. The node is made with the pod range it had: with another one the network of its host, which is set up for that, would refuse every
// pod. A kubelet that does not run is started instead, and registers the node itself.
func (x *execution) applyRegister(ctx context.Context, a plan.Register, host string, report func(string)) error {
	runs, err := x.kubeletRuns(ctx, host)
	if err != nil {
		return err
	}
	if !runs {
		report("start kubelet")
		if err := x.startKubelet(ctx, host); err != nil {
			return err
		}
	} else if err := x.makeNode(ctx, a, host); err != nil {
		return engine.Retryable(err)
	}
	x.kube.forgetNodes()
	report("wait for kubelet to fill in its node")
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if verdict, err := x.checkRegistered(ctx, host); err == nil && verdict.State == engine.Done {
			return x.restartAgents(ctx, host)
		}
		select {
		case <-ctx.Done():
			return engine.Retryable(fmt.Errorf("kubelet of host %s has not filled in its node within %s: see `journalctl -u kubelet` there", host, reportLimit))
		case <-tick.C:
		}
	}
}

// restartAgents has the agents of a node begin again that are there for the node itself: its pod network above all, which notes on the node how it
// is reached, once, when it starts. They are pods of DaemonSets in the host's network, and come back at once.
func (x *execution) restartAgents(ctx context.Context, host string) error {
	clientset, err := x.kube.typed()
	if err != nil {
		return engine.Retryable(err)
	}
	pods, err := clientset.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + host})
	if err != nil {
		return engine.Retryable(fmt.Errorf("list the pods of node %s: %w", host, err))
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.Kind != "DaemonSet" || !pod.Spec.HostNetwork {
			continue
		}
		if err := clientset.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return engine.Retryable(fmt.Errorf("restart pod %s/%s: %w", pod.Namespace, pod.Name, err))
		}
	}
	return nil
}

// makeNode creates a node as kubelet would (k8s.io/kubernetes, Kubelet.initialNode), but for its status.
func (x *execution) makeNode(ctx context.Context, a plan.Register, host string) error {
	objects, err := x.kube.objects()
	if err != nil {
		return err
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: host, Labels: map[string]string{corev1.LabelHostname: host},
			Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
		},
		Spec: corev1.NodeSpec{Taints: a.Taints[host]},
	}
	maps.Copy(node.Labels, a.Labels[host])
	if os, arch, ok := strings.Cut(x.facts[host].Platform, "/"); ok {
		for _, prefix := range []string{"kubernetes.io/", "beta.kubernetes.io/"} {
			node.Labels[prefix+"os"], node.Labels[prefix+"arch"] = os, arch
		}
	}
	taken := map[string]bool{}
	if err := x.kube.eachNode(ctx, func(n *corev1.Node) { taken[n.Spec.PodCIDR] = true }); err != nil {
		return err
	}
	if own := podRange(x.facts[host], x.desired.Network.PodCIDR); own != "" && !taken[own] {
		node.Spec.PodCIDR, node.Spec.PodCIDRs = own, []string{own}
	}
	if err := objects.Create(ctx, node); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register node %s: %w", host, err)
	}
	return nil
}

// kubeletUnitOf is kubelet's unit as it is, started if need be and otherwise left alone.
func kubeletUnitOf() hostapi.Resource {
	return hostapi.Resource{ID: kubeletUnit, Unit: &hostapi.Unit{Name: "kubelet.service", Enabled: true, Active: true}}
}

// kubeletRuns asks a host whether its kubelet runs.
func (x *execution) kubeletRuns(ctx context.Context, host string) (bool, error) {
	helper, err := x.sessions.helper(ctx, host)
	if err != nil {
		return false, err
	}
	verdicts, err := helper.Check(ctx, hostapi.CheckRequest{Step: plan.StepRegister, Resources: []hostapi.Resource{kubeletUnitOf()}})
	if err != nil {
		return false, classify(err)
	}
	return len(verdicts) == 1 && verdicts[0].Unit != nil && verdicts[0].Unit.Since > 0, nil
}

func (x *execution) startKubelet(ctx context.Context, host string) error {
	helper, err := x.sessions.leased(ctx, host)
	if err != nil {
		return err
	}
	request := hostapi.ApplyRequest{Step: plan.StepRegister, Owner: x.owner(), Resources: []hostapi.Resource{kubeletUnitOf()}}
	if _, err := helper.Apply(ctx, request, func(hostapi.Progress) {}); err != nil {
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
