package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

// waitTimeout bounds how long a cluster may take to show what is awaited.
const waitTimeout = 10 * time.Minute

// bind turns the plan into steps the engine can run. Every host is first asked once for everything, so that a host on which nothing
// is missing costs one request.
func (x *execution) bind(ctx context.Context, steps []plan.Step) ([]engine.Step, error) {
	if err := x.content.listen(x.sessions.localAddresses(), x.options.TunnelOnly); err != nil {
		return nil, err
	}
	hosts := &hostSteps{
		sessions: x.sessions,
		owner:    hostapi.Owner{ClusterName: x.desired.Name, ClusterUID: x.desired.UID},
		sources:  x.content.sources(),
		known:    map[string]map[string][]hostapi.Verdict{},
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, h := range x.desired.Hosts {
		group.Go(func() error { return hosts.ask(groupCtx, h.Name, steps) })
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("compare hosts with what is wanted: %w", err)
	}
	var bound []engine.Step
	for _, s := range steps {
		var one engine.Step
		if s.Action == nil {
			one = hosts.bind(s)
		} else {
			one = x.bindAction(s.Action)
		}
		one.ID, one.Title, one.Hosts, one.Needs, one.Exclusive = s.ID, s.Title, s.Hosts, s.Needs, s.Exclusive
		one.Guard = x.guard(s.Guard)
		bound = append(bound, one)
	}
	return bound, nil
}

func (x *execution) bindAction(action plan.Action) engine.Step {
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
		step := wait(func(ctx context.Context, host string) (engine.Verdict, error) { return k.awaitNode(ctx, a, host) })
		step.Apply = func(ctx context.Context, host string, _ func(string)) error { return k.applyNode(ctx, a, host) }
		step.Mutates = true
		return step
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

func (x *execution) guard(g plan.Guard) func(context.Context, string) error {
	switch g {
	case plan.GuardNotInitialised:
		return func(_ context.Context, host string) error { return x.guardNotInitialised(host) }
	case plan.GuardEtcdCanGrow:
		return func(ctx context.Context, host string) error {
			members, err := x.kube.members(ctx)
			if err != nil {
				return engine.Retryable(fmt.Errorf("etcd's health is unknown, so no member is added: %w", err))
			}
			return engine.Retryable(canGrow(members, host))
		}
	}
	return nil
}

// guardNotInitialised refuses to initialise when another control plane already holds a cluster's data.
func (x *execution) guardNotInitialised(host string) error {
	for _, h := range x.desired.ControlPlanes() {
		if h.Name == host {
			continue
		}
		for _, p := range x.facts[h.Name].Paths {
			if p.Path == "/var/lib/etcd/member" {
				return fmt.Errorf("host %s already holds etcd data, so a cluster exists; it is never initialised again", h.Name)
			}
		}
	}
	if x.desired.Initialized {
		if facts := x.facts[host]; facts.Owner == nil {
			return errors.New("the cluster was initialised before, and this host was not part of it; it is never initialised again")
		}
	}
	return nil
}
