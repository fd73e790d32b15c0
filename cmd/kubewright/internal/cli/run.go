package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/progress"
	"github.com/kubewright/kubewright/pkg/provision"
)

// run has the controllers work in this process until a goal is reached, and shows how.
type run struct {
	env         Environment
	session     *session.Session
	key         client.ObjectKey
	goal        follow.Goal
	began       time.Time
	plain       bool
	timeout     time.Duration
	bundleRoots []string

	mu    sync.Mutex
	costs []progress.HostCost
}

// result is how a run that reached its goal ended.
type result struct {
	snapshot *follow.Snapshot
	verdict  follow.Verdict
	costs    []progress.HostCost
}

// errStopped ends a run that the user, or a timeout, stopped.
var errStopped = errors.New("stopped")

// run works until the goal is reached or can not be. The error has been explained to the user when it says so.
func (r *run) run(ctx context.Context) (*result, error) {
	log, closeLog, err := logToFile(r.session.Dir)
	if err != nil {
		return nil, err
	}
	defer closeLog() //nolint:errcheck // a log

	board := progress.NewBoard(progress.New(r.key.String(), r.began))
	tee := &session.Tee{Runner: r.env.Runner, Watched: r.watches, Sink: board, Ended: r.ended}
	roots, err := allBundleRoots(ctx, r.session.Client, r.bundleRoots)
	if err != nil {
		return nil, err
	}
	options := session.ManagerOptions{
		Runner: tee, BundleRoots: roots, CacheDir: verifiedDir(r.session.Dir.Path()), Addresses: addresses.Local(), Log: log,
	}
	mgr, release, err := session.NewManager(r.session.Config, r.session.Scheme, options) //nolint:contextcheck // a manager gets its context when it starts
	if err != nil {
		return nil, err
	}
	defer release()

	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if r.timeout > 0 {
		var cancel context.CancelFunc
		work, cancel = context.WithTimeoutCause(work, r.timeout, fmt.Errorf("the goal was not reached within --timeout %s", r.timeout))
		defer cancel()
	}
	changed, err := follow.Changes(work, mgr.GetCache())
	if err != nil {
		return nil, err
	}
	r.goal.Since = time.Now()

	// Three things run side by side: the controllers, the judge, and the display, which is the last to end.
	show, endShow := context.WithCancel(context.WithoutCancel(ctx))
	defer endShow()
	shown := make(chan error, 1)
	go func() { shown <- r.show(show, board, func() { stop(errStopped) }) }()

	var done *result
	group, inside := errgroup.WithContext(work)
	managed, endManager := context.WithCancel(inside)
	group.Go(func() error {
		if err := mgr.Start(managed); err != nil {
			return fmt.Errorf("run the controllers: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		if err := r.session.Wait(managed); err != nil {
			return err
		}
		return nil
	})
	group.Go(func() error {
		defer endManager()
		var err error
		done, err = r.judge(managed, mgr.GetCache(), changed, board)
		return err
	})
	finished := make(chan error, 1)
	go func() { finished <- group.Wait() }()

	var impatient bool
	var drawing error
	select {
	case err = <-finished:
		endShow()
		drawing = <-shown
	case drawing = <-shown:
		// The display ended first: the user is in a hurry, or the terminal is gone.
		impatient = errors.Is(drawing, progress.ErrImpatient)
		stop(errStopped)
		if !impatient {
			err = <-finished
		}
	}
	endManager()
	if impatient {
		return nil, r.stopped(errStopped)
	}
	if done != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return r.conclude(done)
	}
	if cause := context.Cause(work); cause != nil {
		return nil, r.stopped(cause)
	}
	return nil, errors.Join(err, drawing)
}

// judge looks at every change until the goal is reached or given up.
func (r *run) judge(ctx context.Context, c cache.Cache, changed <-chan struct{}, board *progress.Board) (*result, error) {
	if !c.WaitForCacheSync(ctx) {
		return nil, context.Cause(ctx)
	}
	for {
		snapshot, err := follow.Take(ctx, c, r.key)
		if err != nil {
			return nil, err
		}
		verdict := r.goal.Judge(snapshot, time.Now())
		board.Update(func(m *progress.Model) { tell(m, snapshot, verdict) })
		if verdict.Standing != follow.Working {
			r.mu.Lock()
			defer r.mu.Unlock()
			return &result{snapshot: snapshot, verdict: verdict, costs: r.costs}, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-changed:
		case <-after(verdict.Again):
		}
	}
}

// after is a channel on which something arrives once d has passed; never when d is 0.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// tell puts what the API says onto the board; events say the rest.
func tell(m *progress.Model, s *follow.Snapshot, v follow.Verdict) {
	if s.Cluster != nil {
		for _, host := range input.HostsOf(s.Cluster) {
			m.AddHost(host.Name, host.Role)
		}
		for _, host := range leaving(s) {
			m.AddHost(host, "leaving")
		}
	}
	m.SetHeadline(v.Message)
	if v.Operation != nil {
		ids := make([]string, 0, len(v.Operation.Status.Steps))
		for _, step := range v.Operation.Status.Steps {
			ids = append(ids, step.ID)
		}
		m.SetSteps(v.Operation.Name, ids)
	}
}

// watches says whether an operation is one that is shown: of this cluster, and not a comparison in the background.
func (r *run) watches(o v1alpha1.ClusterOperation) bool {
	if o.Namespace != r.key.Namespace || o.Spec.ClusterRef.Name != r.key.Name {
		return false
	}
	return o.Name == r.goal.Operation || o.Spec.Type != v1alpha1.CheckOperation
}

// show draws a live table on a terminal, and writes lines elsewhere.
func (r *run) show(ctx context.Context, board *progress.Board, stop func()) error {
	in, inOK := r.env.In.(*os.File)
	out := file(r.env.Out)
	if r.plain || !inOK || out == nil || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return progress.ShowPlain(ctx, board, r.env.Out)
	}
	return progress.ShowLive(ctx, board, in, out, stop)
}

func (r *run) ended(request provision.Request, outcome *provision.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.costs = nil
	names := slices.Clone(request.Leaving)
	for _, host := range input.HostsOf(&request.Cluster) {
		names = append(names, host.Name)
	}
	for _, name := range names {
		cost := outcome.Hosts[name]
		r.costs = append(r.costs, progress.HostCost{Name: name, Connections: cost.Connections, Requests: cost.Requests})
	}
}

// conclude hands a reached goal on, and explains one that was not.
func (r *run) conclude(done *result) (*result, error) {
	if done.verdict.Standing == follow.Reached {
		return done, nil
	}
	if done.verdict.Standing == follow.Waiting {
		return nil, r.askForApproval(done.snapshot, done.verdict.Operation)
	}
	out := r.env.Err
	goal := "is not ready"
	switch {
	case r.goal.Deletion:
		goal = "is not gone"
	case r.goal.Operation != "":
		goal = "was not served"
	}
	operation := done.verdict.Operation
	if operation == nil || len(operation.Status.Problems) == 0 {
		_, _ = fmt.Fprintf(out, "\nError: cluster %s %s: %s\n", r.key, goal, done.verdict.Message)
	} else {
		// The problems say all that the message would, one below the other.
		_, _ = fmt.Fprintf(out, "\nError: cluster %s %s: operation %s %s in attempt %d (%s):\n", r.key, goal, operation.Name,
			ending(operation), operation.Status.Attempt, progress.StepCounts(operation))
		if err := progress.Problems(out, operation.Status); err != nil {
			return nil, err
		}
	}
	if operation != nil && operation.Status.Phase == v1alpha1.OperationCancelled {
		// Nothing is wrong that could be corrected.
		_, _ = fmt.Fprintf(out, "Next: kubewright retry %s goes on from there, and so does kubewright up with the same or another file.\n", r.key.Name)
	} else {
		_, _ = fmt.Fprintf(out, "Next: correct the cause, then run the same command again; what is done stays done.\n")
	}
	if r.goal.Deletion {
		_, _ = fmt.Fprintf(out, "      Hosts and Secrets that you change in the cluster's file for that are taken over with -f FILE.\n")
	}
	_, _ = fmt.Fprintf(out, "      More: kubewright logs %s, kubewright status %s, and %s\n", r.key.Name, r.key.Name, r.session.Dir.LogPath("kubewright"))
	return nil, &failure{err: errors.New(done.verdict.Message), code: ExitFailed, told: true}
}

// ending is how an operation ended that did not succeed.
func ending(operation *v1alpha1.ClusterOperation) string {
	if operation.Status.Phase == v1alpha1.OperationCancelled {
		return "was cancelled"
	}
	return "failed"
}

// askForApproval shows what waits for a person, and ends.
func (r *run) askForApproval(s *follow.Snapshot, operation *v1alpha1.ClusterOperation) error {
	if err := writePlan(r.env.Out, s, operation, false); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(r.env.Err, "\nOperation %s waits for approval of this plan.\nNext: kubewright approve %s, or kubewright cancel %s\n",
		operation.Name, operation.Name, operation.Name)
	return &failure{err: errors.New("the operation waits for approval"), code: ExitWaiting, told: true}
}

// leaving names the hosts that a cluster holds and does not want any more.
func leaving(s *follow.Snapshot) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.Hosts)) {
		wanted := slices.ContainsFunc(input.HostsOf(s.Cluster), func(h input.NamedHost) bool { return h.Name == name })
		if claim := s.Hosts[name].Status.Claim; claim != nil && claim.ClusterUID == string(s.Cluster.UID) && !wanted {
			names = append(names, name)
		}
	}
	return names
}

// stopped explains a run that was ended from outside.
func (r *run) stopped(cause error) error {
	if errors.Is(cause, errStopped) || errors.Is(cause, context.Canceled) {
		_, _ = fmt.Fprintf(r.env.Err, "\nStopped. What was begun on hosts is safe; run the same command to go on.\n")
		return &failure{err: errStopped, code: ExitInterrupted, told: true}
	}
	return failed(cause, "run the same command to go on")
}
