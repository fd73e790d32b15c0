package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/kubectl/pkg/drain"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// dnsPatience is how long a drain waits for the cluster's DNS to be Ready elsewhere. kubeadm's CoreDNS needs a few seconds.
	dnsPatience = time.Minute
	dnsGlance   = 500 * time.Millisecond
)

// dnsPods are the pods of kubeadm's CoreDNS (kubeadm, phases/addons/dns).
var dnsPods = []client.ListOption{client.InNamespace("kube-system"), client.MatchingLabels{"k8s-app": "kube-dns"}}

// moveDNS moves the cluster's DNS off a node so that one of its pods is Ready all the time. No PodDisruptionBudget guards kubeadm's
// CoreDNS, and one of ours would stop the drain of an only node for ever. Nodes that are drained one soon after the other would
// otherwise take away the one pod that is left while the other's successor starts.
func (k *kube) moveDNS(ctx context.Context, helper *drain.Helper, host string, report func(string)) error {
	objects, err := k.objects()
	if err != nil {
		return err
	}
	elsewhere := false
	if err := k.eachNode(ctx, func(n *corev1.Node) { elsewhere = elsewhere || takesPods(n, host) }); err != nil || !elsewhere {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, dnsGlance, dnsPatience, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := objects.List(ctx, &pods, dnsPods...); err != nil {
			return false, nil //nolint:nilerr // while control planes are exchanged an answer may be missing
		}
		leave, done := dnsToLeave(pods.Items, host)
		if done || len(leave) == 0 {
			return done, nil
		}
		return false, helper.DeleteOrEvictPods(leave)
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		report(fmt.Sprintf("no DNS pod outside of %s is Ready after %s; it is drained all the same", host, dnsPatience))
		return nil
	}
	return err
}

// takesPods says whether a node is another one than this, and a pod could go there.
func takesPods(n *corev1.Node, but string) bool {
	return n.Name != but && !n.Spec.Unschedulable && notReady(n) == ""
}

// dnsToLeave lists the DNS pods that may leave a node now; done when none is left there that anybody could miss.
func dnsToLeave(pods []corev1.Pod, host string) (leave []corev1.Pod, done bool) {
	var here []corev1.Pod
	ready, coming := 0, 0
	for i := range pods {
		pod := &pods[i]
		switch {
		case pod.DeletionTimestamp != nil:
		case pod.Spec.NodeName == host:
			here = append(here, *pod)
		case isReady(pod):
			ready++
		default:
			coming++
		}
	}
	switch {
	case len(here) == 0, ready > 0, coming == 0 && len(here) == 1:
		return nil, true // the drain takes the rest
	case coming == 0:
		return here[:1], false
	}
	return nil, false
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
