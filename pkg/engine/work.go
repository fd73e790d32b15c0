package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/host/inbound"
)

// How often a Check is asked that has not come to the wanted verdict yet: quickly at first, because most things settle at once, then more
// rarely the more hosts may ask side by side, so that hundreds of them cost nothing and one that joins is not kept waiting.
const (
	firstPoll   = 100 * time.Millisecond
	pollPerHost = 50 * time.Millisecond
	// The longest time between two questions lies between these.
	leastLastPoll, mostLastPoll = 500 * time.Millisecond, 2 * time.Second
)

// lastPoll is the longest time between two questions of a step on so many hosts.
func lastPoll(hosts int) time.Duration {
	return min(max(time.Duration(hosts)*pollPerHost, leastLastPoll), mostLastPoll)
}

// work carries one step through on one host. It is used by one goroutine and owns the pair until do returns.
type work struct {
	run  *run
	pair *pair
	step *Step
	host string

	applied bool     // an Apply of this run succeeded or may have changed something
	shown   []string // the reasons last reported as progress
	fresh   bool     // this is the first try, or the first since one that came further
}

// do leaves a final outcome in the pair.
func (w *work) do(ctx context.Context) {
	o := &w.pair.outcome
	clock := w.run.opts.Clock
	o.StartedAt = clock.Now()
	defer func() { o.Took = clock.Now().Sub(o.StartedAt) }()
	policy := w.step.Retry.filled()
	w.fresh = true
	// counted is how many tries there were since one came further than those before it.
	for counted := 1; ; counted++ {
		o.Tries++
		w.say(StateRunning, "", "", Detail{})
		err := w.try(ctx)
		if err == nil {
			return
		}
		kind, known := classify(err)
		if ctx.Err() != nil && (!known || kind == KindRetryable) {
			err = cutOff(ctx, err)
			kind = KindRetryable
		}
		d := detailOf(err)
		if _, w.fresh = errors.AsType[*advancedError](err); w.fresh {
			counted = 1
		}
		// Who asked for a stop wants no further try; what the last one came to is known.
		w.pair.gaveUp = kind == KindRetryable && w.stopping()
		last := ctx.Err() != nil || w.pair.gaveUp || kind != KindRetryable || counted >= policy.Attempts || w.step.Apply == nil
		if last {
			w.fail(err, kind, d)
			return
		}
		wait := policy.wait(counted)
		w.say(StateRetrying, d.Reason, fmt.Sprintf("%v; next try in %s", err, wait.Round(10*time.Millisecond)), d)
		select {
		case <-ctx.Done():
			w.fail(cutOff(ctx, err), kind, Detail{Reason: ReasonCancelled, ExitCode: d.ExitCode, Output: d.Output})
			return
		case <-w.run.opts.Stop:
			w.pair.gaveUp = true
			w.fail(err, kind, d)
			return
		case <-clock.After(wait):
		}
	}
}

// stopping says whether the run was asked to stop.
func (w *work) stopping() bool {
	select {
	case <-w.run.opts.Stop:
		return true
	default:
		return false
	}
}

// cutOff is the error of a pair that was in hand when the run was cancelled; err is what it said last.
func cutOff(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if !errors.Is(err, cause) {
		cause = fmt.Errorf("%w; last it said: %w", cause, err)
	}
	return WithDetail(fmt.Errorf("cut off because the run was cancelled: %w", cause), Detail{Reason: ReasonCancelled})
}

// try makes one try. It returns nil with the pair in a final state that is OK.
func (w *work) try(ctx context.Context) error {
	if w.run.opts.Mode == ModePlan {
		return w.plan(ctx)
	}
	if w.step.Apply == nil {
		v, err := w.poll(ctx, isDone, true, ReasonNotObserved, "not there after %s: %s")
		if err != nil {
			return err
		}
		w.endDone(v)
		return nil
	}
	v, err := w.poll(ctx, isKnown, false, ReasonUnknown, "cannot tell after %s how things stand: %s")
	if err != nil {
		return err
	}
	if v.State == Needed {
		if err := w.guardAndApply(ctx, v); err != nil {
			return err
		}
		if v, err = w.poll(ctx, isDone, true, ReasonNotObserved, "applied but not observed within %s: %s"); err != nil {
			return err
		}
	}
	if w.applied && w.step.Mutates {
		w.end(StateChanged, "", w.pair.outcome.Why)
	} else {
		w.endDone(v)
	}
	return nil
}

// plan asks the Check and says what would be done.
func (w *work) plan(ctx context.Context) error {
	if !w.pair.changed && w.step.Apply == nil {
		// Nothing before it would change, so what it waits for has to come by itself, as it would in a real run.
		v, err := w.poll(ctx, isDone, true, ReasonNotObserved, "not there after %s: %s")
		if err != nil {
			return err
		}
		w.endDone(v)
		return nil
	}
	pctx, cancel := w.phase(ctx)
	defer cancel()
	v, err := w.check(pctx)
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		kind, known := classify(err)
		if !w.pair.changed || known && kind != KindRetryable {
			return err
		}
		// What it asks may not exist before the changes that come first.
		v = Verdict{State: Unknown, Why: []string{"cannot be told before the changes that come first: " + err.Error()}}
	}
	switch {
	case v.State == Done:
		w.endDone(v)
	case !w.step.Mutates:
		w.end(StateSkipped, ReasonAwaited, v.Why)
	case v.State == Needed:
		w.end(StateChanged, ReasonPlanned, v.Why)
	default:
		w.end(StateChanged, ReasonPlannedUnknown, v.Why)
	}
	return nil
}

func isDone(v Verdict) bool  { return v.State == Done }
func isKnown(v Verdict) bool { return v.State == Done || v.State == Needed }

// poll asks Check until the verdict is enough. With patient, retryable errors of Check are waited out too, which is right where the
// thing asked may be on its way up. At the end of the phase it fails with the given reason and message, which has places for the
// time and for what was missing.
func (w *work) poll(ctx context.Context, enough func(Verdict) bool, patient bool, reason, message string) (Verdict, error) {
	pctx, cancel := w.phase(ctx)
	defer cancel()
	var last Verdict
	var lastErr error
	for wait := firstPoll; ; wait = min(2*wait, lastPoll(len(w.step.Hosts))) {
		v, err := w.check(pctx)
		switch {
		case err == nil && enough(v):
			return v, nil
		case err == nil:
			last, lastErr = v, nil
			w.show(v.Why)
		case pctx.Err() != nil:
			// A call that was cut off tells less than what was found before it.
			if lastErr == nil && len(last.Why) == 0 {
				lastErr = err
			}
		case !patient || KindOf(err) != KindRetryable:
			return v, err
		default:
			lastErr = err
			w.show([]string{err.Error()})
		}
		pause := wait
		if err == nil && v.RetryAfter > 0 {
			pause = v.RetryAfter
		}
		select {
		case <-pctx.Done():
			if ctx.Err() != nil {
				return last, context.Cause(ctx)
			}
			return last, w.late(reason, message, last, lastErr)
		case <-w.run.opts.Clock.After(pause):
		}
	}
}

// late is the error of a poll that ran out of time. An error of Check that explains it keeps its own reason.
func (w *work) late(reason, message string, last Verdict, lastErr error) error {
	w.pair.outcome.Why = last.Why
	if lastErr == nil {
		return Retryable(WithDetail(fmt.Errorf(message, w.timeout(), reasons(last.Why)), Detail{Reason: reason}))
	}
	d := DetailOf(lastErr)
	if d.Reason == "" {
		d.Reason = reason
	}
	return Retryable(WithDetail(&lateError{text: fmt.Sprintf(message, w.timeout(), lastErr), err: lastErr}, d))
}

// lateError is an error of Check that was waited out in vain.
type lateError struct {
	text string
	err  error
}

func (e *lateError) Error() string { return e.text }
func (e *lateError) Unwrap() error { return e.err }

// guardAndApply brings about what v found missing, within one phase or, for a step that may stall, for as long as it reports progress.
func (w *work) guardAndApply(ctx context.Context, v Verdict) error {
	w.pair.outcome.Why = v.Why
	pctx, alive, cancel := w.applying(ctx)
	defer cancel()
	if w.step.Guard != nil {
		if err := w.safely(func() error { return w.step.Guard(pctx, w.host) }); err != nil {
			return w.phaseError(ctx, pctx, "guard", withReason(fmt.Errorf("refused: %w", err), ReasonGuardRefused))
		}
	}
	w.show(v.Why)
	// Even a failed Apply may have changed something, and the next Check may find it all done.
	w.applied = true
	report, stop := w.reporter()
	defer stop()
	err := w.safely(func() error {
		return w.step.Apply(pctx, w.host, func(message string) {
			alive()
			report(message)
		})
	})
	if err != nil {
		return w.phaseError(ctx, pctx, "apply", err)
	}
	if w.run.opts.AfterApply != nil {
		w.run.opts.AfterApply(w.step.ID, w.host)
	}
	if w.fresh {
		w.say(StateRunning, "", "", Detail{}) // that it was applied is news to whoever waits for some
	}
	return nil
}

// phaseError says of a failure at the end of a phase that the time was over: what a function returns when it is cut off is seldom
// marked as retryable.
func (w *work) phaseError(ctx, pctx context.Context, what string, err error) error {
	if pctx.Err() == nil || ctx.Err() != nil {
		return err
	}
	if stalled, ok := errors.AsType[*stalledError](context.Cause(pctx)); ok {
		return Retryable(WithDetail(fmt.Errorf("%s was cut off %w; last it said: %w", what, stalled, err), Detail{Reason: ReasonTimeout}))
	}
	if _, known := classify(err); known && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return Retryable(withReason(fmt.Errorf("%s was cut off after %s: %w", what, w.timeout(), err), ReasonTimeout))
}

func (w *work) check(ctx context.Context) (v Verdict, err error) {
	err = w.safely(func() (err error) {
		v, err = w.step.Check(ctx, w.host)
		return err
	})
	// Reasons repeat what API servers and programs say.
	v.Why, v.Note = slices.Clone(v.Why), inbound.Text(v.Note)
	inbound.Clean(&v.Why)
	return v, err
}

// safely turns a panic into a permanent error, so that a defect in one step does not leave all other hosts half done.
func (w *work) safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Permanent(WithDetail(fmt.Errorf("defect in step %s: %v", w.step.ID, p),
				Detail{Reason: ReasonPanic, Output: tail(string(debug.Stack()), maxOutput)}))
		}
	}()
	return f()
}

func (w *work) timeout() time.Duration {
	if w.step.Timeout > 0 {
		return w.step.Timeout
	}
	return DefaultTimeout
}

func (w *work) phase(ctx context.Context) (context.Context, context.CancelFunc) {
	return w.run.opts.Clock.WithTimeout(ctx, w.timeout())
}

// applying is the context of Guard and Apply, and how Apply shows that it goes on.
func (w *work) applying(ctx context.Context) (pctx context.Context, alive func(), cancel func()) {
	if w.step.Stall <= 0 {
		pctx, cancel := w.phase(ctx)
		return pctx, func() {}, cancel
	}
	pctx, end := context.WithCancelCause(ctx)
	beats := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-beats:
			case <-pctx.Done():
				return
			case <-w.run.opts.Clock.After(w.step.Stall):
				end(&stalledError{w.step.Stall})
				return
			}
		}
	}()
	alive = func() {
		select {
		case beats <- struct{}{}:
		default:
		}
	}
	return pctx, alive, func() {
		end(nil)
		<-ended
	}
}

// stalledError says that an Apply reported nothing for as long as its step may stall.
type stalledError struct{ after time.Duration }

func (e *stalledError) Error() string { return "after " + e.after.String() + " without progress" }

// show reports the reasons of a verdict when they are not the ones reported last.
func (w *work) show(why []string) {
	if len(why) == 0 || slices.Equal(why, w.shown) {
		return
	}
	w.shown = slices.Clone(why)
	e := w.run.event(w.pair)
	e.Why, e.Advances = w.shown, w.fresh
	w.run.events.put(e, true)
}

// reporter returns the function an Apply reports its progress with, and one that ends it: an Apply may leave goroutines behind that
// still report, and nothing may run on after a final state.
func (w *work) reporter() (report func(message string), stop func()) {
	e := w.run.event(w.pair)
	// What moves content says how much is there, which is news in any try.
	e.Advances = w.fresh || w.step.Stall > 0
	var mu sync.Mutex
	over := false
	report = func(message string) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			e.At, e.Message = w.run.opts.Clock.Now(), head(message, maxMessage)
			w.run.events.put(e, true)
		}
	}
	return report, func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
	}
}

// say reports a change of state that is not final.
func (w *work) say(state State, reason, message string, d Detail) {
	w.pair.outcome.State = state
	e := w.run.event(w.pair)
	e.Reason, e.Message = reason, head(message, maxMessage)
	e.Advances = w.fresh && state == StateRunning
	e.ExitCode, e.Output = d.ExitCode, tail(d.Output, maxOutput)
	w.run.events.put(e, false)
}

// endDone ends the pair as found, with the note of the verdict.
func (w *work) endDone(v Verdict) {
	w.end(StateDone, "", nil)
	w.pair.outcome.Message = v.Note
}

func (w *work) end(state State, reason string, why []string) {
	o := &w.pair.outcome
	o.State, o.Reason, o.Why = state, reason, why
}

func (w *work) fail(err error, kind Kind, d Detail) {
	o := &w.pair.outcome
	o.State, o.Reason, o.Message, o.Err, o.Kind = StateFailed, d.Reason, inbound.Text(err.Error()), err, kind
	w.pair.detail = d
}

// detailOf is DetailOf with a reason in any case.
func detailOf(err error) Detail {
	d := DetailOf(err)
	if d.Reason == "" {
		d.Reason = ReasonError
		if errors.Is(err, context.DeadlineExceeded) {
			d.Reason = ReasonTimeout
		}
	}
	return d
}

// withReason gives err a reason if it has none of its own.
func withReason(err error, reason string) error {
	d := DetailOf(err)
	if d.Reason != "" {
		return err
	}
	d.Reason = reason
	return WithDetail(err, d)
}

// wait is how long to wait after the given try: doubling from Initial to Max, of which a random part up to one half is taken off, so
// that hosts that failed together do not come back together.
func (p RetryPolicy) wait(try int) time.Duration {
	d := p.Initial
	for i := 1; i < try && d < p.Max; i++ {
		d *= 2
	}
	d = min(d, p.Max)
	return d - time.Duration(rand.Int64N(int64(d)/2+1)) //nolint:gosec // it spreads load and guards nothing
}
