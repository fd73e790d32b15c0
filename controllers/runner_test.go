package controllers_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

// fakeRunner carries nothing out. It remembers what it was asked for and answers as the test says.
type fakeRunner struct {
	mu       sync.Mutex
	requests []provision.Request
	running  int
	most     int
	behave   func(ctx context.Context, request provision.Request) (*provision.Outcome, error)
}

// newRunner answers every request by behave; succeed when nil.
func newRunner(behave func(context.Context, provision.Request) (*provision.Outcome, error)) *fakeRunner {
	if behave == nil {
		behave = succeed
	}
	return &fakeRunner{behave: behave}
}

// Run implements provision.Runner.
func (r *fakeRunner) Run(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
	r.mu.Lock()
	r.requests = append(r.requests, request)
	r.running++
	r.most = max(r.most, r.running)
	behave := r.behave
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running--
	}()
	return behave(ctx, request)
}

func (r *fakeRunner) set(behave func(context.Context, provision.Request) (*provision.Outcome, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behave = behave
}

func (r *fakeRunner) calls() []provision.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]provision.Request(nil), r.requests...)
}

func (r *fakeRunner) mostAtOnce() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// succeed brings up whatever is asked for, and emits one step per host.
func succeed(_ context.Context, request provision.Request) (*provision.Outcome, error) {
	outcome := &provision.Outcome{
		Initialized: true,
		Version:     wantedVersion(request),
		Endpoint:    "https://127.0.0.1:7443",
		EtcdMembers: int32(len(request.Cluster.Spec.ControlPlane.Hosts)),
		Changed:     true,
		Traffic:     v1alpha1.OperationTraffic{Connections: int64(len(request.Hosts)), Requests: 3, MaxRequestsPerHost: 3},
		Hosts:       map[string]provision.HostOutcome{},
		Removed:     map[string]provision.RemovedHost{},
	}
	for _, access := range request.Hosts {
		if slices.Contains(request.Leaving, access.Host.Name) {
			outcome.Removed[access.Host.Name] = provision.RemovedHost{Cleaned: access.Host.Spec.OnRemoval != v1alpha1.OrphanOnRemoval}
			continue
		}
		request.Sink.Emit(engine.Event{Step: "node/ready", Host: access.Host.Name, State: engine.StateChanged, Try: 1})
		outcome.Hosts[access.Host.Name] = provision.HostOutcome{Facts: &v1alpha1.HostFacts{Platform: "linux/amd64"}}
		outcome.Nodes.Joined++
		outcome.Nodes.Ready++
	}
	return outcome, nil
}

// wantedVersion is what an operation brings a cluster to.
func wantedVersion(request provision.Request) string {
	if request.Operation.Spec.Version != "" {
		return request.Operation.Spec.Version
	}
	return request.Cluster.Spec.Version
}

// planned makes a plan of one change in mode Plan, and otherwise succeeds when that was approved and still holds.
func planned(why string) func(context.Context, provision.Request) (*provision.Outcome, error) {
	sum := sha256.Sum256([]byte(why))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	return func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		if request.Operation.Spec.Mode == v1alpha1.PlanMode || request.Operation.Spec.Type == v1alpha1.CheckOperation {
			return &provision.Outcome{
				Initialized: true, Changed: true, PlanDigest: digest,
				Plan: []v1alpha1.PlannedChange{{Step: "node/ready", Host: request.Hosts[0].Host.Name, Why: why}},
			}, nil
		}
		if request.ApprovedPlan != "" && request.ApprovedPlan != digest {
			return &provision.Outcome{Initialized: true}, &provision.PlanChangedError{Approved: request.ApprovedPlan, Now: digest}
		}
		return succeed(ctx, request)
	}
}

// untilStopped blocks until it is asked to stop, tells that it began, and stops when it is let.
func untilStopped(began chan<- provision.Request, let <-chan struct{}) func(context.Context, provision.Request) (*provision.Outcome, error) {
	return func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		for i, access := range request.Hosts {
			state := engine.StateChanged
			if i > 0 {
				state = engine.StatePending
			}
			request.Sink.Emit(engine.Event{Step: "node/ready", Host: access.Host.Name, State: state, Try: 1})
		}
		began <- request
		select {
		case <-request.Stop:
		case <-ctx.Done():
			return &provision.Outcome{}, ctx.Err()
		}
		select {
		case <-let:
		case <-ctx.Done():
			return &provision.Outcome{}, ctx.Err()
		}
		return &provision.Outcome{Initialized: true}, fmt.Errorf("the rest was left: %w", engine.ErrStopped)
	}
}

// failWith ends every operation with an error, having learned nothing.
func failWith(err error) func(context.Context, provision.Request) (*provision.Outcome, error) {
	return func(_ context.Context, request provision.Request) (*provision.Outcome, error) {
		host := request.Hosts[0].Host.Name
		request.Sink.Emit(engine.Event{Step: "preflight/ports", Host: host, State: engine.StateFailed, Try: 1, Reason: "PortInUse", Message: err.Error()})
		return &provision.Outcome{}, err
	}
}

// untilCancelled blocks, and tells that it began; it stops at once wherever it is.
func untilCancelled(began chan<- provision.Request) func(context.Context, provision.Request) (*provision.Outcome, error) {
	return func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		began <- request
		select {
		case <-request.Stop:
			return &provision.Outcome{}, engine.ErrStopped
		case <-ctx.Done():
			return &provision.Outcome{}, ctx.Err()
		}
	}
}

// exceptOn does with all hosts what is asked for, but with one, which it fails on.
func exceptOn(host, problem string) func(context.Context, provision.Request) (*provision.Outcome, error) {
	return func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		outcome, err := succeed(ctx, request)
		if err != nil {
			return outcome, err
		}
		request.Sink.Emit(engine.Event{Step: "host/reset", Host: host, State: engine.StateFailed, Try: 1, Message: problem})
		delete(outcome.Removed, host)
		return outcome, fmt.Errorf("host/reset failed on host %s: %s", host, problem)
	}
}
