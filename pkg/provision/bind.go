package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/steps/layout"
)

// waitTimeout bounds how long a cluster may take to show what is awaited.
const waitTimeout = 10 * time.Minute

// drainSlack is what a drain may take beyond the policy's time: cordoning, listing pods, uncordoning.
const drainSlack = 2 * time.Minute

// bind turns the plan into steps the engine can run, or with rehearse only look. Every host is first asked once for everything, so that a
// host on which nothing is missing costs one request.
func (x *execution) bind(ctx context.Context, graph *plan.Graph, rehearse bool) (engine.Graph, error) {
	if err := x.serveContent(); err != nil {
		return engine.Graph{}, err
	}
	hosts := &hostSteps{
		sessions: x.sessions,
		owner:    x.owner(),
		sources:  x.content.sources(),
		stall:    stall(&x.request.Cluster.Spec.Rollout),
		sign:     x.sign,
		known:    map[string]map[string][]hostapi.Verdict{},
		first:    map[string]map[string][]hostapi.Verdict{},
		compared: map[string]bool{},
	}
	if _, err := x.run(ctx, []engine.Step{hosts.compareStep(graph.Steps)}, nil, engine.ModeApply); err != nil {
		return engine.Graph{}, err
	}
	bound := engine.Graph{Lanes: graph.Lanes}
	for _, s := range graph.Steps {
		var one engine.Step
		if s.Action == nil {
			one = hosts.bind(s)
			if s.ID == plan.StepJoin || s.ID == plan.StepPrepare {
				one.Apply = x.admitting(one.Apply)
			}
		} else {
			one = x.bindAction(s.Action, hosts)
			if rehearse && hosts.foundNeeded([]string{plan.StepInit}, "", nil) {
				// There is no cluster to ask, and that it does not answer is no news.
				one.Check = func(context.Context, string) (engine.Verdict, error) { return needed("it comes with the cluster"), nil }
			}
		}
		one.ID, one.Title, one.Hosts, one.Needs, one.Exclusive, one.Lane = s.ID, s.Title, s.Hosts, s.Needs, s.Exclusive, s.Lane
		one.Guard = x.guard(s.Guard)
		if s.When != nil {
			one.Check = when(s.When, hosts, one.Check)
		}
		bound.Steps = append(bound.Steps, one)
	}
	return bound, nil
}

// serveContent opens the ports hosts take content from, once.
func (x *execution) serveContent() error {
	if x.serving {
		return nil
	}
	x.serving = true
	return x.content.listen(x.sessions.localAddresses(), x.options.TunnelOnly)
}

// when makes a step done by definition while nothing that it is for was found needed at the start.
func when(w *plan.When, hosts *hostSteps, check func(context.Context, string) (engine.Verdict, error)) func(context.Context, string) (engine.Verdict, error) {
	return func(ctx context.Context, host string) (engine.Verdict, error) {
		on := host
		if !w.SameHost {
			on = ""
		}
		if !hosts.foundNeeded(w.Steps, on, w.Resources) {
			return engine.Verdict{State: engine.Done}, nil
		}
		return check(ctx, host)
	}
}

func (x *execution) bindAction(action plan.Action, hosts *hostSteps) engine.Step {
	k := x.kube
	wait := func(check func(context.Context, string) (engine.Verdict, error)) engine.Step {
		return engine.Step{Check: check, Timeout: waitTimeout}
	}
	switch a := action.(type) {
	case plan.ApplyObjects:
		return engine.Step{
			Check: func(ctx context.Context, _ string) (engine.Verdict, error) { return k.checkObjects(ctx, a.Objects) },
			Apply: func(ctx context.Context, _ string, _ func(string)) error {
				return k.applyObjects(ctx, a.Objects)
			},
			Mutates: true,
		}
	case plan.AwaitNode:
		step := wait(hosts.watchingKubelet(func(ctx context.Context, host string, since time.Time) (engine.Verdict, error) {
			return k.awaitNode(ctx, a, host, since)
		}))
		step.Apply = func(ctx context.Context, host string, _ func(string)) error { return k.applyNode(ctx, a, host) }
		step.Mutates = true
		return step
	case plan.Register:
		return act(x.checkRegistered, func(ctx context.Context, host string, report func(string)) error {
			return x.applyRegister(ctx, a, host, report)
		})
	case plan.AwaitStopped:
		return wait(x.awaitStopped)
	case plan.Configure:
		return act(func(ctx context.Context, _ string) (engine.Verdict, error) { return k.checkConfiguration(ctx, a) },
			func(ctx context.Context, _ string, _ func(string)) error { return k.applyConfiguration(ctx, a) })
	case plan.Record:
		return act(func(ctx context.Context, _ string) (engine.Verdict, error) { return k.checkRecord(ctx, a) },
			func(ctx context.Context, _ string, _ func(string)) error { return k.applyRecord(ctx, a) })
	case plan.Withdraw:
		return act(func(ctx context.Context, _ string) (engine.Verdict, error) { return k.checkWithdrawn(ctx, a) },
			func(ctx context.Context, _ string, _ func(string)) error { return k.withdraw(ctx, a) })
	case plan.Rollout:
		return act(func(ctx context.Context, _ string) (engine.Verdict, error) { return k.checkRollout(ctx, a) },
			func(ctx context.Context, _ string, _ func(string)) error { return k.applyRollout(ctx, a) })
	case plan.Drain:
		step := act(func(ctx context.Context, host string) (engine.Verdict, error) { return k.checkDrain(ctx, a, host) },
			func(ctx context.Context, host string, report func(string)) error {
				return k.applyDrain(ctx, a, host, x.request.Operation.Name, report)
			})
		step.Timeout = drainLimit(a.Policy)
		return step
	case plan.Return:
		return act(hosts.watchingKubelet(func(ctx context.Context, host string, since time.Time) (engine.Verdict, error) {
			return k.checkReturn(ctx, a, host, since)
		}), func(ctx context.Context, host string, _ func(string)) error { return k.applyReturn(ctx, host) })
	case plan.RemoveMember:
		return act(x.checkMember, x.applyMember)
	case plan.ResetHost:
		return act(x.checkLeaveReset, x.applyLeaveReset)
	case plan.DeleteNode:
		return act(x.checkNodeGone, func(ctx context.Context, host string, _ func(string)) error { return x.deleteNode(ctx, host) })
	case plan.AwaitEtcd:
		return wait(func(ctx context.Context, _ string) (engine.Verdict, error) { return k.awaitEtcd(ctx, a) })
	case plan.AwaitWorkloads:
		return wait(func(ctx context.Context, _ string) (engine.Verdict, error) { return k.awaitWorkloads(ctx, a) })
	case plan.AwaitDNS:
		return wait(func(ctx context.Context, host string) (engine.Verdict, error) { return k.awaitDNS(ctx, a, host) })
	case plan.AwaitAPIService:
		return wait(func(ctx context.Context, _ string) (engine.Verdict, error) { return k.awaitAPIService(ctx, a) })
	}
	return engine.Step{Check: func(context.Context, string) (engine.Verdict, error) {
		return engine.Verdict{}, engine.Permanent(fmt.Errorf("action %T has no executor", action))
	}}
}

// admitting has the cluster let a host in again that it may have refused, before something is done that makes it a node.
func (x *execution) admitting(apply func(context.Context, string, func(string)) error) func(context.Context, string, func(string)) error {
	return func(ctx context.Context, host string, report func(string)) error {
		if err := x.kube.admitNode(ctx, host); err != nil {
			return err
		}
		return apply(ctx, host, report)
	}
}

// act makes a step that changes something.
func act(check func(context.Context, string) (engine.Verdict, error), apply func(context.Context, string, func(string)) error) engine.Step {
	return engine.Step{Check: check, Apply: apply, Mutates: true}
}

func (x *execution) guard(g plan.Guard) func(context.Context, string) error {
	switch g {
	case plan.GuardNotInitialised:
		return func(_ context.Context, host string) error { return x.guardNotInitialised(host) }
	case plan.GuardEtcdCanGrow:
		return x.guardGrow
	case plan.GuardEtcdCanShrink:
		return x.guardShrink
	case plan.GuardEtcdCanRestart:
		return x.guardMembers(plan.CanRestart)
	case plan.GuardStaticPods:
		return func(ctx context.Context, host string) error {
			if err := x.guardMembers(plan.CanRestart)(ctx, host); err != nil {
				return err
			}
			return x.guardWebhooks(ctx)
		}
	}
	return nil
}

// guardMembers asks etcd how its members are, now, and lets a rule judge what is about to be done to one of them. Unknown health blocks.
func (x *execution) guardMembers(rule func(members []plan.Member, host string) error) func(context.Context, string) error {
	return func(ctx context.Context, host string) error {
		members, err := x.kube.members(ctx)
		if err != nil {
			return engine.Retryable(fmt.Errorf("etcd's health is unknown, so its members are left as they are: %w", err))
		}
		return engine.Retryable(rule(planned(members), host))
	}
}

// guardGrow judges with what the joining host holds now: an attempt before this one may have got as far as having data.
func (x *execution) guardGrow(ctx context.Context, host string) error {
	return x.guardMembers(func(members []plan.Member, host string) error {
		helper, err := x.sessions.helper(ctx, host)
		if err != nil {
			return err
		}
		facts, err := helper.Facts(ctx)
		if err != nil {
			return err
		}
		return plan.CanGrow(members, host, facts.Has(layout.EtcdMemberDir))
	})(ctx, host)
}

// guardShrink leaves the member of a host that stays alone when its data has come to the machine since it was looked at: somebody else's
// attempt to join it goes on there. The lease keeps such attempts away from here on.
func (x *execution) guardShrink(ctx context.Context, host string) error {
	if slices.ContainsFunc(x.desired.Hosts, func(h desired.Host) bool { return h.Name == host }) {
		helper, err := x.sessions.leased(ctx, host)
		if err != nil {
			return err
		}
		facts, err := helper.Facts(ctx)
		if err != nil {
			return classify(err)
		}
		if facts.Has(layout.EtcdMemberDir) || slices.Contains(facts.Runs, kubeadm.JoinEtcdCommand) {
			return fmt.Errorf("host %s has begun to join etcd meanwhile, so its member stays: run the operation again", host)
		}
	}
	return x.guardMembers(plan.CanShrink)(ctx, host)
}

// guardNotInitialised refuses to initialise when another control plane already holds a cluster's data.
func (x *execution) guardNotInitialised(host string) error {
	for _, h := range x.desired.ControlPlanes() {
		if h.Name == host || x.facts[h.Name] == nil {
			continue
		}
		if x.facts[h.Name].Has(layout.EtcdMemberDir) {
			return fmt.Errorf("host %s already holds etcd data, so a cluster exists; it is never initialised again", h.Name)
		}
	}
	if x.desired.Initialized {
		if facts := x.facts[host]; facts.Owner == nil {
			return errors.New("the cluster was initialised before, and this host was not part of it; it is never initialised again")
		}
	}
	return nil
}
