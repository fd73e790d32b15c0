// Package server is the helper's side of a session: it answers typed requests that come over the standard streams, one
// session per process, and ends with it. It routes, guards (lease, owner, bounds) and streams; it must not know how a
// resource is checked or applied.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/facts"
	"github.com/kubewright/kubewright/pkg/host/fetch"
	"github.com/kubewright/kubewright/pkg/host/journal"
	"github.com/kubewright/kubewright/pkg/host/lease"
	"github.com/kubewright/kubewright/pkg/host/ledger"
	"github.com/kubewright/kubewright/pkg/host/mux"
	"github.com/kubewright/kubewright/pkg/host/reset"
	"github.com/kubewright/kubewright/pkg/host/resource"
	"github.com/kubewright/kubewright/pkg/host/stamp"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

// Options are what a session is served with.
type Options struct {
	Sys *sys.System
	// Helper is the path of the helper's executable, for detached commands.
	Helper string
	// Peer is the address the SSH connection came from, "" when unknown.
	Peer string
	// Kernel is what Reset does to the kernel.
	Kernel reset.Kernel
	// KeepAlive is the interval of keepalives; 0 means 10 s.
	KeepAlive time.Duration
}

type server struct {
	opts   Options
	lease  *lease.Lease
	runs   *detach.Manager
	fetch  *fetch.Fetcher
	stamps *stamp.Cache
	log    *journal.Journal

	mu        sync.Mutex
	ledger    *ledger.Ledger
	operation string
	holder    string
	peers     []string

	// changing is held, shared, by whoever applies something, and alone by what undoes it or ends the right to.
	changing sync.RWMutex
	// turn lets one request at a time apply something, but for those that only unpack images: containerd does the work, and nothing of it
	// is what others place.
	turn sync.Mutex
}

// Serve answers requests on rw until the other side closes it, falls silent, or ctx ends. The lease, if held, is let go.
func Serve(ctx context.Context, rw io.ReadWriteCloser, opts Options) error {
	session, err := yamux.Server(rw, mux.Config(opts.KeepAlive))
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	defer func() { _ = session.Close() }()
	s := &server{
		opts:   opts,
		lease:  lease.New(opts.Sys),
		runs:   &detach.Manager{Sys: opts.Sys, Helper: opts.Helper},
		stamps: stamp.Open(opts.Sys),
		log:    journal.New(opts.Sys),
		fetch:  fetch.New(opts.Peer, func(context.Context) (net.Conn, error) { return session.Open() }),
	}
	defer s.lease.Release()
	if s.ledger, err = ledger.Open(opts.Sys); err != nil {
		return err
	}
	// Requests end with the session: nothing goes on changing the host when nobody listens any more.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	httpServer := &http.Server{
		Handler:           s.routes(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	err = httpServer.Serve(session)
	cancel()
	_ = httpServer.Close()
	// A request that is being stopped may still write; the lease must outlive it.
	s.changing.Lock()
	defer s.changing.Unlock()
	if errors.Is(err, io.EOF) || errors.Is(err, yamux.ErrSessionShutdown) || session.IsClosed() {
		return nil
	}
	return err
}

func (s *server) routes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST "+api.PathHello, handle(s.hello))
	routes.HandleFunc("POST "+api.PathFacts, handle(s.facts))
	routes.HandleFunc("POST "+api.PathCheck, handle(s.check))
	routes.HandleFunc("POST "+api.PathApply, stream(s, s.share, s.apply))
	routes.HandleFunc("POST "+api.PathLeaseAcquire, handle(s.acquire))
	routes.HandleFunc("POST "+api.PathLeaseRelease, handle(s.release))
	routes.HandleFunc("POST "+api.PathLogs, handle(s.logs))
	routes.HandleFunc("POST "+api.PathOperations, handle(s.operations))
	routes.HandleFunc("POST "+api.PathReset, stream(s, s.exclude, s.reset))
	routes.HandleFunc("POST "+api.PathPublicFile, handle(s.publicFile))
	routes.HandleFunc("POST "+api.PathDial, s.dial)
	return routes
}

// handle answers one JSON message with another.
func handle[In, Out any](f func(context.Context, *In) (*Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		if err := decode(r, in); err != nil {
			refuse(w, err)
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// An answer that cannot be sent is the client's to notice.
		_ = json.NewEncoder(w).Encode(out)
	}
}

func decode(r *http.Request, in any) error {
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, api.MaxRequestBytes))
	if err != nil {
		return &api.InvalidError{Message: err.Error()}
	}
	if err := json.Unmarshal(data, in); err != nil {
		return &api.InvalidError{Message: err.Error()}
	}
	return nil
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var fenced *api.FencedError
	var invalid *api.InvalidError
	var held *api.LeaseHeldError
	var owned *api.OwnedByOtherError
	switch {
	case errors.As(err, &invalid):
		status = http.StatusBadRequest
	case errors.As(err, &fenced):
		status = http.StatusPreconditionFailed
	case errors.As(err, &held), errors.As(err, &owned):
		status = http.StatusConflict
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.ReplyOf(err))
}

// share waits until a request may apply something.
func (s *server) share(req *api.ApplyRequest) (done func()) {
	if !slices.ContainsFunc(req.Resources, func(r api.Resource) bool { return r.Kind() != api.KindImage }) {
		s.changing.RLock()
		return s.changing.RUnlock
	}
	s.turn.Lock()
	s.changing.RLock()
	return func() {
		s.changing.RUnlock()
		s.turn.Unlock()
	}
}

// exclude waits until nobody else changes the host.
func (s *server) exclude(*api.ResetRequest) (done func()) {
	s.changing.Lock()
	return s.changing.Unlock
}

// stream answers with events. The request must carry the token of the lease; wait holds it back until it may change the host.
func stream[In any](s *server, wait func(*In) (done func()), f func(context.Context, *In, func(api.Progress)) (*api.Result, *api.ErrorReply)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		if err := decode(r, in); err != nil {
			refuse(w, err)
			return
		}
		defer wait(in)()
		if err := s.verify(r); err != nil {
			refuse(w, err)
			return
		}
		out := &eventWriter{w: w, enc: json.NewEncoder(w)}
		w.Header().Set("Content-Type", "application/x-ndjson")
		result, fail := f(r.Context(), in, func(p api.Progress) { out.send(api.Event{Progress: &p}) })
		out.send(api.Event{Result: result, Error: fail})
	}
}

func (s *server) verify(r *http.Request) error {
	var token int64
	if h := r.Header.Get(api.TokenHeader); h != "" {
		var err error
		if token, err = strconv.ParseInt(h, 10, 64); err != nil {
			return &api.InvalidError{Message: "the fencing token is not a number"}
		}
	}
	return s.lease.Verify(token)
}

// eventWriter sends each event at once.
type eventWriter struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	enc *json.Encoder
}

func (e *eventWriter) send(ev api.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// When the session is gone, the request's context ends as well; there is nobody to tell.
	if e.enc.Encode(ev) == nil {
		_ = http.NewResponseController(e.w).Flush()
	}
}

func (s *server) hello(ctx context.Context, req *api.HelloRequest) (*api.HelloResponse, error) {
	if req.Protocol != api.ProtocolVersion {
		return nil, &api.ProtocolMismatchError{Controller: req.Protocol, Helper: api.ProtocolVersion}
	}
	if err := api.ValidateOperation(req.Operation); err != nil {
		return nil, err
	}
	if err := api.ValidatePeers(req.Peers); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.operation, s.holder, s.peers = req.Operation, req.Holder, req.Peers
	s.mu.Unlock()
	f, err := s.facts(ctx, &api.FactsRequest{})
	if err != nil {
		return nil, err
	}
	digest, err := sys.FileDigest(s.opts.Helper)
	if err != nil {
		return nil, fmt.Errorf("read the helper itself: %w", err)
	}
	return &api.HelloResponse{Protocol: api.ProtocolVersion, Digest: digest, PID: os.Getpid(), Dials: true, Seals: true, Facts: f}, nil
}

func (s *server) current() (operation, holder string, l *ledger.Ledger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.operation, s.holder, s.ledger
}

// refresh reads the ledger again for a session that only looks: the one that changes the host is another.
func (s *server) refresh() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease.Held() {
		return nil
	}
	return s.reload()
}

// reload is called with mu held, so that a session never works with two ledgers.
func (s *server) reload() error {
	l, err := ledger.Open(s.opts.Sys)
	if err != nil {
		return err
	}
	s.ledger = l
	return nil
}

func (s *server) facts(ctx context.Context, req *api.FactsRequest) (*api.Facts, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if err := s.refresh(); err != nil {
		return nil, err
	}
	_, _, l := s.current()
	return facts.Sources{Sys: s.opts.Sys, Ledger: l, Lease: s.lease, Runs: s.runs}.Gather(ctx, req.Directories...)
}

func (s *server) host() (string, *resource.Host) {
	operation, _, l := s.current()
	return operation, &resource.Host{Sys: s.opts.Sys, Ledger: l, Journal: s.log, Stamps: s.stamps, Runs: s.runs, Fetch: s.fetch}
}

func (s *server) check(ctx context.Context, req *api.CheckRequest) (*api.CheckResponse, error) {
	if err := api.ValidateResources(req.Resources); err != nil {
		return nil, err
	}
	if err := s.refresh(); err != nil {
		return nil, err
	}
	operation, h := s.host()
	verdicts, err := h.NewTask(operation, req.Step, fetch.Way{}, nil).Check(ctx, req.Resources)
	if err != nil {
		return nil, err
	}
	return &api.CheckResponse{Verdicts: verdicts}, nil
}

func (s *server) apply(ctx context.Context, req *api.ApplyRequest, emit func(api.Progress)) (*api.Result, *api.ErrorReply) {
	if err := api.ValidateResources(req.Resources); err != nil {
		return nil, api.ReplyOf(err)
	}
	operation, h := s.host()
	if err := h.Ledger.Claim(req.Owner); err != nil {
		return nil, api.ReplyOf(err)
	}
	if err := reset.Remember(s.opts.Sys, h.Ledger); err != nil {
		return nil, api.ReplyOf(err)
	}
	t := h.NewTask(operation, req.Step, fetch.Way{Sources: req.Sources, Stall: time.Duration(req.StallMillis) * time.Millisecond}, emit)
	verdicts, err := t.Apply(ctx, req.Resources)
	if err != nil {
		reply := api.ReplyOf(err)
		reply.Verdicts, reply.BytesDirect, reply.BytesTunnel = verdicts, t.Direct.Load(), t.Tunnel.Load()
		return nil, reply
	}
	return &api.Result{Verdicts: verdicts, BytesDirect: t.Direct.Load(), BytesTunnel: t.Tunnel.Load()}, nil
}

func (s *server) acquire(ctx context.Context, req *api.LeaseRequest) (*api.LeaseResponse, error) {
	operation, holder, _ := s.current()
	if operation == "" {
		return nil, &api.InvalidError{Message: "say hello first"}
	}
	token, err := s.lease.Acquire(ctx, time.Duration(req.WaitMillis)*time.Millisecond, holder, operation)
	if err != nil {
		return nil, err
	}
	// Another session may have written both while we waited.
	s.mu.Lock()
	err = s.reload()
	s.mu.Unlock()
	if err != nil {
		s.lease.Release()
		return nil, err
	}
	_, h := s.host()
	h.CleanStaging()
	message := fmt.Sprintf("%s holds the lease with token %d", holder, token)
	if err := h.CleanBackups(ctx); err != nil {
		// The next backup or a reset removes it, or fails saying so; whatever else is to be done need not wait for that.
		message += "; " + err.Error()
	}
	err = s.log.Append(operation, api.JournalEntry{Event: "lease", Message: message})
	if err != nil {
		s.lease.Release()
		return nil, err
	}
	return &api.LeaseResponse{Token: token}, nil
}

func (s *server) release(context.Context, *struct{}) (*struct{}, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.lease.Release()
	return &struct{}{}, nil
}

func (s *server) reset(ctx context.Context, req *api.ResetRequest, emit func(api.Progress)) (*api.Result, *api.ErrorReply) {
	operation, _, l := s.current()
	r := &reset.Resetter{Sys: s.opts.Sys, Ledger: l, Runs: s.runs, Kernel: s.opts.Kernel, Helper: s.opts.Helper, Emit: func(p api.Progress) {
		if !req.DryRun {
			// What is being removed must not stay because it could not be written down.
			_ = s.log.Append(operation, api.JournalEntry{Event: "reset", Message: p.Message})
		}
		emit(p)
	}}
	report, err := r.Run(ctx, *req)
	if err != nil {
		return nil, api.ReplyOf(err)
	}
	if !req.DryRun && !req.KeepBlobs {
		s.stamps.Clear()
	}
	return &api.Result{Reset: report}, nil
}
