package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// conduct is how a simulated (step, host) behaves.
type conduct struct {
	done    bool          // as wanted from the start
	busy    int           // tries of Apply that fail with a retryable error
	broken  bool          // Apply, or Check where there is no Apply, fails for good
	work    time.Duration // time an Apply takes
	settles time.Duration // time from Apply to the Check seeing it
}

// simulation is a random graph with the conduct of each pair.
type simulation struct {
	graph   Graph
	conduct map[pairKey]*conduct
	max     int // Options.MaxParallelHosts

	mu      sync.Mutex
	doneAt  map[pairKey]time.Time
	applies map[pairKey]int
	inside  map[pairKey]bool
	faults  []string
}

func drawSimulation(t *rapid.T) *simulation {
	s := &simulation{conduct: map[pairKey]*conduct{}, doneAt: map[pairKey]time.Time{}, applies: map[pairKey]int{}, inside: map[pairKey]bool{}}
	hosts := []string{"a", "b", "c", "d", "e"}[:rapid.IntRange(1, 5).Draw(t, "hosts")]
	n := rapid.IntRange(1, 9).Draw(t, "steps")
	for i := range n {
		step := Step{ID: fmt.Sprintf("s%d", i), Timeout: time.Minute, Mutates: true}
		for _, h := range hosts {
			if rapid.IntRange(0, 4).Draw(t, "on") > 0 {
				step.Hosts = append(step.Hosts, h)
			}
		}
		step.Window = rapid.IntRange(0, 3).Draw(t, "window")
		step.Exclusive = rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, "group")
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "edge") == 0 {
				step.Needs = append(step.Needs, Need{fmt.Sprintf("s%d", j), Scope(rapid.IntRange(0, 2).Draw(t, "scope"))})
			}
		}
		pure := rapid.IntRange(0, 4).Draw(t, "pure") == 0
		for _, h := range step.Hosts {
			s.conduct[pairKey{step.ID, h}] = &conduct{
				done:    rapid.IntRange(0, 3).Draw(t, "done") == 0,
				busy:    rapid.SampledFrom([]int{0, 0, 0, 1, 2, 4, 7}).Draw(t, "busy"),
				broken:  rapid.IntRange(0, 9).Draw(t, "broken") == 0,
				work:    time.Duration(rapid.IntRange(0, 20).Draw(t, "work")) * time.Second,
				settles: time.Duration(rapid.IntRange(0, 20).Draw(t, "settles")) * time.Second,
			}
		}
		s.graph.Steps = append(s.graph.Steps, s.simulate(step, pure))
	}
	s.graph.Steps = rapid.Permutation(s.graph.Steps).Draw(t, "order")
	s.max = rapid.IntRange(0, 3).Draw(t, "max")
	return s
}

// simulate gives a step its functions. A pure step only waits; it is done when its conduct says so or after settles.
func (s *simulation) simulate(step Step, pure bool) Step {
	id := step.ID
	begin := map[string]time.Time{}
	step.Check = func(_ context.Context, host string) (Verdict, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		k := pairKey{id, host}
		c := s.conduct[k]
		switch {
		case c.done:
			return Verdict{State: Done}, nil
		case pure && c.broken:
			return Verdict{}, Permanent(errors.New("broken"))
		case pure:
			if begin[host].IsZero() {
				begin[host] = time.Now()
			}
			if time.Since(begin[host]) >= c.settles {
				return Verdict{State: Done}, nil
			}
		case !s.doneAt[k].IsZero() && !time.Now().Before(s.doneAt[k]):
			return Verdict{State: Done}, nil
		}
		return Verdict{State: Needed, Why: []string{"not there"}}, nil
	}
	if pure {
		step.Mutates = false
		return step
	}
	step.Apply = func(ctx context.Context, host string, report func(string)) error {
		k := pairKey{id, host}
		s.mu.Lock()
		if s.inside[k] {
			s.faults = append(s.faults, fmt.Sprintf("%v is applied twice at once", k))
		}
		s.inside[k] = true
		s.applies[k]++
		c := *s.conduct[k]
		tries := s.applies[k]
		s.mu.Unlock()
		report("working")
		defer func() { s.mu.Lock(); s.inside[k] = false; s.mu.Unlock() }()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.work):
		}
		if c.broken {
			return Permanent(errors.New("broken"))
		}
		if tries <= c.busy {
			return Retryable(errors.New("busy"))
		}
		s.mu.Lock()
		s.doneAt[k] = time.Now().Add(c.settles)
		s.mu.Unlock()
		return nil
	}
	return step
}

// expected is what each pair must end as when nothing is cancelled, worked out without any scheduling.
func (s *simulation) expected() map[pairKey]State {
	byID := map[string]*Step{}
	for i := range s.graph.Steps {
		byID[s.graph.Steps[i].ID] = &s.graph.Steps[i]
	}
	out := map[pairKey]State{}
	gate := map[string]bool{} // steps without hosts: whether what they wait for ended well
	for i := range len(s.graph.Steps) {
		step := byID[fmt.Sprintf("s%d", i)]
		met := func(host string) bool {
			for _, n := range step.Needs {
				needed := byID[n.Step]
				okOn := 0
				for _, h := range needed.Hosts {
					if out[pairKey{n.Step, h}].OK() {
						okOn++
					}
				}
				st, runs := out[pairKey{n.Step, host}]
				switch {
				case n.Scope == SameHost && runs && !st.OK(),
					n.Scope != SameHost && len(needed.Hosts) == 0 && !gate[n.Step],
					n.Scope == AllHosts && okOn < len(needed.Hosts),
					n.Scope == AnyHost && len(needed.Hosts) > 0 && okOn == 0:
					return false
				}
			}
			return true
		}
		gate[step.ID] = met("")
		for _, h := range step.Hosts {
			k := pairKey{step.ID, h}
			c := s.conduct[k]
			switch {
			case !met(h):
				out[k] = StateBlocked
			case c.done:
				out[k] = StateDone
			case c.broken:
				out[k] = StateFailed
			case step.Apply == nil:
				out[k] = StateDone
			case c.busy >= DefaultAttempts:
				out[k] = StateFailed
			default:
				out[k] = StateChanged
			}
		}
	}
	return out
}

// audit replays the events and returns every rule that they break.
func (s *simulation) audit(all []Event) []string {
	faults := s.faults
	byID := map[string]*Step{}
	for i := range s.graph.Steps {
		byID[s.graph.Steps[i].ID] = &s.graph.Steps[i]
	}
	now := map[pairKey]State{}
	inHand := func(match func(k pairKey) bool) int {
		n := 0
		for k, st := range now {
			if (st == StateRunning || st == StateRetrying) && match(k) {
				n++
			}
		}
		return n
	}
	for _, e := range all {
		k := pairKey{e.Step, e.Host}
		step := byID[e.Step]
		if now[k].Final() {
			faults = append(faults, fmt.Sprintf("%v has an event after its end: %+v", k, e))
		}
		begins := e.State == StateRunning && now[k] != StateRunning && now[k] != StateRetrying
		now[k] = e.State
		if !begins {
			continue
		}
		if w := step.Window; w > 0 && inHand(func(o pairKey) bool { return o.step == e.Step }) > w {
			faults = append(faults, fmt.Sprintf("%s runs on more than %d hosts", e.Step, w))
		}
		if g := step.Exclusive; g != "" && inHand(func(o pairKey) bool { return byID[o.step].Exclusive == g }) > 1 {
			faults = append(faults, fmt.Sprintf("%v overlaps with another of group %s", k, g))
		}
		busy := map[string]bool{}
		inHand(func(o pairKey) bool { busy[o.host] = true; return false })
		if s.max > 0 && len(busy) > s.max {
			faults = append(faults, fmt.Sprintf("%d hosts are worked on at once, %d allowed", len(busy), s.max))
		}
		for _, n := range step.Needs {
			hosts, ok, wanted := byID[n.Step].Hosts, 0, 0
			for _, h := range hosts {
				if n.Scope == SameHost && h != e.Host {
					continue
				}
				wanted++
				if now[pairKey{n.Step, h}].OK() {
					ok++
				}
			}
			if n.Scope == AnyHost {
				wanted = min(wanted, 1)
			}
			if ok < wanted {
				faults = append(faults, fmt.Sprintf("%v began before its need %+v", k, n))
			}
		}
	}
	for i := range s.graph.Steps {
		for _, h := range s.graph.Steps[i].Hosts {
			if k := (pairKey{s.graph.Steps[i].ID, h}); !now[k].Final() {
				faults = append(faults, fmt.Sprintf("%v has no final event but %q", k, now[k]))
			}
		}
	}
	return faults
}

// sum is how often anything was applied.
func (s *simulation) sum() int {
	n := 0
	for _, k := range s.applies {
		n += k
	}
	return n
}

// heal makes everything work from now on.
func (s *simulation) heal() {
	for _, c := range s.conduct {
		c.broken, c.busy = false, 0
	}
}

func TestRandomGraphsKeepTheRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSimulation(rt)
		cancelAt := time.Duration(rapid.SampledFrom([]int{0, 0, 1, 7, 40}).Draw(rt, "cancel")) * time.Second
		opts := Options{MaxParallelHosts: s.max}
		var first, second, third *Result
		var ev events
		rec := NewRecorder(s.graph)
		want := s.expected()
		var applied int
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if cancelAt > 0 {
				ctx, cancel = context.WithTimeout(ctx, cancelAt)
				defer cancel()
			}
			first, _ = Run(ctx, s.graph, Options{MaxParallelHosts: s.max, Sink: Multi(&ev, rec)})
			s.heal()
			second, _ = Run(t.Context(), s.graph, opts)
			before := s.sum()
			third, _ = Run(t.Context(), s.graph, opts)
			applied = s.sum() - before
		})
		for _, f := range s.audit(ev.all) {
			rt.Error(f)
		}
		if !first.Cancelled {
			for k, want := range want {
				if o, _ := first.Outcome(k.step, k.host); o.State != want {
					rt.Errorf("%v ended as %s (%s), want %s", k, o.State, o.Message, want)
				}
			}
		}
		for _, st := range first.Steps {
			for _, o := range st.Hosts {
				if !o.State.Final() {
					rt.Errorf("%s on %s ended as %s", o.Step, o.Host, o.State)
				}
			}
		}
		if sum := second.Summary; sum.Failed+sum.Blocked+sum.Skipped > 0 {
			rt.Errorf("a run of what works now: %+v: %v", sum, second.Failures())
		}
		if applied != 0 || third.Changed || third.Summary.Changed > 0 {
			rt.Errorf("a run with everything done applied %d times, %+v", applied, third.Summary)
		}
		total := Summary{}
		for _, sum := range rec.Snapshot() {
			if sum.Pending+sum.Running > 0 || sum.Hosts != sum.Done+sum.Changed+sum.Failed+sum.Blocked+sum.Skipped {
				rt.Errorf("the recorder ended with %+v", sum)
			}
			total.Done += sum.Done
			total.Changed += sum.Changed
			total.Failed += sum.Failed
			total.Blocked += sum.Blocked
			total.Skipped += sum.Skipped
		}
		if total != first.Summary {
			rt.Errorf("the recorder counts %+v, the result %+v", total, first.Summary)
		}
	})
}
