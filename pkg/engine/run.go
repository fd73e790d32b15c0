package engine

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Run runs the graph and returns when every (step, host) has ended. It is an error to hand in a graph that Validate refuses, or a
// selection that names no step: the Result is nil then and nothing was run. Otherwise there is always a Result, and the error is nil
// only when everything ended well; it is a *RunError if not.
//
// A failure stops only what needs it: everything else goes on to its end, so that everything wrong shows at once. When ctx ends,
// the contexts of running functions end with it, nothing new starts, and Run returns as soon as they have returned.
func Run(ctx context.Context, g Graph, opts Options) (*Result, error) {
	if err := Validate(g); err != nil {
		return nil, err
	}
	out, err := leftOut(g, opts)
	if err != nil {
		return nil, err
	}
	if opts.Clock == nil {
		opts.Clock = SystemClock{}
	}
	if opts.Sink == nil {
		opts.Sink = Multi()
	}
	r := newRun(g, opts, out)
	r.loop(ctx)
	r.events.close()
	res := r.result()
	return res, res.err(context.Cause(ctx))
}

// run is the state of one Run. Only the goroutine of Run touches it; the goroutines of single pairs see their pair until they hand
// it back over ended, and the queue of events.
type run struct {
	opts    Options
	events  *queue
	nodes   []*node
	started time.Time

	running int
	ended   chan *pair
	groups  map[string]bool // exclusive groups in use
	hosts   map[string]int  // pairs in hand per host
	lanes   map[string]*lane
	stopped bool // Options.Stop was closed
}

// node is a step with the state of its hosts.
type node struct {
	step       *Step
	leftOut    bool
	pairs      []*pair
	byHost     map[string]*pair
	dependents []dependent
	ok, bad    int
	inHand     int
	ready      []*pair // needs met, waiting for a slot; in the order of the step's hosts
}

// dependent is the far end of an edge: node needs this one in the given scope.
type dependent struct {
	node  *node
	scope Scope
}

// pair is one step on one host. A step without hosts has a single pair without a host: it is neither run nor shown, but hands on
// what it waits for, so that leaving all hosts out of a step does not cut the graph in two.
type pair struct {
	node      *node
	order     int // place of the host in the step
	unmet     int // needs still open
	announced bool
	changed   bool  // plan mode: something it needs, near or far, would be changed first
	root      *pair // for a blocked pair, the failed one at the far end
	gaveUp    bool  // it failed and was not tried again, because the run was asked to stop
	outcome   Outcome
	detail    Detail
}

// instant says that the pair ends the moment its needs are met.
func (p *pair) instant() bool { return p.node.leftOut || p.hostless() }

func (p *pair) hostless() bool { return p.outcome.Host == "" }

func newRun(g Graph, opts Options, left map[string]bool) *run {
	r := &run{
		opts: opts, events: newQueue(opts.Sink), started: opts.Clock.Now(),
		ended: make(chan *pair), groups: map[string]bool{}, hosts: map[string]int{}, lanes: newLanes(g),
	}
	byID := make(map[string]*node, len(g.Steps))
	for i := range g.Steps {
		n := newNode(&g.Steps[i], left[g.Steps[i].ID])
		r.nodes = append(r.nodes, n)
		byID[n.step.ID] = n
	}
	for _, n := range r.nodes {
		for _, need := range n.step.Needs {
			m := byID[need.Step]
			m.dependents = append(m.dependents, dependent{node: n, scope: need.Scope})
			for _, p := range n.pairs {
				if need.Scope != SameHost || m.byHost[p.outcome.Host] != nil {
					p.unmet++
				}
			}
		}
	}
	return r
}

func newNode(s *Step, left bool) *node {
	n := &node{step: s, leftOut: left, byHost: make(map[string]*pair, len(s.Hosts))}
	for order, host := range s.Hosts {
		p := &pair{node: n, order: order, outcome: Outcome{Step: s.ID, Host: host, State: StatePending}}
		n.pairs = append(n.pairs, p)
		n.byHost[host] = p
	}
	if len(n.pairs) == 0 {
		n.pairs = []*pair{{node: n, outcome: Outcome{Step: s.ID, State: StatePending}}}
	}
	return n
}

// loop starts what can start and takes in what has ended, until nothing is in hand and nothing can start.
func (r *run) loop(ctx context.Context) {
	var first []*pair
	for _, n := range r.nodes {
		for _, p := range n.pairs {
			if p.unmet == 0 {
				first = append(first, p)
			}
		}
	}
	// Only after all are found: a pair that ends at once makes others ready, which must not be taken a second time.
	for _, p := range first {
		r.enqueue(p)
	}
	stop := r.opts.Stop
	select {
	case <-stop:
		r.stopped, stop = true, nil
	default:
	}
	r.startAll(ctx)
	for r.running > 0 {
		select {
		case <-stop:
			r.stopped, stop = true, nil
		case p := <-r.ended:
			r.release(p)
			r.settled(p)
			r.startAll(ctx)
		}
	}
	// An acyclic graph leaves nothing pending by itself, so what is left here was kept from starting by the end of the context or a
	// request to stop.
	for _, n := range r.nodes {
		for _, p := range n.pairs {
			if !p.outcome.State.Final() {
				p.outcome.State, p.outcome.Reason = StateBlocked, ReasonCancelled
				p.outcome.Message = "not begun: the run was cancelled"
				if ctx.Err() == nil {
					p.outcome.Reason, p.outcome.Message = ReasonStopped, "not begun: stopped on request"
				}
				r.emitFinal(p)
			}
		}
	}
}

// enqueue takes a pair whose needs are all met.
func (r *run) enqueue(p *pair) {
	if !p.instant() {
		n := p.node
		at, _ := slices.BinarySearchFunc(n.ready, p, func(a, b *pair) int { return a.order - b.order })
		n.ready = slices.Insert(n.ready, at, p)
		return
	}
	p.outcome.State = StateSkipped
	if p.node.leftOut {
		p.outcome.Reason = ReasonLeftOut
	}
	r.emitFinal(p)
	r.settled(p)
}

// startAll starts every ready pair for which there is a slot, in the order of the graph, and says once of the others that they wait.
func (r *run) startAll(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	for _, n := range r.nodes {
		waiting := n.ready[:0]
		for _, p := range n.ready {
			l := r.laneOf(p)
			if l.shut(p.outcome.Host) {
				p.outcome.State, p.outcome.Reason, p.outcome.Message = StateBlocked, ReasonLaneClosed, l.closedMessage()
				r.emitFinal(p)
				r.settled(p)
				continue
			}
			if held := r.heldBackBy(p); held != free {
				r.announce(p, held)
				waiting = append(waiting, p)
				continue
			}
			r.start(ctx, p)
		}
		n.ready = waiting
	}
}

// hold is what keeps a ready pair from starting.
type hold int

const (
	free hold = iota
	heldByWindow
	heldByGroup
	heldByHosts
	heldByLane
	heldByStop
)

// laneOf returns the lane of a pair; nil when it is in none, or in a plan, where nobody is worked on.
func (r *run) laneOf(p *pair) *lane {
	if r.opts.Mode == ModePlan {
		return nil
	}
	return r.lanes[p.node.step.Lane]
}

func (r *run) heldBackBy(p *pair) hold {
	s, l := p.node.step, r.laneOf(p)
	switch {
	case r.stopped && (l == nil || !l.inside[p.outcome.Host]):
		return heldByStop
	case l.full(p.outcome.Host):
		return heldByLane
	case s.Window > 0 && p.node.inHand >= s.Window:
		return heldByWindow
	case s.Exclusive != "" && r.groups[s.Exclusive]:
		return heldByGroup
	case r.opts.MaxParallelHosts > 0 && r.hosts[p.outcome.Host] == 0 && len(r.hosts) >= r.opts.MaxParallelHosts:
		return heldByHosts
	}
	return free
}

// announce says once that a pair waits for its turn, and for what.
func (r *run) announce(p *pair, held hold) {
	if p.announced || held == heldByStop {
		return
	}
	p.announced = true
	e := r.event(p)
	e.Reason = ReasonWaitingForSlot
	switch held {
	case heldByWindow:
		e.Message = fmt.Sprintf("waits its turn: %d at a time", p.node.step.Window)
	case heldByGroup:
		e.Message = "waits its turn: one at a time in " + p.node.step.Exclusive
	case heldByLane:
		e.Message = fmt.Sprintf("waits its turn: %d at a time in %s", r.laneOf(p).Width, p.node.step.Lane)
	case heldByHosts:
		e.Message = fmt.Sprintf("waits its turn: %d hosts at a time", r.opts.MaxParallelHosts)
	}
	r.events.put(e, false)
}

func (r *run) start(ctx context.Context, p *pair) {
	r.running++
	p.node.inHand++
	r.hosts[p.outcome.Host]++
	if g := p.node.step.Exclusive; g != "" {
		r.groups[g] = true
	}
	if l := r.laneOf(p); l != nil {
		l.inside[p.outcome.Host] = true
	}
	p.outcome.State = StateRunning
	go func() {
		(&work{run: r, pair: p, step: p.node.step, host: p.outcome.Host}).do(ctx)
		r.emitFinal(p)
		r.ended <- p
	}()
}

func (r *run) release(p *pair) {
	r.running--
	p.node.inHand--
	if r.hosts[p.outcome.Host]--; r.hosts[p.outcome.Host] == 0 {
		delete(r.hosts, p.outcome.Host)
	}
	if g := p.node.step.Exclusive; g != "" {
		delete(r.groups, g)
	}
}

// settled passes the end of a pair on to everything that needs it. It may come back to itself for steps further on, never for the
// same step, because the graph has no cycles.
func (r *run) settled(p *pair) {
	n := p.node
	r.laneOf(p).ended(p)
	ok := p.outcome.State.OK()
	if ok {
		n.ok++
	} else {
		n.bad++
	}
	firstBad, allOK := !ok && n.bad == 1, n.ok == len(n.pairs)
	for _, d := range n.dependents {
		switch d.scope {
		case SameHost:
			if q := d.node.byHost[p.outcome.Host]; q != nil {
				r.passOn(q, p, r.changedBy(p))
			}
		case AllHosts:
			if firstBad || allOK {
				r.passOnToAll(d.node, p, allOK && slices.ContainsFunc(n.pairs, r.changedBy))
			}
		case AnyHost:
			if from := r.anyHost(n, p); from != nil {
				r.passOnToAll(d.node, from, r.changedBy(from))
			}
		}
	}
}

// anyHost says which pair of n decides a need for any host, now that p has ended: the first that ended well, or the last when none
// did. nil means that it is not decided yet, or was before. A plan waits for all hosts and prefers one on which nothing would
// change, so that what it says does not depend on which host answers first.
func (r *run) anyHost(n *node, p *pair) *pair {
	last := n.ok+n.bad == len(n.pairs)
	if r.opts.Mode == ModePlan {
		if !last {
			return nil
		}
		best := p
		for _, q := range n.pairs {
			if q.outcome.State.OK() && (!best.outcome.State.OK() || r.changedBy(best) && !r.changedBy(q)) {
				best = q
			}
		}
		return best
	}
	if p.outcome.State.OK() && n.ok == 1 || last && n.ok == 0 {
		return p
	}
	return nil
}

func (r *run) passOnToAll(n *node, from *pair, changed bool) {
	for _, q := range n.pairs {
		r.passOn(q, from, changed)
	}
}

// passOn tells q that a need of it ended with from: it is queued with the last need met, and blocked by the first one failed.
func (r *run) passOn(q, from *pair, changed bool) {
	if q.outcome.State != StatePending {
		return
	}
	if !from.outcome.State.OK() {
		r.block(q, from)
		return
	}
	q.changed = q.changed || changed
	if q.unmet--; q.unmet == 0 {
		r.enqueue(q)
	}
}

// block ends q because of what it needs, naming the failure at the far end rather than the whole chain.
func (r *run) block(q, from *pair) {
	q.root = from
	if from.root != nil {
		q.root = from.root
	}
	root := q.root.outcome
	q.outcome.State, q.outcome.Reason = StateBlocked, ReasonNeedFailed
	q.outcome.Message = fmt.Sprintf("not begun: %s failed on %s (%s)", root.Step, root.Host, root.Reason)
	if root.State == StateBlocked {
		q.outcome.Message = root.Message
	}
	r.emitFinal(q)
	r.settled(q)
}

// changedBy says that a plan cannot judge what needs p by what is there now, because p or something before it would change it.
func (r *run) changedBy(p *pair) bool {
	return p.changed || r.opts.Mode == ModePlan && (p.outcome.State == StateChanged || p.outcome.Reason == ReasonAwaited)
}

// event returns what every event about the pair has in common.
func (r *run) event(p *pair) Event {
	return Event{
		Operation: r.opts.Operation, Attempt: r.opts.Attempt,
		Step: p.outcome.Step, Host: p.outcome.Host, State: p.outcome.State, Try: p.outcome.Tries,
		At: r.opts.Clock.Now(),
	}
}

func (r *run) emitFinal(p *pair) {
	if p.hostless() {
		return
	}
	e := r.event(p)
	o := &p.outcome
	e.Reason, e.Message, e.Why, e.Took = o.Reason, head(o.Message, maxMessage), o.Why, o.Took
	e.ExitCode, e.Output = p.detail.ExitCode, tail(p.detail.Output, maxOutput)
	e.Advances = true
	r.events.put(e, false)
}

func (r *run) result() *Result {
	res := &Result{Mode: r.opts.Mode, StartedAt: r.started, Took: r.opts.Clock.Now().Sub(r.started)}
	for _, n := range r.nodes {
		sr := StepResult{ID: n.step.ID, Title: n.step.Title}
		for _, p := range n.pairs {
			if p.hostless() {
				continue
			}
			o := p.outcome
			sr.Hosts = append(sr.Hosts, o)
			res.Summary.count(o.State)
			res.Changed = res.Changed || o.State == StateChanged
			res.Cancelled = res.Cancelled || o.Reason == ReasonCancelled
			res.Stopped = res.Stopped || o.Reason == ReasonStopped || p.gaveUp
		}
		res.Steps = append(res.Steps, sr)
	}
	return res
}
