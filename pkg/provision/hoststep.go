package provision

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

// hostSteps binds steps made of resources to hosts.
type hostSteps struct {
	sessions *sessions
	owner    hostapi.Owner
	sources  []hostapi.Source
	// stall is how long a host may receive nothing of the bundle; see v1alpha1.RolloutPolicy.
	stall time.Duration
	// sign makes what a step needs signed for a host, of what is named.
	sign func(ctx context.Context, host string, needed []string, report func(string)) (plan.Material, error)

	mu sync.Mutex
	// known holds verdicts that were obtained together with others, or by the Apply that just ended. Each is used once: whatever
	// is asked again is asked of the host.
	known map[string]map[string][]hostapi.Verdict
	// latest holds what was found last, by step and host.
	latest map[string]map[string][]hostapi.Verdict
	// first holds what was found at the start, by step and host. It is what steps look at that are for others.
	first map[string]map[string][]hostapi.Verdict
	// compared names the hosts that were asked for everything at the start.
	compared map[string]bool
	// reached holds the most bytes of each blob that a host ever had, by step and host, and by resource.
	reached map[string]map[string]int64
	// kubelets holds how the kubelet of each host has been running.
	kubelets kubelets
}

// foundNeeded tells that something of the steps was found missing at the start: on one host or, for "", on any; among the resources
// given or, for none, among all.
func (b *hostSteps) foundNeeded(steps []string, host string, resources []string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, step := range steps {
		for on, verdicts := range b.first[step] {
			if host != "" && on != host {
				continue
			}
			for _, v := range verdicts {
				if v.State != hostapi.Done && (len(resources) == 0 || slices.Contains(resources, resourceID(v))) {
					return true
				}
			}
		}
	}
	return false
}

// resourceID is the ID of the resource a verdict is about, without the step in front of it.
func resourceID(v hostapi.Verdict) string {
	if _, id, ok := strings.Cut(v.Resource, "#"); ok {
		return id
	}
	return v.Resource
}

func (b *hostSteps) keep(step, host string, verdicts []hostapi.Verdict) {
	b.kubelets.see(host, verdicts)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known[step] == nil {
		b.known[step] = map[string][]hostapi.Verdict{}
	}
	b.known[step][host] = verdicts
}

func (b *hostSteps) keepFirst(step, host string, verdicts []hostapi.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first[step] == nil {
		b.first[step] = map[string][]hostapi.Verdict{}
	}
	b.first[step][host] = verdicts
}

func (b *hostSteps) take(step, host string) []hostapi.Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	verdicts := b.known[step][host]
	delete(b.known[step], host)
	return verdicts
}

func (b *hostSteps) bind(s plan.Step) engine.Step {
	step := engine.Step{
		Check: func(ctx context.Context, host string) (engine.Verdict, error) { return b.check(ctx, s, host) },
		Apply: func(ctx context.Context, host string, report func(string)) error {
			return b.apply(ctx, s, host, report)
		},
		Mutates: true,
	}
	if movesContent(s) {
		step.Stall = b.stall
	}
	return step
}

// movesContent reports whether a step brings content of the bundle to a host, which takes as long as the way there needs.
func movesContent(s plan.Step) bool {
	for _, resources := range s.Resources {
		if slices.ContainsFunc(resources, func(r hostapi.Resource) bool { return r.Blob != nil }) {
			return true
		}
	}
	return false
}

func (b *hostSteps) check(ctx context.Context, s plan.Step, host string) (engine.Verdict, error) {
	verdicts := b.take(s.ID, host)
	if verdicts == nil {
		helper, err := b.sessions.helper(ctx, host)
		if err != nil {
			return engine.Verdict{}, err
		}
		if verdicts, err = helper.Check(ctx, hostapi.CheckRequest{Step: s.ID, Resources: s.Resources[host]}); err != nil {
			return engine.Verdict{}, classify(err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest == nil {
		b.latest = map[string]map[string][]hostapi.Verdict{}
	}
	if b.latest[s.ID] == nil {
		b.latest[s.ID] = map[string][]hostapi.Verdict{}
	}
	b.latest[s.ID][host] = verdicts
	return sumUp(verdicts), nil
}

// sumUp makes one verdict of many. Unknown counts as Needed, since applying is what makes the unknown known.
func sumUp(verdicts []hostapi.Verdict) engine.Verdict {
	sum := engine.Verdict{State: engine.Done}
	for _, v := range verdicts {
		if v.State == hostapi.Done {
			continue
		}
		sum.State = engine.Needed
		line := resourceID(v)
		if v.Why != "" {
			line += ": " + v.Why
		}
		if v.Diff != "" {
			line += "\n  " + strings.ReplaceAll(strings.TrimRight(v.Diff, "\n"), "\n", "\n  ")
		}
		sum.Why = append(sum.Why, line)
	}
	return sum
}

func (b *hostSteps) apply(ctx context.Context, s plan.Step, host string, report func(string)) error {
	helper, err := b.sessions.leased(ctx, host)
	if err != nil {
		return err
	}
	resources, err := b.signed(ctx, s, host, report)
	if err != nil {
		return err
	}
	last := time.Time{}
	mark, lacked := b.markOf(s, host), b.lacked(s.ID, host)
	verdicts, err := helper.Apply(ctx, hostapi.ApplyRequest{
		Step: s.ID, Owner: b.owner, Resources: resources, Sources: b.sources, StallMillis: b.stall.Milliseconds(),
	},
		func(p hostapi.Progress) {
			if p.Total > 0 {
				// What comes again is no progress, and bytes arrive faster than anybody reads.
				if !mark.raise(p) {
					return
				}
				now := time.Now()
				if now.Sub(last) < 500*time.Millisecond {
					return
				}
				last = now
				report(mark.text(lacked))
				return
			}
			if p.Message != "" {
				report(p.Message)
			}
		})
	if err != nil {
		if mark.advanced() {
			return engine.Advanced(classify(err))
		}
		return classify(err)
	}
	b.keep(s.ID, host, verdicts)
	return nil
}
