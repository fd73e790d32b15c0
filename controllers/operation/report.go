package operation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/claims"
	"github.com/kubewright/kubewright/controllers/internal/quarantine"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

const (
	// writers is how many Hosts are written at a time: enough for hundreds within the interval, few enough for an API server.
	writers = 8
	// maxStepMessage bounds the line in a Host's status, in bytes.
	maxStepMessage = 256
	// maxVersion bounds what API servers say of their version, in bytes.
	maxVersion = 64
)

// reporter writes what executions learn about hosts and clusters into their statuses.
type reporter struct {
	client client.Client
	live   client.Reader
	// patience says how often what must not be lost is written again, and when that is given up.
	patience wait.Backoff
}

// newReporter returns a reporter that goes on writing for four minutes: as long as an API server may take to come back, and not so long
// that nobody learns why an operation does not end.
func newReporter(c client.Client, live client.Reader) *reporter {
	return &reporter{client: c, live: live, patience: wait.Backoff{Duration: time.Second, Factor: 1.5, Jitter: 0.1, Steps: 13}}
}

// recordSteps writes the step of each host that is in another one than was written last. What cannot be written is tried again with
// the next progress: it is a view, nothing is decided on it.
func (r *reporter) recordSteps(ctx context.Context, request provision.Request, x *execution) {
	known := map[string]bool{}
	for i := range request.Hosts {
		known[request.Hosts[i].Host.Name] = true
	}
	type change struct {
		host string
		step v1alpha1.HostStep
	}
	var changes []change
	for _, at := range x.recorder.HostStates() {
		if !known[at.Host] || at.Step == "" {
			continue
		}
		step := v1alpha1.HostStep{
			Operation: request.Operation.Name, Step: at.Step, State: apiState(at.State), Message: capi.Cut(at.Message, maxStepMessage),
		}
		if x.written[at.Host] != step {
			changes = append(changes, change{at.Host, step})
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, writers)
	for _, c := range changes {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := r.writeStep(ctx, request.Operation.Namespace, c.host, c.step); err != nil {
				if ctx.Err() == nil {
					ctrl.Log.WithName("operation").Error(err, "write the step of a host", "host", c.host)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			x.written[c.host] = c.step
		})
	}
	wg.Wait()
}

// recordInitialized writes that the cluster exists, once. What cannot be written is tried again with the next progress, and at the end.
func (r *reporter) recordInitialized(ctx context.Context, request provision.Request, x *execution) {
	if x.initializedWritten || !x.showsInitialized() {
		return
	}
	if err := r.recordCluster(ctx, request, &provision.Outcome{Initialized: true}); err != nil {
		if ctx.Err() == nil {
			ctrl.Log.WithName("operation").Error(err, "write that the cluster exists", "cluster", request.Cluster.Name)
		}
		return
	}
	x.initializedWritten = true
}

// writeStep replaces status.step as a whole and touches nothing else, without reading the Host.
func (r *reporter) writeStep(ctx context.Context, namespace, name string, step v1alpha1.HostStep) error {
	fields := map[string]any{"operation": step.Operation, "step": step.Step, "state": step.State, "message": nil}
	if step.Message != "" {
		fields["message"] = step.Message
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"step": fields}})
	if err != nil {
		return err
	}
	host := &v1alpha1.Host{}
	host.Namespace, host.Name = namespace, name
	return client.IgnoreNotFound(r.client.Status().Patch(ctx, host, client.RawPatch(types.MergePatchType, patch)))
}

// record writes what an execution learned, before the operation is said to have ended: that a cluster is initialized must not be
// lost. It goes on until everything is written, its patience is used up, or ctx ends, and returns what could not be written and why. After
// a run that was readOnly no host is given up. Nor is one by a Reset of a cluster that stays: the cluster is wanted, with its hosts.
func (r *reporter) record(ctx context.Context, request provision.Request, outcome *provision.Outcome, readOnly bool) error {
	if outcome == nil {
		return nil
	}
	log := ctrl.Log.WithName("operation").WithValues("operation", request.Operation.Name)
	left, removed := maps.Clone(outcome.Hosts), maps.Clone(outcome.Removed)
	stays := request.Operation.Spec.Type == v1alpha1.ResetOperation && request.Cluster.DeletionTimestamp.IsZero()
	if readOnly || stays {
		removed = nil
	}
	clusterWritten := false
	var last error
	err := wait.ExponentialBackoffWithContext(ctx, r.patience, func(ctx context.Context) (bool, error) {
		if !clusterWritten {
			err := r.recordCluster(ctx, request, outcome)
			if err != nil {
				log.Error(err, "write what was observed of the cluster")
				last = fmt.Errorf("cluster %s: %w", request.Cluster.Name, err)
			}
			clusterWritten = err == nil || refused(err)
		}
		for name, host := range left {
			err := r.recordHost(ctx, request.Operation.Namespace, name, host, readOnly)
			if err != nil {
				log.Error(err, "write what was observed of a host", "host", name)
				last = fmt.Errorf("host %s: %w", name, err)
			}
			if err == nil || refused(err) {
				delete(left, name)
			}
		}
		for name, host := range removed {
			err := r.recordRemoved(ctx, request, name, host)
			if err != nil {
				log.Error(err, "give up a host that left the cluster", "host", name)
				last = fmt.Errorf("host %s: %w", name, err)
			}
			if err == nil || refused(err) {
				delete(removed, name)
			}
		}
		return clusterWritten && len(left) == 0 && len(removed) == 0, nil
	})
	if err == nil {
		return nil
	}
	if ctx.Err() == nil {
		err = last
	}
	return fmt.Errorf("what the operation came to could not be written, so nobody would know of it; let the manager write status of clusters and hosts, "+
		"then try again, which observes it anew: %w", err)
}

// refused says that writing the same again will be refused again, so that an operation must not wait for it.
func refused(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) }

func (r *reporter) recordCluster(ctx context.Context, request provision.Request, outcome *provision.Outcome) error {
	return onConflict(func() error {
		before := &v1alpha1.Cluster{}
		err := r.live.Get(ctx, client.ObjectKeyFromObject(&request.Cluster), before)
		if apierrors.IsNotFound(err) || err == nil && before.UID != request.Cluster.UID {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the cluster: %w", err)
		}
		after := before.DeepCopy()
		status := &after.Status
		status.Initialized = status.Initialized || outcome.Initialized
		if outcome.Endpoint != "" {
			status.Endpoint = outcome.Endpoint
		}
		if outcome.Version != "" { // the API answered, so what was counted is true
			status.Version = capi.Cut(outcome.Version, maxVersion)
			status.Nodes.Joined, status.Nodes.Ready = outcome.Nodes.Joined, outcome.Nodes.Ready
			status.EtcdMembers = outcome.EtcdMembers
		}
		return r.patchStatus(ctx, before, after)
	})
}

// recordHost writes whether a host was reached, and its facts: always after it may have been changed, otherwise when they are others.
func (r *reporter) recordHost(ctx context.Context, namespace, name string, outcome provision.HostOutcome, readOnly bool) error {
	reason := HostReason(outcome.Err)
	if outcome.Facts == nil && reason == "" {
		return nil
	}
	return onConflict(func() error {
		before := &v1alpha1.Host{}
		err := r.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, before)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the host: %w", err)
		}
		after := before.DeepCopy()
		if outcome.Facts != nil && (!readOnly || factsDiffer(before.Status.Facts, outcome.Facts)) {
			after.Status.Facts = outcome.Facts.DeepCopy()
		}
		if reason == "" {
			capi.SetCondition(after, v1alpha1.HostReachableCondition, metav1.ConditionTrue, ReasonConnected, "")
		} else {
			capi.SetCondition(after, v1alpha1.HostReachableCondition, metav1.ConditionFalse, reason, outcome.Err.Error()+advice(reason))
		}
		return r.patchStatus(ctx, before, after)
	})
}

// factsDiffer says whether a machine is another one than its facts say. When it was looked at and how much of its disk is free is another
// each time; written by comparisons that find nothing, it would be a write for each host every time.
func factsDiffer(known, found *v1alpha1.HostFacts) bool {
	if known == nil {
		return true
	}
	before, now := known.DeepCopy(), found.DeepCopy()
	for _, f := range []*v1alpha1.HostFacts{before, now} {
		f.ObservedAt, f.DiskFreeBytes = metav1.Time{}, 0
	}
	return !apiequality.Semantic.DeepEqual(before, now)
}

// recordRemoved gives up a host that is not part of the cluster any more, and quarantines it when its machine was not cleaned.
func (r *reporter) recordRemoved(ctx context.Context, request provision.Request, name string, removed provision.RemovedHost) error {
	return onConflict(func() error {
		before := &v1alpha1.Host{}
		err := r.live.Get(ctx, client.ObjectKey{Namespace: request.Operation.Namespace, Name: name}, before)
		if apierrors.IsNotFound(err) || err == nil && !claims.Holds(&request.Cluster, before) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the host: %w", err)
		}
		after := before.DeepCopy()
		after.Status.Claim = nil
		after.Status.Step = nil
		if removed.Cleaned {
			quarantine.End(after, quarantine.ReasonCleaned)
		} else {
			quarantine.Begin(after, request.Cluster.Name, removed.Problem, removed.Refused)
		}
		return r.patchStatus(ctx, before, after)
	})
}

// patchStatus writes against the resource version that was read: conditions are a list, and another writer's must not be undone.
func (r *reporter) patchStatus(ctx context.Context, before, after client.Object) error {
	if apiequality.Semantic.DeepEqual(before, after) {
		return nil
	}
	change := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return r.client.Status().Patch(ctx, after, change)
}

// onConflict does again what met another writer, a little later each time. Who meets one for more than a second gets the conflict.
func onConflict(do func() error) error {
	return retry.RetryOnConflict(wait.Backoff{Duration: 10 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8}, do)
}

// apiState translates a state of the engine; the API does not tell a wait for the next try from the try itself.
func apiState(s engine.State) v1alpha1.StepState {
	switch s {
	case engine.StatePending:
		return v1alpha1.StepPending
	case engine.StateRunning, engine.StateRetrying:
		return v1alpha1.StepRunning
	case engine.StateDone:
		return v1alpha1.StepDone
	case engine.StateChanged:
		return v1alpha1.StepChanged
	case engine.StateBlocked:
		return v1alpha1.StepBlocked
	case engine.StateSkipped:
		return v1alpha1.StepSkipped
	}
	return v1alpha1.StepFailed
}
