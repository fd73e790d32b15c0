package provision

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// learnTimeout bounds what is asked of the cluster after the graph has ended, also when it failed.
const learnTimeout = 10 * time.Second

// maxPlan bounds the plan in an outcome, as the API bounds it in status.
const maxPlan = 500

// learn fills in what is known at the end. What cannot be learned stays empty: the outcome only says what was observed.
func (x *execution) learn(ctx context.Context, result *engine.Result, outcome *Outcome) {
	outcome.Endpoint = x.desired.PublicEndpoint()
	outcome.Nodes.Desired = int32(len(x.desired.Hosts))
	for _, o := range outcomes(result) {
		switch o.State {
		case engine.StateDone, engine.StateChanged:
			if o.Step == plan.StepInit || o.Step == plan.StepControlPlane || o.Step == plan.StepMembers {
				outcome.Initialized = outcome.Initialized || x.mode == engine.ModeApply
			}
		}
		if len(o.Why) > 0 && (o.State == engine.StateChanged || o.Reason == engine.ReasonPlanned || o.Reason == engine.ReasonPlannedUnknown) && len(outcome.Plan) < maxPlan {
			outcome.Plan = append(outcome.Plan, v1alpha1.PlannedChange{Step: o.Step, Host: o.Host, Why: strings.Join(o.Why, "\n")})
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), learnTimeout)
	defer cancel()
	if !outcome.Initialized {
		return
	}
	config, err := x.kube.rest()
	if err != nil {
		return
	}
	if client, err := discovery.NewDiscoveryClientForConfig(config); err == nil {
		if version, err := client.ServerVersion(); err == nil {
			outcome.Version = version.GitVersion
		}
	}
	if members, err := x.kube.members(ctx); err == nil {
		for _, m := range members {
			if !m.Learner {
				outcome.EtcdMembers++
			}
		}
	}
	x.countNodes(ctx, outcome)
}

func (x *execution) countNodes(ctx context.Context, outcome *Outcome) {
	objects, err := x.kube.objects()
	if err != nil {
		return
	}
	var nodes corev1.NodeList
	if err := objects.List(ctx, &nodes); err != nil {
		return
	}
	outcome.Nodes.Joined = int32(len(nodes.Items))
	for _, n := range nodes.Items {
		if notReady(&n) == "" && n.Status.NodeInfo.KubeletVersion == x.desired.Version {
			outcome.Nodes.Ready++
		}
	}
}

func outcomes(result *engine.Result) []engine.Outcome {
	var list []engine.Outcome
	for _, s := range result.Steps {
		list = append(list, s.Hosts...)
	}
	return list
}
