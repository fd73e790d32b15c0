package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// signed are a step's resources as they are applied to a host. What the host lacks of what is signed is signed now; the rest of it is left
// out, so that no host is sent a key that it has no use for.
func (b *hostSteps) signed(ctx context.Context, s plan.Step, host string, report func(string)) ([]hostapi.Resource, error) {
	if s.Sign == nil {
		return s.Resources[host], nil
	}
	b.mu.Lock()
	verdicts := b.latest[s.ID][host]
	b.mu.Unlock()
	var needed []string
	for _, v := range verdicts {
		if id := resourceID(v); v.State != hostapi.Done && slices.Contains(s.Signed, id) {
			needed = append(needed, id)
		}
	}
	resources := s.Resources[host]
	if len(needed) > 0 {
		material, err := b.sign(ctx, host, needed, report)
		if err != nil {
			return nil, err
		}
		if resources, err = s.Sign(host, material); err != nil {
			return nil, engine.Permanent(err)
		}
	}
	return slices.DeleteFunc(slices.Clone(resources), func(r hostapi.Resource) bool {
		return slices.Contains(s.Signed, r.ID) && !slices.Contains(needed, r.ID)
	}), nil
}

// sign makes what a host lacks of its kubelet's identities.
func (x *execution) sign(ctx context.Context, host string, needed []string, report func(string)) (plan.Material, error) {
	i := slices.IndexFunc(x.desired.Hosts, func(h desired.Host) bool { return h.Name == host })
	if i < 0 {
		return plan.Material{}, engine.Permanent(fmt.Errorf("host %s is not of the cluster", host))
	}
	h, now := x.desired.Hosts[i], x.kube.now()
	var material plan.Material
	var err error
	if material.Serving, err = kubeadm.KubeletServing(x.desired, h, now); err != nil {
		return material, fmt.Errorf("host %s: sign kubelet's serving certificate: %w", host, err)
	}
	if !slices.Contains(needed, "file"+layout.KubeletClientPEM) {
		return material, nil
	}
	if err := x.mayIdentify(ctx, host, report); err != nil {
		return material, err
	}
	if material.Client, err = kubeadm.KubeletClient(x.desired, h, now); err != nil {
		return material, fmt.Errorf("host %s: sign kubelet's identity: %w", host, err)
	}
	return material, nil
}

const (
	// silentAfter is how long the node of a host whose kubelet has just gone may still count as Ready: kube-controller-manager gives it 50 s
	// (--node-monitor-grace-period), and looks every 5.
	silentAfter = 90 * time.Second
	// silentGlance is how often that is looked at.
	silentGlance = 2 * time.Second
)

// mayIdentify reports whether a host may be given the identity of its node: not while the cluster has that node in service. A host that
// shows nothing of having joined, and whose node is Ready all the same, hides what is on it, or another machine is that node.
func (x *execution) mayIdentify(ctx context.Context, host string, report func(string)) error {
	if !x.live() {
		return nil
	}
	told := false
	err := wait.PollUntilContextTimeout(ctx, silentGlance, x.silentAfter, true, func(ctx context.Context) (bool, error) {
		node, err := x.kube.freshNode(ctx, host)
		if err != nil {
			return false, engine.Retryable(fmt.Errorf("host %s: whether its node is in service is not known, so it is given no identity: %w", host, err))
		}
		if node == nil || notReady(node) != "" {
			return true, nil
		}
		if !told {
			report("its node is Ready, though the host shows no identity of it: waiting for the node to fall silent")
			told = true
		}
		return false, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return engine.NeedsHuman(engine.WithDetail(fmt.Errorf(
			"host %s shows no sign of having joined, and the cluster has a Ready node of that name, so it is given no identity: find out which machine "+
				"that node is; if that machine is gone or was cleaned by hand, run kubectl delete node %s, and then the operation again", host, host),
			engine.Detail{Reason: "NodeInService"}))
	}
	return err
}
