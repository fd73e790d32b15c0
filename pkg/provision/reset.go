package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// stepReset is the one step of a Reset operation.
const stepReset = "host/reset"

// undone is the little of a cluster that taking it away needs: who it is, and a release that the helper is taken out of. The spec is
// not resolved: it may name hosts or a version that there are not, and what is on hosts has to go all the same.
func undone(cluster *v1alpha1.Cluster, releases []bundle.Release) (*desired.Cluster, error) {
	i := slices.IndexFunc(releases, func(r bundle.Release) bool { return r.KubernetesVersion == cluster.Spec.Version })
	if i < 0 {
		i = len(releases) - 1 // the newest helper knows what older ones placed
	}
	if i < 0 {
		return nil, fmt.Errorf("cluster %s: the bundle holds no release to take the host helper out of; use one of `kubewright bundle build`", cluster.Name)
	}
	return &desired.Cluster{
		Name: cluster.Name, UID: string(cluster.UID), Version: releases[i].KubernetesVersion, Release: &releases[i],
	}, nil
}

// reset removes from every host that leaves what its ledger says is ours. A host that cannot be reached or cleaned fails alone; the
// others are cleaned all the same, and are not part of the cluster any more.
func (x *execution) reset(ctx context.Context, outcome *Outcome) error {
	names := contacted(x.leaving)
	_, connectErr := x.run(ctx, []engine.Step{x.connectStep(names, outcome)}, nil, engine.ModeApply)
	var reached []string
	for _, name := range names {
		if x.facts[name] != nil {
			reached = append(reached, name)
		}
	}
	var mu sync.Mutex
	clean := map[string]bool{}
	result, resetErr := x.run(ctx, []engine.Step{{
		ID: stepReset, Title: "Remove what was placed", Hosts: reached, Mutates: true, Timeout: 10 * time.Minute,
		Check: func(ctx context.Context, host string) (engine.Verdict, error) {
			mu.Lock()
			done := clean[host]
			mu.Unlock()
			if done {
				return engine.Verdict{State: engine.Done}, nil
			}
			return x.checkReset(ctx, host)
		},
		Apply: func(ctx context.Context, host string, report func(string)) error {
			if err := x.applyReset(ctx, host, report); err != nil {
				return err
			}
			mu.Lock()
			clean[host] = true
			mu.Unlock()
			return nil
		},
	}}, nil, x.mode)
	if result != nil {
		outcome.Changed = result.Changed
		if x.mode == engine.ModeApply {
			outcome.Removed = taken(x.leaving, func(host string) bool {
				o, ok := result.Outcome(stepReset, host)
				return ok && o.State.OK()
			})
		}
	}
	return errors.Join(connectErr, resetErr)
}

// taken lists the hosts that a Reset is done with: those it cleaned, and those it was to leave alone.
func taken(leaving []leavingHost, cleaned func(host string) bool) map[string]RemovedHost {
	done := map[string]RemovedHost{}
	for _, l := range leaving {
		switch {
		case l.Orphan:
			done[l.Name] = RemovedHost{}
		case cleaned(l.Name):
			done[l.Name] = RemovedHost{Cleaned: true}
		}
	}
	return done
}

func (x *execution) owner() hostapi.Owner {
	return hostapi.Owner{ClusterName: x.desired.Name, ClusterUID: x.desired.UID}
}

// checkReset is done when nothing of this cluster is on the host. One that belongs to another cluster was refused before anything was
// placed on it, and is left alone.
func (x *execution) checkReset(ctx context.Context, host string) (engine.Verdict, error) {
	owner := x.facts[host].Owner
	switch {
	case owner == nil:
		return engine.Verdict{State: engine.Done}, nil
	case owner.ClusterUID != x.desired.UID:
		return engine.Verdict{State: engine.Done, Why: []string{fmt.Sprintf("it belongs to cluster %q (uid %s) and is left alone", owner.ClusterName, owner.ClusterUID)}}, nil
	}
	helper, err := x.sessions.leased(ctx, host)
	if err != nil {
		return engine.Verdict{}, err
	}
	report, err := helper.Reset(ctx, hostapi.ResetRequest{Owner: x.owner(), DryRun: true}, nil)
	if err != nil {
		return engine.Verdict{}, classify(err)
	}
	if len(report.Items) == 0 {
		return engine.Verdict{State: engine.Done}, nil
	}
	verdict := engine.Verdict{State: engine.Needed}
	for _, item := range report.Items {
		verdict.Why = append(verdict.Why, item.Action+" "+item.Target)
	}
	return verdict, nil
}

func (x *execution) applyReset(ctx context.Context, host string, progress func(string)) error {
	helper, err := x.sessions.leased(ctx, host)
	if err != nil {
		return err
	}
	report, err := helper.Reset(ctx, hostapi.ResetRequest{Owner: x.owner()}, func(p hostapi.Progress) { progress(p.Message) })
	if err != nil {
		return classify(err)
	}
	if report.Errors == 0 {
		return nil
	}
	var errs []error
	for _, item := range report.Items {
		if item.Error != "" {
			errs = append(errs, fmt.Errorf("%s %s: %s", item.Action, item.Target, item.Error))
		}
	}
	return engine.Retryable(&resetIncompleteError{left: report.Errors, errs: errs})
}

// resetIncompleteError says what of ours is still on a machine that answers.
type resetIncompleteError struct {
	left int
	errs []error
}

func (e *resetIncompleteError) Error() string {
	return fmt.Sprintf("%d things could not be removed: %v", e.left, errors.Join(e.errs...))
}

func (e *resetIncompleteError) Unwrap() []error { return e.errs }
