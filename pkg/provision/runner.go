package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
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
	case v1alpha1.InstallOperation, v1alpha1.UpgradeOperation, v1alpha1.ScaleOperation, v1alpha1.ConfigureOperation, v1alpha1.CheckOperation:
		err = x.converge(ctx, outcome)
		if x.mode == engine.ModeApply && outcome.Initialized {
			// However it ended, and however early: what an attempt before this one cordoned must not be forgotten. Before there is a
			// cluster, what listens on an API server's port is somebody else's and is left alone.
			outcome.Cordoned = x.kube.stillCordoned(context.WithoutCancel(ctx))
		}
		return outcome, err
	case v1alpha1.BackupEtcdOperation:
		return outcome, x.backup(ctx, outcome)
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
	// specDigest identifies the spec without its hosts.
	specDigest string
	leaving    []leavingHost
	// state is what was seen of the running cluster.
	state plan.State
	// scope names the hosts of the spec that are looked at, nil for all; via is the control plane used when none is among them.
	scope []string
	via   string
	// leftOut names the hosts that a Check goes on without, because they could not be reached.
	leftOut []string
	// removed is what became of the hosts that leave.
	removed removals
	// silentAfter is how long a host that shows no identity is given for its node to fall silent; see mayIdentify.
	silentAfter time.Duration
	// serving is true once content is served.
	serving bool
}

func (r *runner) prepare(request Request) (*execution, error) {
	spec := request.Cluster.DeepCopy()
	if v := request.Operation.Spec.Version; v != "" {
		spec.Spec.Version = v
	}
	specDigest, err := SpecDigest(spec.Spec)
	if err != nil {
		return nil, err
	}
	leaving, err := leavingHosts(request)
	if err != nil {
		return nil, err
	}
	access, hosts := map[string]HostAccess{}, map[string]v1alpha1.Host{}
	for _, a := range request.Hosts {
		access[a.Host.Name] = a
		hosts[a.Host.Name] = a.Host
	}
	cluster, err := resolveCluster(request, spec, hosts)
	if err != nil {
		return nil, err
	}
	release := cluster.Release
	content, err := newContentServer(request.Bundle)
	if err != nil {
		return nil, err
	}
	peers, err := peersOf(cluster, leaving)
	if err != nil {
		return nil, err
	}
	pool, err := ssh.NewPool()
	if err != nil {
		return nil, fmt.Errorf("set up SSH: %w", err)
	}
	x := &execution{
		request: request, options: r.options, desired: cluster, specDigest: specDigest, leaving: leaving, content: content, silentAfter: silentAfter, facts: map[string]*hostapi.Facts{},
		removed: removals{tries: map[string]int{}, done: map[string]RemovedHost{}},
		sessions: &sessions{
			operation: request.Operation.Name, holder: r.options.Holder, peers: peers, judge: request.Addresses.Judge, access: access, record: request.RecordHostKey,
			bundle: request.Bundle, release: release, blobs: content.handler, pool: pool, hosts: map[string]*session{},
		},
	}
	x.kube = &kube{sessions: x.sessions, cluster: cluster, leaving: leaving, now: time.Now}
	if request.Operation.Spec.Mode == v1alpha1.PlanMode || request.Operation.Spec.Type == v1alpha1.CheckOperation {
		x.mode = engine.ModePlan
	}
	return x, nil
}

// resolveCluster says what the spec means; for a Reset only what does not depend on it.
func resolveCluster(request Request, spec *v1alpha1.Cluster, hosts map[string]v1alpha1.Host) (*desired.Cluster, error) {
	if request.Operation.Spec.Type == v1alpha1.ResetOperation {
		return undone(spec, request.Bundle.Config().Releases)
	}
	cluster, err := desired.New(spec, hosts, request.Bundle, request.Authorities)
	if missing, ok := errors.AsType[*bundle.VersionNotFoundError](err); ok {
		return nil, &plan.RefusedError{Reason: plan.RefusedVersionNotInBundle, Message: fmt.Sprintf("cluster %s: %v", request.Cluster.Name, missing)}
	}
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", request.Cluster.Name, err)
	}
	return cluster, nil
}

// close gives back what was opened and sums up what it cost.
func (x *execution) close(outcome *Outcome) {
	for _, name := range x.sessions.names() {
		connections, stats := x.sessions.cost(name)
		one := outcome.Hosts[name]
		one.Connections, one.Requests = connections, stats.Requests
		if facts := x.facts[name]; facts != nil {
			one.Facts = hostFacts(facts)
		}
		outcome.Hosts[name] = one
		outcome.Traffic.Connections += connections
		outcome.Traffic.Requests += stats.Requests
		outcome.Traffic.MaxRequestsPerHost = max(outcome.Traffic.MaxRequestsPerHost, stats.Requests)
		outcome.Traffic.ContentBytes += stats.BlobBytesDirect + stats.BlobBytesTunnel
		outcome.Traffic.ContentBytesOverSSH += stats.BlobBytesTunnel
	}
	x.sessions.closeAll()
	x.content.close()
}

// run hands steps to the engine. What is ahead is announced first, so that whoever watches knows how much there is.
func (x *execution) run(ctx context.Context, steps []engine.Step, lanes []engine.Lane, mode engine.Mode) (*engine.Result, error) {
	if x.request.Sink != nil {
		for _, s := range steps {
			for _, host := range s.Hosts {
				x.request.Sink.Emit(engine.Event{
					Operation: x.request.Operation.Name, Attempt: x.request.Attempt, Step: s.ID, Host: host, State: engine.StatePending, At: time.Now(),
				})
			}
		}
	}
	return engine.Run(ctx, engine.Graph{Steps: steps, Lanes: lanes}, engine.Options{
		Operation: x.request.Operation.Name, Attempt: x.request.Attempt, Mode: mode, Sink: engine.Multi(x.options.Sink, x.request.Sink),
		Stop: x.request.Stop, AfterApply: x.options.AfterApply,
	})
}

// converge brings the cluster to what the spec asks for: connect, judge every host, look at the running cluster, plan, and only when
// all that allows it, do what is missing.
func (x *execution) converge(ctx context.Context, outcome *Outcome) error {
	if err := x.narrow(ctx, outcome); err != nil {
		return err
	}
	if err := x.survey(ctx, outcome); err != nil {
		return err
	}
	if err := x.observe(ctx); err != nil {
		return err
	}
	graph, err := x.plan()
	if err != nil {
		return err
	}
	if err := x.approved(ctx, graph); err != nil {
		return err
	}
	bound, err := x.bind(ctx, graph, x.mode == engine.ModePlan)
	if err != nil {
		return err
	}
	result, err := x.run(ctx, bound.Steps, bound.Lanes, x.mode)
	if result == nil {
		return err
	}
	outcome.Changed = result.Changed
	x.learn(ctx, result, outcome)
	return err
}

// approved refuses to go on when what would be done is not what was approved.
func (x *execution) approved(ctx context.Context, graph *plan.Graph) error {
	if x.request.ApprovedPlan == "" || x.mode != engine.ModeApply {
		return nil
	}
	bound, err := x.bind(ctx, graph, true)
	if err != nil {
		return err
	}
	// Nobody has to see this rehearsal; its events would look like the operation's own.
	result, err := engine.Run(ctx, engine.Graph{Steps: bound.Steps, Lanes: bound.Lanes}, engine.Options{Mode: engine.ModePlan, Stop: x.request.Stop})
	if result == nil || err != nil {
		return err
	}
	if now := planDigest(changes(result)); now != x.request.ApprovedPlan {
		return engine.NeedsHuman(&PlanChangedError{Approved: x.request.ApprovedPlan, Now: now})
	}
	return nil
}

// survey connects to every host and judges them. Both end on all hosts before either stops the operation, so that everything wrong
// is reported at once.
func (x *execution) survey(ctx context.Context, outcome *Outcome) error {
	var names, judged []string
	for _, h := range x.inScope() {
		names = append(names, h.Name)
	}
	names = append(names, contacted(x.leaving)...)
	_, connectErr := x.run(ctx, []engine.Step{x.connectStep(names, outcome)}, nil, engine.ModeApply)
	if ctx.Err() != nil {
		return connectErr
	}
	if connectErr != nil && x.leaveOut() {
		connectErr = nil
	}
	for _, h := range x.inScope() {
		if x.facts[h.Name] != nil {
			judged = append(judged, h.Name)
		}
	}
	_, preflightErr := x.run(ctx, []engine.Step{x.preflightStep(judged)}, nil, engine.ModeApply)
	return errors.Join(connectErr, preflightErr)
}

// plan asks the planner.
func (x *execution) plan() (*plan.Graph, error) {
	in, err := x.input()
	if err != nil {
		return nil, err
	}
	graph, err := plan.Converge(in)
	if err != nil {
		return nil, fmt.Errorf("plan the operation: %w", err)
	}
	return graph, nil
}

// backup takes a snapshot of etcd and does nothing else.
func (x *execution) backup(ctx context.Context, outcome *Outcome) error {
	if x.request.BackupRecipient == "" {
		return errors.New("the cluster has no key that backups are encrypted for: see that its Secret for backups exists")
	}
	var errs []error
	for _, h := range x.desired.ControlPlanes() {
		_, err := x.run(ctx, []engine.Step{x.connectStep([]string{h.Name}, outcome)}, nil, engine.ModeApply)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		bound, err := x.bind(ctx, plan.Backup(h.Name, x.backupOf()), false)
		if err != nil {
			return err
		}
		result, err := x.run(ctx, bound.Steps, nil, x.mode)
		if result != nil {
			outcome.Changed = result.Changed
			x.learn(ctx, result, outcome)
		}
		return err
	}
	return errors.Join(errs...)
}
