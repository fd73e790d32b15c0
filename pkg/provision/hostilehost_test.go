package provision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	hostclient "github.com/kubewright/kubewright/pkg/host/client"
	"github.com/kubewright/kubewright/pkg/host/inbound"
	"github.com/kubewright/kubewright/pkg/host/mux"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

// mostTaken is the memory, garbage included, that dealing with one hostile answer may take in all, on both sides of the test: the peak is
// below that. A bound on bytes alone makes 1.4 GiB of 16 MiB.
const mostTaken = 200 << 20

// flood writes a beginning, and then a part again and again until nobody takes it any more or 1 GiB has gone.
func flood(w io.Writer, begin, part string) {
	if _, err := io.WriteString(w, begin); err != nil {
		return
	}
	block := []byte(strings.Repeat(part, 1+(64<<10)/len(part)))
	for sent := 0; sent < 1<<30; sent += len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// allocated is how much memory something allocates in all.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// liar is a machine on which something else than the helper answers: hello as the helper does, unless answers has it, and all else as it
// likes.
func liar(t *testing.T, answers map[string]http.HandlerFunc, opens func(*yamux.Session)) *machine {
	t.Helper()
	routes := http.NewServeMux()
	for path, answer := range answers {
		routes.HandleFunc(path, answer)
	}
	if answers[hostapi.PathHello] == nil {
		routes.HandleFunc(hostapi.PathHello, func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(hostapi.HelloResponse{
				Protocol: hostapi.ProtocolVersion, Digest: helperFile().Digest.String(), Facts: &hostapi.Facts{Hostname: "liar"},
			})
		})
	}
	m := &machine{files: map[string][]byte{helperPath(helperFile()): helperContent}}
	m.Server = sshtest.Start(t, sshtest.Config{
		Users: map[string]sshtest.User{"root": {Password: "secret"}},
		Handler: func(e *sshtest.Exec) int {
			return sshtest.Plain(func(e *sshtest.Exec) int {
				session, err := yamux.Server(&lossy{e, m}, mux.Config(0))
				if err != nil {
					return 1
				}
				defer func() { _ = session.Close() }()
				if opens != nil {
					go opens(session)
				}
				_ = (&http.Server{Handler: routes, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}).Serve(session)
				return 0
			})(e)
		},
	})
	return m
}

func TestAHostileHostHarmsItselfOnly(t *testing.T) {
	two := []hostapi.Resource{{ID: "a"}, {ID: "b"}}
	check := func(ctx context.Context, c *hostclient.Client) error {
		_, err := c.Check(ctx, hostapi.CheckRequest{Step: "s", Resources: two})
		return err
	}
	apply := func(ctx context.Context, c *hostclient.Client) error {
		_, err := c.Apply(ctx, hostapi.ApplyRequest{Step: "s", Resources: two}, func(hostapi.Progress) {})
		return err
	}
	logs := func(ctx context.Context, c *hostclient.Client) error {
		_, err := c.Logs(ctx, "demo-install-1", 0)
		return err
	}
	for _, test := range []struct {
		name, path    string
		begin, part   string
		ask           func(context.Context, *hostclient.Client) error
		says          string
		status        int
		headerFlooded bool
	}{
		{name: "facts that do not end", path: hostapi.PathHello, begin: `{"protocol":1,"facts":{"hostname":"`, part: "x", says: "more than 4096 KiB"},
		{name: "facts of a million sockets", path: hostapi.PathHello, begin: `{"facts":{"listening":[{}`, part: ",{}", says: "more than 131072 values"},
		{name: "a million verdicts on two resources", path: hostapi.PathCheck, begin: `{"verdicts":[{}`, part: ",{}", ask: check, says: "more than 4352 values"},
		{name: "one verdict that does not end", path: hostapi.PathCheck, begin: `{"verdicts":[{"why":"`, part: "x", ask: check, says: "more than 1056 KiB"},
		{name: "lists in lists", path: hostapi.PathCheck, begin: `{"verdicts":`, part: "[", ask: check, says: "more than 4352 values"},
		{name: "an error that does not end", path: hostapi.PathCheck, begin: `{"message":"`, part: "x", status: 500, ask: check, says: "answered HTTP 500"},
		{name: "headers that do not end", path: hostapi.PathCheck, headerFlooded: true, ask: check, says: "header"},
		{name: "headers of a connection that do not end", path: hostapi.PathDial, headerFlooded: true, says: "lost", ask: func(ctx context.Context, c *hostclient.Client) error {
			_, err := c.Dial(ctx, hostapi.DialRequest{Service: hostapi.ServiceEtcd, Address: "127.0.0.1"})
			return err
		}},
		{name: "an event that does not end", path: hostapi.PathApply, begin: `{"progress":{"message":"`, part: "x", ask: apply, says: "more than 1056 KiB"},
		{name: "a last event of a million verdicts", path: hostapi.PathApply, begin: `{"progress":{}}{"result":{"verdicts":[{}`, part: ",{}", ask: apply, says: "more than 4352 values"},
		{name: "an error of a million verdicts", path: hostapi.PathApply, begin: `{"error":{"verdicts":[{}`, part: ",{}", ask: apply, says: "more than 4352 values"},
		{name: "logs that do not end", path: hostapi.PathLogs, begin: `{"entries":[{"message":"`, part: "x", ask: logs, says: "more than 32768 KiB"},
		{name: "logs of a million entries", path: hostapi.PathLogs, begin: `{"entries":[{}`, part: ",{}", ask: logs, says: "more than 1048576 values"},
		{name: "a file that does not end", path: hostapi.PathPublicFile, begin: `{"content":"`, part: "QUFB", says: "more than 3072 KiB", ask: func(ctx context.Context, c *hostclient.Client) error {
			_, err := c.PublicFile(ctx, "/etc/kubernetes/pki/ca.crt")
			return err
		}},
		{name: "a report on a million things that were removed", path: hostapi.PathReset, begin: `{"result":{"reset":{"items":[{}`, part: ",{}", says: "more than 262144 values", ask: func(ctx context.Context, c *hostclient.Client) error {
			_, err := c.Reset(ctx, hostapi.ResetRequest{}, nil)
			return err
		}},
		{name: "a million operations", path: hostapi.PathOperations, begin: `{"operations":[{}`, part: ",{}", says: "more than 4096 values", ask: func(ctx context.Context, c *hostclient.Client) error {
			_, err := c.Operations(ctx)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := liar(t, map[string]http.HandlerFunc{test.path: func(w http.ResponseWriter, _ *http.Request) {
				if test.headerFlooded {
					for i := range 1 << 16 {
						w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100))
					}
				}
				if test.status != 0 {
					w.WriteHeader(test.status)
				}
				flood(w, test.begin, cmp.Or(test.part, " "))
			}}, nil)
			s := sessionsWith(t, map[string]*machine{"n1": m})
			var err error
			memory := allocated(func() {
				var helper *hostclient.Client
				if helper, err = s.helper(t.Context(), "n1"); err == nil && test.ask != nil {
					err = test.ask(t.Context(), helper)
				}
			})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it ended with %v, want %q", err, test.says)
			}
			if _, tooLarge := errors.AsType[*inbound.TooLargeError](err); tooLarge && engine.KindOf(classify(err)) != engine.KindNeedsHuman {
				t.Errorf("%v would be tried again", err)
			}
			if memory > mostTaken {
				t.Errorf("it took %d MiB", memory>>20)
			}
		})
	}
}

func TestAHostThatAnswersForOtherResourcesThanItWasAskedForIsRefused(t *testing.T) {
	m := liar(t, map[string]http.HandlerFunc{
		hostapi.PathCheck: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"verdicts":[{"state":"Done"}]}`)
		},
		hostapi.PathApply: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"result":{}}`) },
	}, nil)
	helper, err := sessionsWith(t, map[string]*machine{"n1": m}).helper(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	two := []hostapi.Resource{{ID: "a"}, {ID: "b"}}
	_, checked := helper.Check(t.Context(), hostapi.CheckRequest{Step: "s", Resources: two})
	_, applied := helper.Apply(t.Context(), hostapi.ApplyRequest{Step: "s", Resources: two}, nil)
	for _, err := range []error{checked, applied} {
		if count, ok := errors.AsType[*hostclient.CountError](err); !ok || count.Resources != 2 {
			t.Errorf("got %v", err)
		}
	}
}

func TestStreamsThatAHostOpensAreBoundedInNumberAndInWhatTheyHold(t *testing.T) {
	// What tests before this one left is not what is measured.
	runtime.GC()
	opened, body := make(chan struct{}), make([]byte, 1<<20)
	m := liar(t, nil, func(session *yamux.Session) {
		defer close(opened)
		// A request whose body nobody reads stays in the window of its stream.
		for range 2000 {
			stream, err := session.Open()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(stream, "POST /blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n")
				_, _ = stream.Write(body)
			}()
		}
	})
	s := sessionsWith(t, map[string]*machine{"n1": m})
	hold := make(chan struct{})
	defer close(hold)
	s.blobs = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold })
	if _, err := s.helper(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-opened:
	case <-time.After(20 * time.Second):
	}
	// What is garbage already is not held; how much of that there is says how fast the machine is.
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if stats.HeapAlloc > mostTaken {
		t.Errorf("%d MiB of heap are held", stats.HeapAlloc>>20)
	}
}

func TestAHostThatFloodsWhatItsShellSaysHarmsItselfOnly(t *testing.T) {
	for name, handler := range map[string]sshtest.Handler{
		"standard error without end": func(e *sshtest.Exec) int {
			flood(e.Stderr, "", "no\n")
			return 1
		},
		"an answer to the placing script that has no line break": func(e *sshtest.Exec) int {
			switch e.Argv[len(e.Argv)-1] {
			case "serve":
				return 127
			case "-m": // uname
				return 1
			}
			flood(e.Stdout, "", "x")
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{}
			m.Server = sshtest.Start(t, sshtest.Config{Users: map[string]sshtest.User{"root": {Password: "secret"}}, Handler: func(e *sshtest.Exec) int {
				if len(e.Argv) > 1 && e.Argv[len(e.Argv)-1] == "serve" {
					return handler(e)
				}
				return sshtest.Plain(handler)(e)
			}})
			var err error
			var stats runtime.MemStats
			_, err = sessionsWith(t, map[string]*machine{"n1": m}).helper(t.Context(), "n1")
			runtime.ReadMemStats(&stats)
			if err == nil || len(err.Error()) > 64<<10 {
				t.Errorf("it ended with %.300v", err)
			}
			if stats.HeapInuse > mostTaken {
				t.Errorf("%d MiB of heap are in use", stats.HeapInuse>>20)
			}
		})
	}
}

func TestNoTextOfAHostIsObeyedByATerminal(t *testing.T) {
	const hostile = "x\x1b[2J\x1b]0;owned\x07\u202etxt\u2066\u009b31m\r"
	said := func(v any) []byte {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(said(v)) }
	}
	refuse := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write(said(v))
		}
	}
	one := []hostapi.Resource{{ID: "a"}}
	facts := &hostapi.Facts{
		Hostname: hostile, OS: hostapi.OSRelease{PrettyName: hostile}, Interfaces: []hostapi.Interface{{Name: hostile, Addresses: []string{hostile}}},
		Owner: &hostapi.Owner{ClusterName: hostile}, ReceiptKeys: map[string]string{hostile: hostile},
	}
	verdicts := []hostapi.Verdict{{Resource: hostile, State: hostapi.Needed, Why: hostile, Diff: hostile, Unit: &hostapi.UnitRun{Output: []string{hostile}}}}
	m := liar(t, map[string]http.HandlerFunc{
		hostapi.PathHello: answer(hostapi.HelloResponse{Protocol: hostapi.ProtocolVersion, Digest: helperFile().Digest.String(), Facts: facts}),
		hostapi.PathCheck: answer(hostapi.CheckResponse{Verdicts: verdicts}),
		hostapi.PathApply: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(said(hostapi.Event{Progress: &hostapi.Progress{Message: hostile}}))
			_, _ = w.Write(said(hostapi.Event{Error: &hostapi.ErrorReply{Resource: &hostapi.ResourceError{Resource: hostile, Message: hostile, Output: []string{hostile}}, Verdicts: verdicts}}))
		},
		hostapi.PathLogs:         answer(hostapi.Logs{Entries: []hostapi.JournalEntry{{Message: hostile}}, Runs: []hostapi.RunLog{{Name: hostile, Lines: []string{hostile}}}}),
		hostapi.PathLeaseAcquire: refuse(hostapi.ErrorReply{Held: &hostapi.LeaseHeldError{Holder: hostile}}),
		hostapi.PathDial:         refuse(hostapi.ErrorReply{Message: hostile}),
		hostapi.PathOperations:   answer(hostapi.OperationsResponse{Operations: []hostapi.OperationInfo{{Operation: hostile}}}),
	}, nil)
	helper, err := sessionsWith(t, map[string]*machine{"n1": m}).helper(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	seen := func(what string, got any, err error) {
		t.Helper()
		if text := fmt.Sprintf("%+v %v", got, err) + string(said(got)); strings.ContainsAny(text, "\x1b\a\r\u202e\u2066\u009b") || strings.Contains(text, "owned") ||
			strings.Contains(text, `\u001b`) || !strings.Contains(text, "xtxt") {
			t.Errorf("%s: got %q", what, text)
		}
	}
	learned, err := helper.Facts(t.Context())
	seen("facts", learned, err)
	checked, err := helper.Check(t.Context(), hostapi.CheckRequest{Step: "s", Resources: one})
	seen("verdicts", checked, err)
	applied, err := helper.Apply(t.Context(), hostapi.ApplyRequest{Step: "s", Resources: one}, func(p hostapi.Progress) { seen("progress", p, nil) })
	seen("an error of a stream", applied, err)
	resource, _ := errors.AsType[*hostapi.ResourceError](err)
	seen("its output", resource, nil)
	logs, err := helper.Logs(t.Context(), "demo-install-1", 0)
	seen("logs", logs, err)
	_, err = helper.AcquireLease(t.Context(), 0)
	seen("a refusal", nil, err)
	_, err = helper.Dial(t.Context(), hostapi.DialRequest{Service: hostapi.ServiceEtcd, Address: "127.0.0.1"})
	seen("a connection that did not come about", nil, err)
	operations, err := helper.Operations(t.Context())
	seen("operations", operations, err)

	loud := &machine{}
	loud.Server = sshtest.Start(t, sshtest.Config{Users: map[string]sshtest.User{"root": {Password: "secret"}}, Handler: func(e *sshtest.Exec) int {
		_, _ = io.WriteString(e.Stderr, hostile)
		return 3
	}})
	_, err = sessionsWith(t, map[string]*machine{"n1": loud}).helper(t.Context(), "n1")
	seen("standard error", nil, err)
}
