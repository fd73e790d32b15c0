package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func check(context.Context, string) (Verdict, error) { return Verdict{State: Done}, nil }

func TestValidateNamesEverythingThatIsWrong(t *testing.T) {
	tests := []struct {
		name  string
		steps []Step
		want  []string // parts of the error; none means valid
	}{
		{"an empty graph is fine", nil, nil},
		{"a step without hosts is fine", []Step{{ID: "a", Check: check}}, nil},
		{"a diamond is fine", []Step{
			{ID: "d", Check: check, Needs: []Need{{"b", SameHost}, {"c", AllHosts}}},
			{ID: "b", Check: check, Needs: []Need{{"a", SameHost}}},
			{ID: "c", Check: check, Needs: []Need{{"a", AnyHost}}},
			{ID: "a", Check: check}}, nil},
		{"all problems at once", []Step{
			{ID: "a", Check: check, Hosts: []string{"n1", "n1", ""}},
			{ID: "a", Check: check},
			{ID: "b c"},
			{ID: "d", Check: check, Mutates: true, Window: -1, Needs: []Need{{"nowhere", Scope(9)}}},
		}, []string{"host n1 twice", "host without a name", "ID is used twice", "white space", "no Check", "no Apply",
			"not be negative", `needs step "nowhere"`, "scope 9"}},
		{"a step that needs itself", []Step{{ID: "a", Check: check, Needs: []Need{{"a", AllHosts}}}}, []string{"a needs a"}},
		{"a longer cycle is spelled out", []Step{
			{ID: "a", Check: check, Needs: []Need{{"b", AllHosts}}},
			{ID: "b", Check: check, Needs: []Need{{"c", SameHost}}},
			{ID: "c", Check: check, Needs: []Need{{"a", AnyHost}}}}, []string{"a needs b needs c needs a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Validate(Graph{Steps: tt.steps})
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			ge, ok := errors.AsType[*GraphError](err)
			if !ok {
				t.Fatalf("got %v, want a GraphError", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if len(ge.Problems) != len(tt.want) {
				t.Errorf("%d problems, want %d: %v", len(ge.Problems), len(tt.want), ge.Problems)
			}
			if res, runErr := Run(t.Context(), Graph{Steps: tt.steps}, Options{}); res != nil || runErr == nil {
				t.Error("Run took a graph that Validate refuses")
			}
		})
	}
}

type answers struct{ retryable bool }

func (a answers) Error() string   { return "x" }
func (a answers) Retryable() bool { return a.retryable }

type reasoned struct{ error }

func (reasoned) Detail() Detail { return Detail{Reason: "HostKeyChanged"} }

func TestKindOf(t *testing.T) {
	plain := errors.New("x")
	tests := []struct {
		name string
		err  error
		want Kind
	}{
		{"no error", nil, KindPermanent},
		{"unknown", plain, KindPermanent},
		{"marked and wrapped", fmt.Errorf("y: %w", Retryable(plain)), KindRetryable},
		{"the outermost mark wins", NeedsHuman(Retryable(plain)), KindNeedsHuman},
		{"a mark below a detail", WithDetail(Retryable(plain), Detail{Reason: "R"}), KindRetryable},
		{"answers yes", fmt.Errorf("y: %w", answers{true}), KindRetryable},
		{"answers no", answers{false}, KindPermanent},
		{"a mark over an answer", Permanent(answers{true}), KindPermanent},
		{"deadline", fmt.Errorf("y: %w", context.DeadlineExceeded), KindRetryable},
		{"cancelled", context.Canceled, KindRetryable},
		{"connection refused", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, KindRetryable},
		{"no such name", &net.DNSError{}, KindRetryable},
		{"no space left", &fs.PathError{Op: "write", Err: syscall.ENOSPC}, KindPermanent},
		{"joined: one permanent makes all permanent", errors.Join(Retryable(plain), plain), KindPermanent},
		{"joined: a human comes first", errors.Join(Permanent(plain), NeedsHuman(plain), Retryable(plain)), KindNeedsHuman},
		{"joined: all retryable", fmt.Errorf("%w and %w", Retryable(plain), context.Canceled), KindRetryable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := KindOf(tt.err); got != tt.want {
				t.Fatalf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestDetailIsFoundThroughWrapping(t *testing.T) {
	if got := DetailOf(NeedsHuman(fmt.Errorf("y: %w", reasoned{errors.New("x")}))).Reason; got != "HostKeyChanged" {
		t.Fatalf("reason %q", got)
	}
	if Retryable(nil) != nil || Permanent(nil) != nil || NeedsHuman(nil) != nil || WithDetail(nil, Detail{Reason: "x"}) != nil {
		t.Fatal("a mark on no error makes an error")
	}
}

func TestWaitsDoubleUpToTheLimitAndDiffer(t *testing.T) {
	p := RetryPolicy{Initial: time.Second, Max: 10 * time.Second}.filled()
	seen := map[time.Duration]bool{}
	for try, full := range []time.Duration{1: 1e9, 2: 2e9, 3: 4e9, 4: 8e9, 5: 10e9, 60: 10e9} {
		if full == 0 {
			continue
		}
		for range 50 {
			d := p.wait(try)
			if d > full || d < full/2 {
				t.Fatalf("wait after try %d is %s, want between %s and %s", try, d, full/2, full)
			}
			seen[d] = true
		}
	}
	if len(seen) < 100 {
		t.Fatalf("only %d different waits: hosts that fail together would come back together", len(seen))
	}
}

func TestTextsAreCutAtWholeCharacters(t *testing.T) {
	long := strings.Repeat("ü", 3000)
	for _, got := range []string{head(long, maxMessage), tail(long, maxOutput-1)} {
		if len(got) > maxOutput || strings.ContainsRune(got, '�') {
			t.Fatalf("cut to %d bytes: %q", len(got), got[:20])
		}
	}
	if head("short", 100) != "short" || tail("first\nlast", 4) != "last" {
		t.Fatal("short texts are changed, or the wrong end is kept")
	}
}

func TestASlowSinkHoldsNothingUpAndLosesOnlyOldProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var all []Event
		var ended time.Time
		sink := SinkFunc(func(e Event) {
			<-time.After(time.Second)
			all = append(all, e)
		})
		begin := time.Now()
		res, err := Run(t.Context(), Graph{Steps: []Step{
			w.step("chatty", []string{"a", "b"}, func(s *Step) {
				apply := s.Apply
				s.Apply = func(ctx context.Context, h string, report func(string)) error {
					for i := range 5000 {
						report(fmt.Sprint(i))
					}
					return apply(ctx, h, report)
				}
			}),
			w.step("next", []string{"a", "b"}, needs(Need{"chatty", AllHosts}), func(s *Step) {
				apply := s.Apply
				s.Apply = func(ctx context.Context, h string, report func(string)) error {
					ended = time.Now()
					return apply(ctx, h, report)
				}
			}),
		}}, Options{Sink: sink})
		if err != nil || res.Summary.Changed != 4 {
			t.Fatal(err)
		}
		if d := ended.Sub(begin); d != 0 {
			t.Fatalf("the sink held the run up for %s", d)
		}
		last := map[string]string{}
		final := 0
		for _, e := range all {
			if e.Message != "" {
				last[e.Host] = e.Message
			}
			if e.State.Final() {
				final++
			}
		}
		if final != 4 || last["a"] != "4999" || last["b"] != "4999" {
			t.Fatalf("%d final events, last progress %v", final, last)
		}
		if len(all) > 4*coalesceFrom { // of 10000 reported
			t.Fatalf("%d events were kept for a sink that is far behind", len(all))
		}
	})
}

func TestRecorderShowsStepsHostsAndProblems(t *testing.T) {
	g := Graph{Steps: []Step{
		{ID: "preflight", Title: "Preflight", Hosts: []string{"a", "b", "c"}},
		{ID: "content", Title: "Content", Hosts: []string{"a", "b", "c"}},
		{ID: "join", Title: "Join", Hosts: []string{"b", "c"}},
	}}
	r := NewRecorder(g)
	if s := r.Snapshot()[1]; s.State() != StatePending || s.Pending != 3 || !s.StartedAt.IsZero() {
		t.Fatalf("before the run: %+v", s)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	emit := func(step, host string, state State, try int, more func(*Event)) {
		at = at.Add(time.Second)
		e := Event{Step: step, Host: host, State: state, Try: try, At: at}
		if more != nil {
			more(&e)
		}
		r.Emit(e)
	}
	message := func(m string) func(*Event) { return func(e *Event) { e.Message = m } }
	emit("preflight", "a", StateRunning, 1, nil)
	emit("preflight", "b", StateRunning, 1, nil)
	emit("preflight", "c", StateRunning, 1, nil)
	emit("preflight", "a", StateDone, 1, nil)
	emit("preflight", "b", StateDone, 1, nil)
	emit("preflight", "c", StateFailed, 1, func(e *Event) { e.Reason = "DiskTooSmall" })
	emit("content", "c", StateBlocked, 0, nil)
	emit("join", "c", StateBlocked, 0, nil)
	emit("content", "a", StateRunning, 1, nil)
	emit("content", "a", StateRunning, 1, message("12 of 40 MB"))
	emit("content", "b", StateRunning, 1, nil)
	emit("content", "b", StateRetrying, 1, func(e *Event) { e.Reason = "Busy" })

	snap := r.Snapshot()
	if s := snap[0]; s.State() != StateFailed || s.Done != 2 || s.Failed != 1 || s.Took != 5*time.Second || s.Title != "Preflight" {
		t.Errorf("preflight: %+v", s)
	}
	if s := snap[1]; s.State() != StateRunning || s.Running != 2 || s.Blocked != 1 {
		t.Errorf("content: %+v", s)
	}
	if s := snap[2]; s.Pending != 1 || s.Blocked != 1 || s.Took != 0 {
		t.Errorf("join: %+v", s)
	}
	var problems []string
	for _, p := range r.Problems() {
		problems = append(problems, fmt.Sprintf("%s@%s %s %s", p.Step, p.Host, p.State, p.Reason))
	}
	if got := strings.Join(problems, ", "); got != "preflight@c Failed DiskTooSmall, content@b Retrying Busy" {
		t.Errorf("problems: %s", got)
	}
	var hosts []string
	for _, h := range r.HostStates() {
		hosts = append(hosts, fmt.Sprintf("%s: %s %s %q %d/%d", h.Host, h.Step, h.State, h.Message, h.Ended, h.Steps))
	}
	want := `a: content Running "12 of 40 MB" 1/2, b: content Retrying "" 1/3, c: preflight Failed "" 3/3`
	if got := strings.Join(hosts, ", "); got != want {
		t.Errorf("hosts: %s\nwant   %s", got, want)
	}
}

func TestRecorderNamesABlockedHostOnceAndForgetsWhatGotBetter(t *testing.T) {
	r := NewRecorder(Graph{})
	for _, e := range []Event{
		{Step: "one", Host: "a", State: StateRetrying, Try: 1, Reason: "Busy"},
		{Step: "one", Host: "a", State: StateChanged, Try: 2},
		{Step: "two", Host: "b", State: StateBlocked},
		{Step: "three", Host: "b", State: StateBlocked},
	} {
		r.Emit(e)
	}
	if p := r.Problems(); len(p) != 1 || p[0].Step != "two" || p[0].Host != "b" {
		t.Fatalf("problems %+v", p)
	}
}
