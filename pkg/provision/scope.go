package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
)

// narrow leaves out hosts that need not be looked at: when only workers come and go, and everything else of the spec was brought about
// before, the cluster's other nodes are as they were. So adding a worker costs the same in a cluster of 4 as of 40. The control plane
// through which the cluster is used is connected to by this. Anything that cannot be told leaves all hosts in.
func (x *execution) narrow(ctx context.Context, outcome *Outcome) error {
	if x.request.Operation.Spec.Type != v1alpha1.ScaleOperation || slices.ContainsFunc(x.leaving, func(l leavingHost) bool { return l.ControlPlane }) {
		return nil
	}
	via := ""
	for _, h := range x.desired.ControlPlanes() {
		if _, err := x.run(ctx, []engine.Step{x.connectStep([]string{h.Name}, outcome)}, nil, engine.ModeApply); err == nil {
			via = h.Name
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if via == "" || !x.live() {
		return nil
	}
	digest, err := x.kube.recorded(ctx)
	if err != nil || digest != x.specDigest {
		return nil //nolint:nilerr // what cannot be read is looked at on all hosts
	}
	hosts, done := map[string]desired.Host{}, map[string]bool{}
	for _, h := range x.desired.Hosts {
		hosts[h.Name] = h
	}
	if err := x.kube.eachNode(ctx, func(n *corev1.Node) {
		if h, ok := hosts[n.Name]; ok && finished(n, h) {
			done[n.Name] = true
		}
	}); err != nil {
		return nil //nolint:nilerr // as above
	}
	scope := []string{}
	for _, h := range x.desired.Hosts {
		if done[h.Name] {
			continue
		}
		if h.IsControlPlane() {
			return nil
		}
		scope = append(scope, h.Name)
	}
	x.scope, x.via = scope, via
	return nil
}

// controlPlaneLabel is what kubeadm puts on a node as the last part of joining it as a control plane.
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// finished tells that a node has been brought to the end of its joining, so that nothing on its host is left to do: a node registers long
// before that, and whoever joined it may have been cut off. A node whose kubelet has fallen silent is not being joined; it is the business
// of those who watch the cluster. One that an operation drained and did not see back in service is not finished either.
func finished(node *corev1.Node, h desired.Host) bool {
	if node.Status.NodeInfo.KubeletVersion != h.KubeletVersion {
		return false
	}
	if node.Annotations[v1alpha1.CordonedByAnnotation] != "" {
		return false
	}
	if _, ok := node.Labels[controlPlaneLabel]; h.IsControlPlane() && !ok {
		return false
	}
	if _, why := reconciled(node, h.Labels, h.Taints); len(why) > 0 {
		return false
	}
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status != corev1.ConditionFalse
	})
}

// inScope lists the hosts of the spec that are looked at, in its order.
func (x *execution) inScope() []desired.Host {
	if x.scope == nil {
		return x.desired.Hosts
	}
	return slices.DeleteFunc(slices.Clone(x.desired.Hosts), func(h desired.Host) bool { return !slices.Contains(x.scope, h.Name) })
}

// SpecDigest identifies everything of a cluster's spec that hosts are configured by, but not which hosts there are, nor how and when
// changes are carried out.
func SpecDigest(spec v1alpha1.ClusterSpec) (string, error) {
	s := spec.DeepCopy()
	s.ControlPlane.Hosts = nil
	for i := range s.Workers {
		s.Workers[i].Hosts = nil
	}
	s.OperationPolicy, s.Rollout, s.Drift, s.DeletionPolicy, s.Paused = "", v1alpha1.RolloutPolicy{}, v1alpha1.DriftPolicy{}, "", false
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("render the spec: %w", err)
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// leavingHost is a host that goes, with where its machine is.
type leavingHost struct {
	Name, Address string
	ControlPlane  bool
	Orphan        bool
}

// contacted names the hosts that leave and whose machines are dealt with.
func contacted(leaving []leavingHost) []string {
	var names []string
	for _, l := range leaving {
		if !l.Orphan {
			names = append(names, l.Name)
		}
	}
	return names
}

// leavingHosts resolves the names of the request.
func leavingHosts(request Request) ([]leavingHost, error) {
	var list []leavingHost
	var errs []error
	for _, name := range request.Leaving {
		i := slices.IndexFunc(request.Hosts, func(a HostAccess) bool { return a.Host.Name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("host %s leaves the cluster, and there is no Host of that name", name))
			continue
		}
		h := request.Hosts[i].Host
		address := h.Spec.InternalAddress
		if address == "" {
			address = h.Spec.Address
		}
		claim := h.Status.Claim
		list = append(list, leavingHost{
			Name: name, Address: address, Orphan: h.Spec.OnRemoval == v1alpha1.OrphanOnRemoval,
			ControlPlane: claim != nil && claim.Role == v1alpha1.ControlPlaneRole,
		})
	}
	return list, errors.Join(errs...)
}
