package resource

import (
	"context"

	"github.com/kubewright/kubewright/pkg/host/api"
)

// Check finds out how far the host is from having each resource. It changes nothing but the cache of stamps.
func (t *Task) Check(ctx context.Context, rs []api.Resource) ([]api.Verdict, error) {
	verdicts := make([]api.Verdict, 0, len(rs))
	for i := range rs {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		verdicts = append(verdicts, t.check(ctx, &rs[i]))
	}
	return verdicts, t.Stamps.Save()
}

func (t *Task) check(ctx context.Context, r *api.Resource) api.Verdict {
	f, err := handler(r.Kind()).check(ctx, t, r)
	v := api.Verdict{Resource: r.ID, Kind: r.Kind(), State: f.state, Why: f.why, Diff: f.diff, Running: f.running, Unit: f.unit}
	if err != nil {
		v.State, v.Why = api.Unknown, err.Error()
	}
	return v
}
