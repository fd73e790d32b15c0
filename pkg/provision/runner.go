package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
	"github.com/kubewright/kubewright/pkg/ssh"
)

// Options of a Runner.
type Options struct {
	// Holder names this process in leases on hosts, for people; empty means hostname and process id.
	Holder string
	// TunnelOnly makes hosts take content through their SSH connection even where they could reach this machine directly.
	TunnelOnly bool
	// Sink sees the events of every operation, before the request's own sink does. It may be nil.
	Sink engine.Sink
	// AfterApply is handed to the engine; see engine.Options. It may be nil.
	AfterApply func(step, host string)
}

// NewRunner returns a Runner that carries operations out in this process.
func NewRunner(options Options) Runner {
	if options.Holder == "" {
		name, err := os.Hostname()
		if err != nil {
			name = "unknown"
		}
		options.Holder = fmt.Sprintf("%s/%d", name, os.Getpid())
	}
	return &runner{options}
}

type runner struct{ options Options }

// Run carries out one operation.
func (r *runner) Run(ctx context.Context, request Request) (*Outcome, error) {
	outcome := &Outcome{Initialized: request.Cluster.Status.Initialized, Hosts: map[string]HostOutcome{}}
	x, err := r.prepare(request)
	if err != nil {
		return outcome, err
	}
	defer x.close(outcome) //nolint:contextcheck // it is closed also when the operation was cancelled
	switch request.Operation.Spec.Type {
	case v1alpha1.InstallOperation, v1alpha1.CheckOperation:
		return outcome, x.install(ctx, outcome)
	case v1alpha1.ResetOperation:
		return outcome, x.reset(ctx, outcome)
	}
	return outcome, fmt.Errorf("operation type %q is not known to this version", request.Operation.Spec.Type)
}

// execution is one run of one operation.
type execution struct {
	request  Request
	options  Options
	desired  *desired.Cluster
	sessions *sessions
	kube     *kube
	content  *contentServer
	facts    map[string]*hostapi.Facts
	mode     engine.Mode
}

func (r *runner) prepare(request Request) (*execution, error) {
	release, err := request.Bundle.Release(request.Cluster.Spec.Version)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: spec.version: %w", request.Cluster.Name, err)
	}
	access, hosts := map[string]HostAccess{}, map[string]v1alpha1.Host{}
	for _, a := range request.Hosts {
		access[a.Host.Name] = a
		hosts[a.Host.Name] = a.Host
	}
	cluster, err := desired.New(&request.Cluster, hosts, release, request.Authorities)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", request.Cluster.Name, err)
	}
	content, err := newContentServer(request.Bundle)
	if err != nil {
		return nil, err
	}
	pool, err := ssh.NewPool()
	if err != nil {
		return nil, fmt.Errorf("set up SSH: %w", err)
	}
	x := &execution{
		request: request, options: r.options, desired: cluster, content: content, facts: map[string]*hostapi.Facts{},
		sessions: &sessions{
			operation: request.Operation.Name, holder: r.options.Holder, access: access, record: request.RecordHostKey,
			bundle: request.Bundle, release: release, blobs: content.handler, pool: pool, hosts: map[string]*session{},
		},
	}
	x.kube = &kube{sessions: x.sessions, cluster: cluster}
	if request.Operation.Spec.Mode == v1alpha1.PlanMode || request.Operation.Spec.Type == v1alpha1.CheckOperation {
		x.mode = engine.ModePlan
	}
	return x, nil
}

// close gives back what was opened and sums up what it cost.
func (x *execution) close(outcome *Outcome) {
	for _, h := range x.desired.Hosts {
		connections, stats := x.sessions.cost(h.Name)
		one := outcome.Hosts[h.Name]
		one.Connections, one.Requests = connections, stats.Requests
		if facts := x.facts[h.Name]; facts != nil {
			one.Facts = hostFacts(facts)
		}
		outcome.Hosts[h.Name] = one
		outcome.Traffic.Connections += connections
		outcome.Traffic.Requests += stats.Requests
		outcome.Traffic.MaxRequestsPerHost = max(outcome.Traffic.MaxRequestsPerHost, stats.Requests)
		outcome.Traffic.ContentBytes += stats.BlobBytesDirect + stats.BlobBytesTunnel
	}
	x.sessions.closeAll()
	x.content.close()
}

// run hands a graph to the engine. What is ahead is announced first, so that whoever watches knows how much there is.
func (x *execution) run(ctx context.Context, steps []engine.Step, mode engine.Mode) (*engine.Result, error) {
	if x.request.Sink != nil {
		for _, s := range steps {
			for _, host := range s.Hosts {
				x.request.Sink.Emit(engine.Event{
					Operation: x.request.Operation.Name, Attempt: x.request.Attempt, Step: s.ID, Host: host, State: engine.StatePending, At: time.Now(),
				})
			}
		}
	}
	return engine.Run(ctx, engine.Graph{Steps: steps}, engine.Options{
		Operation: x.request.Operation.Name, Attempt: x.request.Attempt, Mode: mode, Sink: engine.Multi(x.options.Sink, x.request.Sink),
		AfterApply: x.options.AfterApply,
	})
}

// install runs the install graph: connect, judge every host, and only when all may, do what is missing.
func (x *execution) install(ctx context.Context, outcome *Outcome) error {
	if err := x.survey(ctx, outcome); err != nil {
		return err
	}
	steps, err := x.plan()
	if err != nil {
		return err
	}
	bound, err := x.bind(ctx, steps)
	if err != nil {
		return err
	}
	result, err := x.run(ctx, bound, x.mode)
	if result == nil {
		return err
	}
	outcome.Changed = result.Changed
	x.learn(ctx, result, outcome)
	return err
}

// survey connects to every host and judges them. Both end on all hosts before either stops the operation, so that everything wrong
// is reported at once.
func (x *execution) survey(ctx context.Context, outcome *Outcome) error {
	var names []string
	for _, h := range x.desired.Hosts {
		names = append(names, h.Name)
	}
	_, connectErr := x.run(ctx, []engine.Step{x.connectStep(names, outcome)}, engine.ModeApply)
	if ctx.Err() != nil {
		return connectErr
	}
	var reached []string
	for _, name := range names {
		if x.facts[name] != nil {
			reached = append(reached, name)
		}
	}
	_, preflightErr := x.run(ctx, []engine.Step{x.preflightStep(reached)}, engine.ModeApply)
	return errors.Join(connectErr, preflightErr)
}

// plan asks the planner.
func (x *execution) plan() ([]plan.Step, error) {
	in, err := x.input()
	if err != nil {
		return nil, err
	}
	steps, err := plan.Install(in)
	if err != nil {
		return nil, fmt.Errorf("plan the operation: %w", err)
	}
	return steps, nil
}
