package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// world is what simulated steps work on: which (step, host) is as wanted, and what was called.
type world struct {
	mu      sync.Mutex
	is      map[pairKey]bool
	applied map[pairKey]int
	checked map[pairKey]int
	order   []string
}

func newWorld() *world {
	return &world{is: map[pairKey]bool{}, applied: map[pairKey]int{}, checked: map[pairKey]int{}}
}

// step returns a step that is done once it was applied; more changes it further.
func (w *world) step(id string, hosts []string, more ...func(*Step)) Step {
	s := Step{
		ID: id, Title: "Title of " + id, Hosts: hosts, Mutates: true,
		Check: func(_ context.Context, host string) (Verdict, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.checked[pairKey{id, host}]++
			if w.is[pairKey{id, host}] {
				return Verdict{State: Done}, nil
			}
			return Verdict{State: Needed, Why: []string{id + " is missing"}}, nil
		},
		Apply: func(_ context.Context, host string, _ func(string)) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.is[pairKey{id, host}] = true
			w.applied[pairKey{id, host}]++
			w.order = append(w.order, id+"@"+host)
			return nil
		},
	}
	for _, m := range more {
		m(&s)
	}
	return s
}

func needs(n ...Need) func(*Step) { return func(s *Step) { s.Needs = n } }

// failing makes Apply fail on one host in the way of err.
func failing(host string, err error) func(*Step) {
	return func(s *Step) {
		apply := s.Apply
		s.Apply = func(ctx context.Context, h string, report func(string)) error {
			if h == host {
				return err
			}
			return apply(ctx, h, report)
		}
	}
}

// states returns "step@host" -> state.
func states(r *Result) map[string]State {
	out := map[string]State{}
	for _, s := range r.Steps {
		for _, o := range s.Hosts {
			out[s.ID+"@"+o.Host] = o.State
		}
	}
	return out
}

func wantStates(t *testing.T, r *Result, want map[string]State) {
	t.Helper()
	got := states(r)
	for k, s := range want {
		if got[k] != s {
			t.Errorf("%s ended as %q, want %q", k, got[k], s)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d outcomes, want %d: %v", len(got), len(want), got)
	}
}

type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) Emit(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) of(step, host string) []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Event
	for _, ev := range e.all {
		if ev.Step == step && ev.Host == host {
			out = append(out, ev)
		}
	}
	return out
}

func TestAGraphRunsInOrderAndASecondRunAppliesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		all := []string{"a", "b", "c"}
		g := Graph{Steps: []Step{
			w.step("join", []string{"b", "c"}, needs(Need{"init", AllHosts}, Need{"content", SameHost})),
			w.step("init", []string{"a"}, needs(Need{"content", SameHost})),
			w.step("content", all, needs(Need{"preflight", AllHosts})),
			w.step("preflight", all, func(s *Step) {
				s.Apply, s.Mutates = nil, false
				s.Check = func(context.Context, string) (Verdict, error) { return Verdict{State: Done}, nil }
			}),
		}}
		res, err := Run(t.Context(), g, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Summary{Done: 3, Changed: 6}); res.Summary != want || !res.Changed {
			t.Fatalf("summary %+v changed %v, want %+v true", res.Summary, res.Changed, want)
		}
		if o, ok := res.Outcome("join", "c"); !ok || o.State != StateChanged || o.Why[0] != "join is missing" || o.Tries != 1 {
			t.Fatalf("outcome of join on c: %+v", o)
		}
		again, err := Run(t.Context(), g, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Summary{Done: 9}); again.Summary != want || again.Changed {
			t.Fatalf("second run: %+v changed %v", again.Summary, again.Changed)
		}
		for k, n := range w.applied {
			if n != 1 {
				t.Errorf("%v was applied %d times", k, n)
			}
		}
	})
}

func TestAFailureStopsOnlyWhatNeedsIt(t *testing.T) {
	boom := Permanent(WithDetail(errors.New("disk too small"), Detail{Reason: "DiskTooSmall"}))
	tests := []struct {
		name  string
		scope Scope
		want  map[string]State
	}{
		{"same host: the other host goes on", SameHost, map[string]State{
			"one@a": StateFailed, "one@b": StateChanged, "two@a": StateBlocked, "two@b": StateChanged,
			"three@a": StateBlocked, "three@b": StateChanged, "apart@a": StateChanged}},
		{"all hosts: nobody goes on", AllHosts, map[string]State{
			"one@a": StateFailed, "one@b": StateChanged, "two@a": StateBlocked, "two@b": StateBlocked,
			"three@a": StateBlocked, "three@b": StateBlocked, "apart@a": StateChanged}},
		{"any host: everybody goes on with the one that did it", AnyHost, map[string]State{
			"one@a": StateFailed, "one@b": StateChanged, "two@a": StateChanged, "two@b": StateChanged,
			"three@a": StateChanged, "three@b": StateChanged, "apart@a": StateChanged}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				ab := []string{"a", "b"}
				res, err := Run(t.Context(), Graph{Steps: []Step{
					w.step("one", ab, failing("a", boom)),
					w.step("two", ab, needs(Need{"one", tt.scope})),
					w.step("three", ab, needs(Need{"two", SameHost})),
					w.step("apart", []string{"a"}),
				}}, Options{})
				wantStates(t, res, tt.want)
				re, ok := errors.AsType[*RunError](err)
				if !ok || len(re.Failures) != 1 || !errors.Is(err, boom) {
					t.Fatalf("error %v, want a RunError with one failure", err)
				}
				if o, _ := res.Outcome("three", "a"); o.State == StateBlocked && !strings.Contains(o.Message, "one failed on a (DiskTooSmall)") {
					t.Errorf("blocked message %q does not name the failure at the far end", o.Message)
				}
			})
		})
	}
}

func TestANeedForAnyHostIsBlockedOnlyWhenNoHostIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		res, _ := Run(t.Context(), Graph{Steps: []Step{
			w.step("one", []string{"a", "b"}, func(s *Step) {
				s.Apply = func(_ context.Context, h string, _ func(string)) error { return Permanent(errors.New("no")) }
			}),
			w.step("two", []string{"c"}, needs(Need{"one", AnyHost})),
		}}, Options{})
		wantStates(t, res, map[string]State{"one@a": StateFailed, "one@b": StateFailed, "two@c": StateBlocked})
	})
}

func TestANeedOnTheSameHostIsVacuousWhereTheStepDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		res, err := Run(t.Context(), Graph{Steps: []Step{
			w.step("one", []string{"a"}),
			w.step("two", []string{"b"}, needs(Need{"one", SameHost})),
		}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantStates(t, res, map[string]State{"one@a": StateChanged, "two@b": StateChanged})
	})
}

func TestAStepWithoutHostsHandsOnWhatItWaitsFor(t *testing.T) {
	for _, broken := range []bool{false, true} {
		t.Run(fmt.Sprintf("broken=%v", broken), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				first := w.step("first", []string{"a"})
				want := StateChanged
				if broken {
					first = w.step("first", []string{"a"}, failing("a", Permanent(errors.New("no"))))
					want = StateBlocked
				}
				res, _ := Run(t.Context(), Graph{Steps: []Step{
					w.step("last", []string{"b"}, needs(Need{"empty", AllHosts})),
					w.step("empty", nil, needs(Need{"first", AllHosts})),
					first,
				}}, Options{})
				if got := states(res)["last@b"]; got != want {
					t.Fatalf("last ended as %s, want %s", got, want)
				}
				if !broken && strings.Join(w.order, " ") != "first@a last@b" {
					t.Fatalf("order %v", w.order)
				}
			})
		})
	}
}

func TestRetriesGoByTheKindOfTheError(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		tries int
		kind  Kind
	}{
		{"retryable is tried five times", Retryable(errors.New("x")), 5, KindRetryable},
		{"permanent is tried once", Permanent(errors.New("x")), 1, KindPermanent},
		{"what needs a human is tried once", NeedsHuman(errors.New("x")), 1, KindNeedsHuman},
		{"unknown is tried once", errors.New("x"), 1, KindPermanent},
		{"a refused connection is tried again", fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), 5, KindRetryable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				res, _ := Run(t.Context(), Graph{Steps: []Step{w.step("one", []string{"a", "b"}, failing("a", tt.err))}}, Options{})
				o, _ := res.Outcome("one", "a")
				if o.Tries != tt.tries || o.Kind != tt.kind || o.State != StateFailed {
					t.Fatalf("tries %d kind %s state %s, want %d %s Failed", o.Tries, o.Kind, o.State, tt.tries, tt.kind)
				}
				if b, _ := res.Outcome("one", "b"); b.Tries != 1 || b.State != StateChanged {
					t.Fatalf("the other host: %+v", b)
				}
			})
		})
	}
}

func TestARetryThatSucceedsEndsAsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ev := newWorld(), &events{}
		calls := 0
		code := 17
		res, err := Run(t.Context(), Graph{Steps: []Step{w.step("one", []string{"a"}, func(s *Step) {
			apply := s.Apply
			s.Apply = func(ctx context.Context, h string, report func(string)) error {
				if calls++; calls < 3 {
					return Retryable(WithDetail(errors.New("busy"), Detail{Reason: "Busy", ExitCode: &code, Output: "try later"}))
				}
				return apply(ctx, h, report)
			}
		})}}, Options{Sink: ev, Operation: "op", Attempt: 4})
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := res.Outcome("one", "a"); o.State != StateChanged || o.Tries != 3 || o.Took < time.Second {
			t.Fatalf("outcome %+v", o)
		}
		var seen []string
		for _, e := range ev.of("one", "a") {
			if e.Operation != "op" || e.Attempt != 4 {
				t.Fatalf("event %+v lacks the operation", e)
			}
			if e.State == StateRetrying && (e.Reason != "Busy" || *e.ExitCode != 17 || e.Output != "try later") {
				t.Fatalf("event %+v lacks the detail of the failure", e)
			}
			if len(e.Why) == 0 {
				seen = append(seen, fmt.Sprintf("%s/%d", e.State, e.Try))
			}
		}
		if got := strings.Join(seen, " "); got != "Running/1 Retrying/1 Running/2 Retrying/2 Running/3" {
			t.Fatalf("states %s", got)
		}
	})
}

func TestApplyCountsOnlyWhenObserved(t *testing.T) {
	tests := []struct {
		name     string
		after    time.Duration // how long after Apply the Check comes to Done
		want     State
		reason   string
		attempts int
	}{
		{"at once", 0, StateChanged, "", 1},
		{"while it settles", 30 * time.Second, StateChanged, "", 1},
		{"later than the timeout", time.Hour, StateFailed, ReasonNotObserved, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var done time.Time
				res, _ := Run(t.Context(), Graph{Steps: []Step{{
					ID: "one", Hosts: []string{"a"}, Mutates: true, Timeout: time.Minute, Retry: RetryPolicy{Attempts: 2},
					Check: func(context.Context, string) (Verdict, error) {
						if !done.IsZero() && !time.Now().Before(done) {
							return Verdict{State: Done}, nil
						}
						return Verdict{State: Needed, Why: []string{"pod not ready"}}, nil
					},
					Apply: func(context.Context, string, func(string)) error { done = time.Now().Add(tt.after); return nil },
				}}}, Options{})
				o, _ := res.Outcome("one", "a")
				if o.State != tt.want || o.Reason != tt.reason || o.Tries != tt.attempts {
					t.Fatalf("outcome %+v", o)
				}
				if tt.want == StateFailed && !strings.Contains(o.Message, "applied but not observed within 1m0s: pod not ready") {
					t.Fatalf("message %q", o.Message)
				}
			})
		})
	}
}

func TestWaiting(t *testing.T) {
	unreachable := Retryable(WithDetail(errors.New("no answer from 10.0.0.1"), Detail{Reason: "Unreachable"}))
	tests := []struct {
		name   string
		check  func(since time.Duration) (Verdict, error)
		apply  bool
		want   State
		reason string
		took   time.Duration
	}{
		{"a wait ends when the check comes to done", func(d time.Duration) (Verdict, error) {
			if d > 10*time.Second {
				return Verdict{State: Done}, nil
			}
			return Verdict{State: Needed, Why: []string{"not yet"}}, nil
		}, false, StateDone, "", 12 * time.Second},
		{"a wait is patient with retryable errors", func(d time.Duration) (Verdict, error) {
			if d > 10*time.Second {
				return Verdict{State: Done}, nil
			}
			return Verdict{}, unreachable
		}, false, StateDone, "", 12 * time.Second},
		{"a wait fails at its timeout and is not tried again", func(time.Duration) (Verdict, error) {
			return Verdict{State: Unknown, Why: []string{"not yet"}}, nil
		}, false, StateFailed, ReasonNotObserved, time.Minute},
		{"a wait that ends in an error keeps its reason", func(time.Duration) (Verdict, error) {
			return Verdict{}, unreachable
		}, false, StateFailed, "Unreachable", time.Minute},
		{"a permanent error ends a wait at once", func(time.Duration) (Verdict, error) {
			return Verdict{}, Permanent(errors.New("wrong key"))
		}, false, StateFailed, ReasonError, 0},
		{"an unknown state is asked again as the check says", func(d time.Duration) (Verdict, error) {
			if d >= 20*time.Second {
				return Verdict{State: Done}, nil
			}
			return Verdict{State: Unknown, RetryAfter: 20 * time.Second}, nil
		}, true, StateDone, "", 20 * time.Second},
		{"a state that stays unknown is never applied upon", func(time.Duration) (Verdict, error) {
			return Verdict{State: Unknown, Why: []string{"etcd does not answer"}}, nil
		}, true, StateFailed, ReasonUnknown, 2*time.Minute + 2*time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				s := Step{ID: "one", Hosts: []string{"a"}, Timeout: time.Minute, Retry: RetryPolicy{Attempts: 2},
					Check: func(context.Context, string) (Verdict, error) { return tt.check(time.Since(begin)) }}
				if tt.apply {
					s.Apply = func(context.Context, string, func(string)) error { t.Error("applied"); return nil }
				}
				res, _ := Run(t.Context(), Graph{Steps: []Step{s}}, Options{})
				o, _ := res.Outcome("one", "a")
				if o.State != tt.want || o.Reason != tt.reason || o.Took > tt.took || o.Took < tt.took*4/5 {
					t.Fatalf("outcome %+v, want %s %q after about %s", o, tt.want, tt.reason, tt.took)
				}
			})
		})
	}
}

func TestACheckThatFailsBeforeApplyUsesUpATry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		res, _ := Run(t.Context(), Graph{Steps: []Step{w.step("one", []string{"a"}, func(s *Step) {
			s.Check = func(context.Context, string) (Verdict, error) { return Verdict{}, Retryable(errors.New("no answer")) }
		})}}, Options{})
		o, _ := res.Outcome("one", "a")
		if o.State != StateFailed || o.Tries != DefaultAttempts || o.Took > time.Minute {
			t.Fatalf("outcome %+v", o)
		}
	})
}

func TestAFailureKnownBeforeTheCutOffIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		res, _ := Run(t.Context(), Graph{Steps: []Step{{ID: "one", Hosts: []string{"a"}, Timeout: time.Minute,
			Check: func(ctx context.Context, _ string) (Verdict, error) {
				if asked++; asked == 1 {
					return Verdict{State: Needed, Why: []string{"port 6443 is closed"}}, nil
				}
				<-ctx.Done()
				return Verdict{}, ctx.Err()
			}}}}, Options{})
		if o, _ := res.Outcome("one", "a"); o.Message != "not there after 1m0s: port 6443 is closed" {
			t.Fatalf("outcome %+v", o)
		}
	})
}

func TestACutOffApplyIsRetryableAndCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		calls := 0
		res, err := Run(t.Context(), Graph{Steps: []Step{w.step("one", []string{"a"}, func(s *Step) {
			s.Timeout = time.Minute
			s.Apply = func(ctx context.Context, h string, _ func(string)) error {
				calls++
				<-ctx.Done()
				w.is[pairKey{"one", h}] = true // the work went on by itself
				return errors.New("signal: killed")
			}
		})}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := res.Outcome("one", "a"); calls != 1 || o.State != StateChanged || o.Tries != 2 {
			t.Fatalf("calls %d, outcome %+v", calls, o)
		}
	})
}

func TestADoneStepMayHaveANote(t *testing.T) {
	noted := func(context.Context, string) (Verdict, error) { return Verdict{State: Done, Note: "by the way"}, nil }
	apply := func(context.Context, string, func(string)) error { return nil }
	for _, mode := range []Mode{ModeApply, ModePlan} {
		var last []string
		sink := SinkFunc(func(e Event) {
			if e.State == StateDone {
				last = append(last, e.Step+": "+e.Message)
			}
		})
		_, err := Run(t.Context(), Graph{Steps: []Step{
			{ID: "a", Hosts: []string{"n1"}, Check: noted},
			{ID: "b", Hosts: []string{"n1"}, Check: noted, Apply: apply, Needs: []Need{{Step: "a"}}},
		}}, Options{Mode: mode, Sink: sink})
		if err != nil || strings.Join(last, ", ") != "a: by the way, b: by the way" {
			t.Errorf("in mode %s it told %q, error %v", mode, last, err)
		}
	}
}

func TestAGuardRefusesBeforeAnythingIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		res, _ := Run(t.Context(), Graph{Steps: []Step{w.step("one", []string{"a", "b"}, func(s *Step) {
			s.Guard = func(_ context.Context, h string) error {
				if h == "a" {
					return errors.New("two of three members are left")
				}
				return nil
			}
		})}}, Options{})
		o, _ := res.Outcome("one", "a")
		if o.State != StateFailed || o.Reason != ReasonGuardRefused || o.Tries != 1 || w.applied[pairKey{"one", "a"}] != 0 {
			t.Fatalf("outcome %+v", o)
		}
		if w.applied[pairKey{"one", "b"}] != 1 {
			t.Fatal("the guard of a held up b")
		}
	})
}

func TestAPanicFailsOnlyItsOwnHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		res, _ := Run(t.Context(), Graph{Steps: []Step{w.step("one", []string{"a", "b"}, func(s *Step) {
			apply := s.Apply
			s.Apply = func(ctx context.Context, h string, report func(string)) error {
				if h == "a" {
					panic("nil map")
				}
				return apply(ctx, h, report)
			}
		})}}, Options{})
		wantStates(t, res, map[string]State{"one@a": StateFailed, "one@b": StateChanged})
		if o, _ := res.Outcome("one", "a"); o.Reason != ReasonPanic || o.Tries != 1 {
			t.Fatalf("outcome %+v", o)
		}
	})
}

func TestCancelEndsWhatRunsAndStartsNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		res, err := Run(ctx, Graph{Steps: []Step{
			w.step("quick", []string{"a"}),
			w.step("slow", []string{"a", "b"}, needs(Need{"quick", AllHosts}), func(s *Step) {
				s.Window = 1
				s.Apply = func(ctx context.Context, _ string, _ func(string)) error {
					cancel()
					<-ctx.Done()
					return ctx.Err()
				}
			}),
			w.step("after", []string{"a", "b"}, needs(Need{"slow", SameHost})),
		}}, Options{})
		wantStates(t, res, map[string]State{"quick@a": StateChanged, "slow@a": StateFailed, "slow@b": StateBlocked,
			"after@a": StateBlocked, "after@b": StateBlocked})
		if !res.Cancelled || !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "cancelled; 1 step failed, 3 not run") {
			t.Fatalf("cancelled %v, error %v", res.Cancelled, err)
		}
		if o, _ := res.Outcome("slow", "a"); o.Reason != ReasonCancelled {
			t.Fatalf("outcome %+v", o)
		}
	})
}

func TestACancelledWaitForARetryEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		res, err := Run(ctx, Graph{Steps: []Step{w.step("one", []string{"a"}, failing("a", Retryable(errors.New("busy"))), func(s *Step) {
			s.Retry = RetryPolicy{Initial: time.Hour, Max: time.Hour}
		})}}, Options{})
		if d := time.Since(begin); d != time.Second || !res.Cancelled || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("took %s, cancelled %v, error %v", d, res.Cancelled, err)
		}
	})
}

func TestPlan(t *testing.T) {
	down := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	never := func(*Step) {}
	tests := []struct {
		name   string
		first  bool // whether the first step is done already; the middle one always is
		second func(*Step)
		want   State
		reason string
	}{
		{"what is needed would be changed", false, never, StateChanged, ReasonPlanned},
		{"what cannot be asked before an earlier change would probably be changed", false, func(s *Step) {
			s.Check = func(context.Context, string) (Verdict, error) { return Verdict{}, down }
		}, StateChanged, ReasonPlannedUnknown},
		{"a refusal fails the plan even behind an earlier change", false, func(s *Step) {
			s.Check = func(context.Context, string) (Verdict, error) {
				return Verdict{}, NeedsHuman(WithDetail(errors.New("belongs to another cluster"), Detail{Reason: "ForeignHost"}))
			}
		}, StateFailed, "ForeignHost"},
		{"a wait behind an earlier change is left out", false, func(s *Step) { s.Apply, s.Mutates = nil, false }, StateSkipped, ReasonAwaited},
		{"a wait behind no change is judged", true, func(s *Step) { s.Apply, s.Mutates = nil, false }, StateFailed, ReasonNotObserved},
		{"an error behind no change fails the plan", true, func(s *Step) {
			s.Check = func(context.Context, string) (Verdict, error) { return Verdict{}, down }
		}, StateFailed, ReasonError},
		{"what only prepares is left out", true, func(s *Step) { s.Mutates = false }, StateSkipped, ReasonAwaited},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.is[pairKey{"first", "a"}] = tt.first
				w.is[pairKey{"middle", "a"}] = true
				res, _ := Run(t.Context(), Graph{Steps: []Step{
					w.step("first", []string{"a"}),
					w.step("middle", []string{"a"}, needs(Need{"first", AllHosts})),
					w.step("second", []string{"a"}, needs(Need{"middle", SameHost}), tt.second),
				}}, Options{Mode: ModePlan})
				o, _ := res.Outcome("second", "a")
				if o.State != tt.want || o.Reason != tt.reason {
					t.Errorf("second ended as %s %s (%s), want %s %s", o.State, o.Reason, o.Message, tt.want, tt.reason)
				}
				if len(w.applied) != 0 {
					t.Errorf("a plan applied %v", w.applied)
				}
			})
		})
	}
}

func TestSelection(t *testing.T) {
	tests := []struct {
		name       string
		only, skip []string
		want       string
		wantErr    string
	}{
		{"everything", nil, nil, "cp/init@a cp/join@a cpx@a", ""},
		{"only by folder takes whole words", []string{"cp"}, nil, "cp/init@a cp/join@a", ""},
		{"only by ID", []string{"cp/join"}, nil, "cp/join@a", ""},
		{"skip wins over only", []string{"cp/"}, []string{"cp/init"}, "cp/join@a", ""},
		{"a name that means nothing is refused", nil, []string{"cp/in"}, "", `skip names "cp/in"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				a := []string{"a"}
				res, err := Run(t.Context(), Graph{Steps: []Step{
					w.step("cp/init", a),
					w.step("cp/join", a, needs(Need{"cp/init", AllHosts})),
					w.step("cpx", a, needs(Need{"cp/join", AllHosts})),
				}}, Options{Only: tt.only, Skip: tt.skip})
				if tt.wantErr != "" {
					if _, ok := errors.AsType[*GraphError](err); !ok || !strings.Contains(err.Error(), tt.wantErr) || res != nil {
						t.Fatalf("error %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(w.order, " "); got != tt.want {
					t.Fatalf("ran %q, want %q", got, tt.want)
				}
				if res.Summary.Changed+res.Summary.Skipped != 3 {
					t.Fatalf("summary %+v", res.Summary)
				}
			})
		})
	}
}

func TestASkippedStepStillHandsOnTheFailureOfWhatItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a := []string{"a"}
		res, _ := Run(t.Context(), Graph{Steps: []Step{
			w.step("preflight", a, failing("a", Permanent(errors.New("no")))),
			w.step("content", a, needs(Need{"preflight", AllHosts})),
			w.step("init", a, needs(Need{"content", AllHosts})),
		}}, Options{Skip: []string{"content"}})
		wantStates(t, res, map[string]State{"preflight@a": StateFailed, "content@a": StateBlocked, "init@a": StateBlocked})
	})
}

func TestProgressIsReportedAndNothingComesAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ev := newWorld(), &events{}
		var late func(string)
		_, err := Run(t.Context(), Graph{Steps: []Step{w.step("two", []string{"a"}, needs(Need{"one", SameHost}), func(s *Step) {
			s.Check = func(context.Context, string) (Verdict, error) { late("too late"); return Verdict{State: Done}, nil }
		}), w.step("one", []string{"a"}, func(s *Step) {
			apply := s.Apply
			s.Apply = func(ctx context.Context, h string, report func(string)) error {
				report("12 of 40 MB")
				late = report
				return apply(ctx, h, report)
			}
		})}}, Options{Sink: Multi(nil, ev)})
		if err != nil {
			t.Fatal(err)
		}
		all := ev.of("one", "a")
		var messages []string
		for _, e := range all {
			if e.Message != "" {
				messages = append(messages, fmt.Sprintf("%s: %s", e.State, e.Message))
			}
		}
		if len(messages) != 1 || messages[0] != "Running: 12 of 40 MB" {
			t.Fatalf("messages %q", messages)
		}
		if last := all[len(all)-1]; last.State != StateChanged || last.Why[0] != "one is missing" {
			t.Fatalf("last event %+v", last)
		}
	})
}

func TestTheMessageOfARunErrorIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var hosts []string
		for i := range 200 {
			hosts = append(hosts, fmt.Sprintf("host-%03d", i))
		}
		_, err := Run(t.Context(), Graph{Steps: []Step{w.step("one", hosts, func(s *Step) {
			s.Apply = func(context.Context, string, func(string)) error { return Permanent(errors.New("no")) }
		})}}, Options{})
		want := "200 steps failed: one on host-000: no; one on host-001: no; one on host-002: no; one on host-003: no; one on host-004: no; and 195 more"
		if err == nil || err.Error() != want {
			t.Fatalf("got %v", err)
		}
	})
}

func TestWhatWaitsForItsTurnSaysSoOnce(t *testing.T) {
	tests := []struct {
		name string
		set  func(*Step)
		opts Options
		want string
	}{
		{"for the window", func(s *Step) { s.Window = 1 }, Options{}, "waits its turn: 1 at a time"},
		{"for the group", func(s *Step) { s.Exclusive = "control-plane" }, Options{}, "waits its turn: one at a time in control-plane"},
		{"for the limit on hosts", func(*Step) {}, Options{MaxParallelHosts: 1}, "waits its turn: 1 hosts at a time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ev := newWorld(), &events{}
				tt.opts.Sink = ev
				if _, err := Run(t.Context(), Graph{Steps: []Step{w.step("one", []string{"a", "b", "c"}, tt.set)}}, tt.opts); err != nil {
					t.Fatal(err)
				}
				for host, times := range map[string]int{"a": 0, "b": 1, "c": 1} {
					for _, e := range ev.of("one", host) {
						if e.State == StatePending {
							times--
							if e.Message != tt.want || e.Reason != ReasonWaitingForSlot {
								t.Errorf("%s says %q %q, want %q", host, e.Reason, e.Message, tt.want)
							}
						}
					}
					if times != 0 {
						t.Errorf("%s says it %d times too seldom", host, times)
					}
				}
				if got := strings.Join(w.order, " "); got != "one@a one@b one@c" {
					t.Errorf("order %s", got)
				}
			})
		})
	}
}
