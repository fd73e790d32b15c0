package provision

import (
	"context"
	"maps"
	"slices"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

// stepCompare compares hosts with what is wanted, for all steps together.
const stepCompare = "host/compare"

// compareStep asks every host once for everything, so that a host on which nothing is missing costs one request. It is a step like any
// other: a host whose connection breaks meanwhile is asked again by itself, and one that stays away is named before anything is
// changed. Without its answer nobody knows whether nodes have to be drained and a snapshot taken, so nothing goes on without it.
func (b *hostSteps) compareStep(steps []plan.Step) engine.Step {
	return engine.Step{
		ID: stepCompare, Title: "Compare with what is wanted", Hosts: hostsOf(steps),
		Check: func(_ context.Context, host string) (engine.Verdict, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.compared[host] {
				return engine.Verdict{State: engine.Done}, nil
			}
			return needed("not compared"), nil
		},
		Apply: func(ctx context.Context, host string, _ func(string)) error { return b.compare(ctx, host, steps) },
	}
}

// compare obtains the verdicts of all steps of a host in one request.
func (b *hostSteps) compare(ctx context.Context, host string, steps []plan.Step) error {
	request := hostapi.CheckRequest{Step: "all"}
	for _, s := range steps {
		for _, r := range s.Resources[host] {
			b.kubelets.expect(host, r)
			r.ID = s.ID + "#" + r.ID
			request.Resources = append(request.Resources, r)
		}
	}
	helper, err := b.sessions.helper(ctx, host)
	if err != nil {
		return err
	}
	verdicts, err := helper.Check(ctx, request)
	if err != nil {
		return classify(err)
	}
	for _, s := range steps {
		if n := len(s.Resources[host]); n > 0 {
			b.keep(s.ID, host, verdicts[:n])
			b.keepFirst(s.ID, host, verdicts[:n])
			verdicts = verdicts[n:]
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.compared[host] = true
	return nil
}

// hostsOf lists the hosts that have resources in any step.
func hostsOf(steps []plan.Step) []string {
	names := map[string]bool{}
	for _, s := range steps {
		for host, resources := range s.Resources {
			if len(resources) > 0 {
				names[host] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
