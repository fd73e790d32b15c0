package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// learnTimeout bounds what is asked of the cluster after the graph has ended, also when it failed.
const learnTimeout = 10 * time.Second

// learn fills in what is known at the end. What cannot be learned stays empty: the outcome only says what was observed.
func (x *execution) learn(ctx context.Context, result *engine.Result, outcome *Outcome) {
	outcome.Endpoint = x.desired.PublicEndpoint()
	outcome.Nodes.Desired = int32(len(x.desired.Hosts))
	for _, o := range outcomes(result) {
		outcome.Initialized = outcome.Initialized || x.mode == engine.ModeApply && ShowsInitialized(o.Step, o.State)
	}
	outcome.Initialized = outcome.Initialized || x.mode == engine.ModeApply && x.lives()
	all := changes(result)
	outcome.Plan = all
	if x.mode == engine.ModePlan {
		outcome.PlanDigest = planDigest(all)
	}
	outcome.Removed = x.left(result)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), learnTimeout)
	defer cancel()
	if !outcome.Initialized {
		return
	}
	outcome.Version = x.lowestVersion()
	if members, err := x.kube.members(ctx); err == nil {
		for _, m := range members {
			if !m.Learner {
				outcome.EtcdMembers++
			}
		}
	}
	x.countNodes(ctx, outcome)
}

// lives says whether a control plane was found that has been through kubeadm's init, or has joined.
func (x *execution) lives() bool {
	return slices.ContainsFunc(x.desired.ControlPlanes(), func(h desired.Host) bool {
		facts := x.facts[h.Name]
		return facts != nil && (slices.Contains(facts.Receipts, kubeadm.InitCommand) || slices.Contains(facts.Receipts, kubeadm.JoinEtcdCommand))
	})
}

// ShowsInitialized says whether a step in this state shows that the cluster has a control plane, when what had to be done was done.
func ShowsInitialized(step string, state engine.State) bool {
	if state != engine.StateDone && state != engine.StateChanged {
		return false
	}
	switch step {
	case plan.StepInit, plan.StepControlPlane, plan.StepMembers, plan.StepCPReturn:
		return true
	}
	return false
}

// lowestVersion is the oldest version among the API servers that were connected to: an upgrade that stopped half way is not through.
func (x *execution) lowestVersion() string {
	lowest := ""
	for _, h := range x.desired.ControlPlanes() {
		if !x.sessions.connected(h.Name) {
			continue
		}
		found, err := x.kube.versionOf(h.Name)
		if err != nil {
			continue
		}
		if lowest == "" || older(found, lowest) {
			lowest = found
		}
	}
	return lowest
}

// older compares versions; what cannot be read is never older.
func older(a, b string) bool {
	x, err := version.ParseSemantic(a)
	if err != nil {
		return false
	}
	y, err := version.ParseSemantic(b)
	return err == nil && x.LessThan(y)
}

// kubeletVersion is the one wanted of a node; the cluster's for nodes that are not of the spec.
func (x *execution) kubeletVersion(node string) string {
	for _, h := range x.desired.Hosts {
		if h.Name == node {
			return h.KubeletVersion
		}
	}
	return x.desired.Version
}

// changes lists what was, or would be, changed, in the order of the graph.
func changes(result *engine.Result) []v1alpha1.PlannedChange {
	var list []v1alpha1.PlannedChange
	for _, o := range outcomes(result) {
		if o.State == engine.StateChanged || o.Reason == engine.ReasonPlanned || o.Reason == engine.ReasonPlannedUnknown {
			list = append(list, v1alpha1.PlannedChange{Step: o.Step, Host: o.Host, Why: strings.Join(o.Why, "\n")})
		}
	}
	return list
}

// planDigest identifies a plan, as sha256:<hex>.
func planDigest(list []v1alpha1.PlannedChange) string {
	text, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("three strings cannot be encoded: %v", err))
	}
	return digestOf(text)
}

// left lists the hosts that are not part of the cluster any more.
func (x *execution) left(result *engine.Result) map[string]RemovedHost {
	gone := map[string]RemovedHost{}
	if x.mode != engine.ModeApply {
		return gone
	}
	for _, l := range x.leaving {
		if o, ok := result.Outcome(plan.StepLeaveNode, l.Name); ok && o.State.OK() {
			x.removed.mu.Lock()
			one := x.removed.done[l.Name]
			one.Refused = !one.Cleaned
			gone[l.Name] = one
			x.removed.mu.Unlock()
		}
	}
	return gone
}

func (x *execution) countNodes(ctx context.Context, outcome *Outcome) {
	var counted v1alpha1.NodeCounts
	err := x.kube.eachNode(ctx, func(n *corev1.Node) {
		counted.Joined++
		if notReady(n) == "" && n.Status.NodeInfo.KubeletVersion == x.kubeletVersion(n.Name) {
			counted.Ready++
		}
	})
	if err == nil {
		outcome.Nodes.Joined, outcome.Nodes.Ready = counted.Joined, counted.Ready
	}
}

func outcomes(result *engine.Result) []engine.Outcome {
	var list []engine.Outcome
	for _, s := range result.Steps {
		list = append(list, s.Hosts...)
	}
	return list
}
