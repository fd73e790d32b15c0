package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rollout is a lane of three steps over hosts; each takes a second, and who is inside at a time is watched.
type rollout struct {
	*world
	mu      sync.Mutex
	inside  map[string]bool
	most    int
	entered []string
}

func (r *rollout) graph(hosts []string, lane Lane, more ...func(*Step)) Graph {
	r.world, r.inside = newWorld(), map[string]bool{}
	watch := func(s *Step) {
		s.Lane = lane.ID
		apply := s.Apply
		s.Apply = func(ctx context.Context, host string, report func(string)) error {
			r.mu.Lock()
			if !r.inside[host] {
				r.inside[host] = true
				r.entered = append(r.entered, host)
				r.most = max(r.most, len(r.inside))
			}
			r.mu.Unlock()
			time.Sleep(time.Second)
			err := apply(ctx, host, report)
			if s.ID == "uncordon" {
				r.mu.Lock()
				delete(r.inside, host)
				r.mu.Unlock()
			}
			return err
		}
	}
	with := func(id string, after ...string) Step {
		opts := []func(*Step){}
		for _, a := range after {
			opts = append(opts, needs(Need{a, SameHost}))
		}
		opts = append(opts, more...)
		return r.step(id, hosts, append(opts, watch)...)
	}
	return Graph{Lanes: []Lane{lane}, Steps: []Step{with("drain"), with("update", "drain"), with("uncordon", "update")}}
}

func TestALaneLetsAHostThroughBeforeTheNextOneEnters(t *testing.T) {
	for _, c := range []struct{ width, hosts, most int }{{1, 4, 1}, {2, 5, 2}, {3, 3, 3}, {0, 4, 4}} {
		synctest.Test(t, func(t *testing.T) {
			var names []string
			for i := range c.hosts {
				names = append(names, fmt.Sprint("h", i))
			}
			var r rollout
			if _, err := Run(t.Context(), r.graph(names, Lane{ID: "workers", Width: c.width}), Options{}); err != nil {
				t.Fatal(err)
			}
			if r.most != c.most {
				t.Errorf("width %d: %d hosts were inside at a time, want %d", c.width, r.most, c.most)
			}
			if len(r.entered) != c.hosts {
				t.Errorf("width %d: %v went through", c.width, r.entered)
			}
		})
	}
}

func TestAHostThatFailsBeyondTheBudgetClosesTheLane(t *testing.T) {
	for _, c := range []struct {
		name    string
		budget  int
		entered string
		reason  string
	}{
		{"nobody follows the first one when none may fail", 0, "[a]", ReasonLaneClosed},
		{"one failure within the budget lets all others through", 1, "[a b c d]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r rollout
				g := r.graph([]string{"a", "b", "c", "d"}, Lane{ID: "workers", Width: 1, FailureBudget: c.budget}, failing("a", errors.New("broken disk")))
				g.Steps = append(g.Steps, r.step("verify", []string{"d"}, needs(Need{"uncordon", SameHost})))
				res, err := Run(t.Context(), g, Options{})
				if err == nil {
					t.Fatal("a failed host made no error")
				}
				if got := fmt.Sprint(r.entered); got != c.entered {
					t.Errorf("%s entered, want %s", got, c.entered)
				}
				o, _ := res.Outcome("drain", "b")
				if o.Reason != c.reason {
					t.Errorf("b ended with reason %q (%s), want %q", o.Reason, o.Message, c.reason)
				}
				if v, _ := res.Outcome("verify", "d"); c.reason != "" && !strings.Contains(v.Message, "rollout over workers pauses") {
					t.Errorf("what needs the lane says %q", v.Message)
				}
			})
		})
	}
}

func TestARunAskedToStopCarriesTheHostInsideThroughItsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		var r rollout
		g := r.graph([]string{"a", "b"}, Lane{ID: "workers", Width: 1})
		go func() {
			time.Sleep(500 * time.Millisecond) // a is in its first step
			close(stop)
		}()
		res, err := Run(t.Context(), g, Options{Stop: stop})
		if !errors.Is(err, ErrStopped) {
			t.Fatalf("got %v, want ErrStopped", err)
		}
		wantStates(t, res, map[string]State{
			"drain@a": StateChanged, "update@a": StateChanged, "uncordon@a": StateChanged,
			"drain@b": StateBlocked, "update@b": StateBlocked, "uncordon@b": StateBlocked,
		})
		if !res.Stopped || res.Cancelled {
			t.Errorf("stopped %v cancelled %v", res.Stopped, res.Cancelled)
		}
		if _, err := Run(t.Context(), g, Options{}); err != nil {
			t.Errorf("the same graph does not go on: %v", err)
		}
	})
}

func TestWhatFailsInARunThatIsAskedToStopIsNotTriedAgain(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"the stop comes while it is tried":          100 * time.Millisecond,
		"the stop comes while it waits for its try": 700 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				time.AfterFunc(after, func() { close(stop) })
				tries := 0
				failing := Step{
					ID: "a", Hosts: []string{"h"}, Mutates: true, Retry: RetryPolicy{Initial: time.Minute, Max: time.Minute},
					Check: func(context.Context, string) (Verdict, error) { return Verdict{State: Needed}, nil },
					Apply: func(context.Context, string, func(string)) error {
						tries++
						time.Sleep(500 * time.Millisecond)
						return Retryable(errors.New("the API server does not come up"))
					},
				}
				next := failing
				next.ID, next.Needs = "b", []Need{{Step: "a", Scope: AllHosts}}
				res, err := Run(t.Context(), Graph{Steps: []Step{failing, next}}, Options{Stop: stop})
				if !errors.Is(err, ErrStopped) || !res.Stopped || !strings.Contains(err.Error(), "the API server does not come up") {
					t.Errorf("got %v (stopped %v), want ErrStopped and what failed", err, res.Stopped)
				}
				if tries != 1 {
					t.Errorf("it was tried %d times", tries)
				}
				wantStates(t, res, map[string]State{"a@h": StateFailed, "b@h": StateBlocked})
			})
		})
	}
}

func TestARunStoppedBeforeItsBeginDoesNothing(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	w := newWorld()
	_, err := Run(t.Context(), Graph{Steps: []Step{w.step("a", []string{"h"})}}, Options{Stop: stop})
	if !errors.Is(err, ErrStopped) || len(w.order) > 0 {
		t.Errorf("got %v and %v applied", err, w.order)
	}
}

func TestAStopAfterTheLastStepIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		var r rollout
		g := r.graph([]string{"a"}, Lane{ID: "workers", Width: 1})
		time.AfterFunc(2500*time.Millisecond, func() { close(stop) })
		if _, err := Run(t.Context(), g, Options{Stop: stop}); err != nil {
			t.Error(err)
		}
	})
}

func TestALaneThatCouldLockItselfUpIsRefused(t *testing.T) {
	w := newWorld()
	in := func(s *Step) { s.Lane = "l" }
	for _, c := range []struct {
		name, want string
		graph      Graph
	}{
		{"a step that needs all hosts inside", "may have to wait outside", Graph{Lanes: []Lane{{ID: "l", Width: 1}}, Steps: []Step{
			w.step("a", []string{"x", "y"}, in), w.step("b", []string{"x", "y"}, in, needs(Need{"a", AllHosts}))}}},
		{"a lane that is not there", "not in the graph", Graph{Steps: []Step{w.step("a", []string{"x"}, in)}}},
		{"two lanes of one name", "ID of its own", Graph{Lanes: []Lane{{ID: "l"}, {ID: "l"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := Validate(c.graph); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
