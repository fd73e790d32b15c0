package resource

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Apply makes the resources so, in order: check, skip when done, apply, check again. Neighbouring blobs and images go in
// parallel. It stops at the first resource that fails (in a parallel group, when the group has ended) and returns the
// verdicts reached so far.
func (t *Task) Apply(ctx context.Context, rs []api.Resource) ([]api.Verdict, error) {
	var verdicts []api.Verdict
	for len(rs) > 0 {
		n := groupLength(rs)
		group := make([]*api.Resource, n)
		for i := range group {
			group[i] = &rs[i]
		}
		vs, err := t.applyGroup(ctx, group)
		verdicts = append(verdicts, vs...)
		if err != nil {
			return verdicts, errors.Join(err, t.Stamps.Save())
		}
		rs = rs[n:]
	}
	return verdicts, t.Stamps.Save()
}

func groupLength(rs []api.Resource) int {
	k := rs[0].Kind()
	if handler(k).parallel == 0 {
		return 1
	}
	n := 1
	for n < len(rs) && rs[n].Kind() == k {
		n++
	}
	return n
}

func (t *Task) applyGroup(ctx context.Context, group []*api.Resource) ([]api.Verdict, error) {
	h := handler(group[0].Kind())
	limit := make(chan struct{}, max(1, h.parallel))
	verdicts := make([]api.Verdict, len(group))
	errs := make([]error, len(group))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i, r := range group {
		verdicts[i] = t.check(ctx, r)
		if verdicts[i].State == api.Done {
			continue
		}
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			if ctx.Err() != nil {
				errs[i] = ctx.Err()
				return
			}
			if errs[i] = t.applyOne(ctx, h, r, &verdicts[i]); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	if h.after != nil {
		h.after(ctx, t, group)
	}
	var reached []api.Verdict
	var failed error
	for i, err := range errs {
		switch {
		case err == nil:
			reached = append(reached, verdicts[i])
		case failed == nil || (errors.Is(failed, context.Canceled) && !errors.Is(err, context.Canceled)):
			// The others were only stopped because of this one.
			failed = err
		}
	}
	return reached, failed
}

// applyOne brings one resource from Needed to Done.
func (t *Task) applyOne(ctx context.Context, h kind, r *api.Resource, v *api.Verdict) error {
	start := t.Sys.Now()
	why := v.Why
	if v.State == api.Unknown {
		return t.failed(ctx, r, start, &api.ResourceError{Reason: api.ReasonHost, Retryable: true, Message: "cannot tell what is on the host: " + why})
	}
	if err := t.record(r, "apply", why, start, nil); err != nil {
		return t.failed(ctx, r, start, err)
	}
	if err := h.apply(ctx, t, r); err != nil {
		return t.failed(ctx, r, start, err)
	}
	t.forgetImages(r)
	*v = t.check(ctx, r)
	if v.State != api.Done {
		return t.failed(ctx, r, start, &api.ResourceError{Reason: api.ReasonNotDone, Retryable: true, Message: "applied, but not as it should be afterwards: " + v.Why})
	}
	v.Changed = true
	// The work is done and checked; a journal that cannot be written must not turn it into a failure.
	_ = t.record(r, "changed", why, start, nil)
	return nil
}

// failed gives an error its resource, kind and reason, and puts it into the journal.
func (t *Task) failed(ctx context.Context, r *api.Resource, start time.Time, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var re *api.ResourceError
	if !errors.As(err, &re) {
		re = &api.ResourceError{Reason: api.ReasonHost, Message: err.Error()}
		var missing *sys.NotFoundError
		switch {
		case sys.NoSpace(err):
			re.Reason = api.ReasonNoSpace
			re.Message += ": free some space on this file system"
		case errors.Is(err, context.DeadlineExceeded):
			re.Reason, re.Retryable = api.ReasonTimeout, true
		case errors.As(err, &missing):
			re.Reason = api.ReasonHost
		}
	}
	re.Resource, re.Kind = r.ID, r.Kind()
	_ = t.record(r, "failed", re.Message, start, re)
	return re
}

func (t *Task) record(r *api.Resource, event, message string, start time.Time, re *api.ResourceError) error {
	e := api.JournalEntry{Step: t.Step, Resource: r.ID, Kind: r.Kind(), Event: event, Message: message}
	if event != "apply" {
		e.Millis = t.Sys.Now().Sub(start).Milliseconds()
	}
	if re != nil {
		e.Output = re.Output
		if re.ExitCode != 0 {
			e.ExitCode = &re.ExitCode
		}
	}
	return t.Journal.Append(t.Operation, e)
}
