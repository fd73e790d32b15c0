package fetch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// TestMain lets the test program stand in for programs that behave in a certain way.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "behave" {
		os.Exit(behaviours[os.Args[2]]())
	}
	os.Exit(m.Run())
}

// say writes one line.
func say(line string) { _, _ = io.WriteString(os.Stdout, line+"\n") }

var behaviours = map[string]func() int{
	"tell what it was given": func() int {
		in, _ := io.ReadAll(os.Stdin)
		arguments, _ := os.ReadFile("/proc/self/cmdline")
		told, _ := json.Marshal(fmt.Sprintf("environment %q arguments %q secret on stdin %v", os.Environ(), arguments, bytes.Contains(in, []byte("hunter2"))))
		say(fmt.Sprintf(`{"failure":{"kind":"Refused","message":%s}}`, told))
		return 1
	},
	"succeed": func() int {
		say(`{"progress":{"done":1,"total":2}}`)
		say(`{"progress":{"done":2,"total":2}}`)
		say(`{"result":{"size":2,"sha256":"ab","received":1}}`)
		return 0
	},
	"say nothing": func() int { return 0 },
	"claim success and crash": func() int {
		say(`{"result":{"size":2}}`)
		return 3
	},
	"say what is no message": func() int { say("<html>"); return 0 },
	"say a line without end": func() int { say(strings.Repeat("x", 1<<20)); return 0 },
	"crash": func() int {
		_, _ = io.WriteString(os.Stderr, strings.Repeat("y", 100_000)+"the reason")
		return 2
	},
	"wait for the end": func() int {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		say(`{"progress":{"done":1}}`)
		<-ctx.Done()
		say(`{"failure":{"kind":"Failed","message":"context canceled"}}`)
		return 1
	},
}

func program(behaviour string) *fetch.Program {
	return &fetch.Program{Path: os.Args[0], Args: []string{"behave", behaviour}}
}

func TestWhatAProgramSaysIsUnderstood(t *testing.T) {
	for name, test := range map[string]struct {
		behaviour string
		kind      fetch.Kind
		says      string
	}{
		"a program gets the secret on its standard input, and neither environment nor arguments": {
			"tell what it was given", fetch.Refused, `environment [] arguments "` + os.Args[0],
		},
		"silence is a failure":                    {"say nothing", fetch.Failed, "without an answer"},
		"success of a crashed program is none":    {"claim success and crash", fetch.Failed, "exit status 3"},
		"what is no message is a failure":         {"say what is no message", fetch.Failed, "<html>"},
		"a line without end is a failure":         {"say a line without end", fetch.Failed, "token too long"},
		"a crash is told with the end of its cry": {"crash", fetch.Failed, "the reason"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := program(test.behaviour).Fetch(t.Context(), fetch.Request{Credentials: fetch.Credentials{Password: "hunter2"}}, nil)
			if err == nil || fetch.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %s: %.300v", fetch.KindOf(err), err)
			}
			if err != nil && (len(err.Error()) > 8<<10 || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("the error is too long or tells the secret")
			}
		})
	}
}

func TestProgressAndResultArePassedOn(t *testing.T) {
	var seen []fetch.Progress
	result, err := program("succeed").Fetch(t.Context(), fetch.Request{}, func(p fetch.Progress) { seen = append(seen, p) })
	if err != nil || result != (fetch.Result{Size: 2, SHA256: "ab", Received: 1}) {
		t.Errorf("got %+v, %v", result, err)
	}
	if fmt.Sprint(seen) != "[{1 2 0} {2 2 0}]" {
		t.Errorf("progress was %v", seen)
	}
}

func TestACancelledFetchEndsTheProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := program("wait for the end").Fetch(ctx, fetch.Request{}, func(fetch.Progress) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAProgramThatIsNotThereIsSaidSo(t *testing.T) {
	_, err := (&fetch.Program{Path: filepath.Join(t.TempDir(), "none")}).Fetch(t.Context(), fetch.Request{}, nil)
	if err == nil || !strings.Contains(err.Error(), "install kubewright-fetch") {
		t.Errorf("got %v", err)
	}
}

func TestRequestsThatCannotBeRight(t *testing.T) {
	good := fetch.Request{
		Protocol: fetch.ProtocolVersion, Source: "https://example.com/k", Destination: "/store/k", Limits: fetch.Limits{MaxBytes: 10},
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *fetch.Request){
		"another protocol":            func(r *fetch.Request) { r.Protocol++ },
		"a source that is none":       func(r *fetch.Request) { r.Source = "x" },
		"a relative destination":      func(r *fetch.Request) { r.Destination = "k" },
		"a destination that climbs":   func(r *fetch.Request) { r.Destination = "/store/../etc/k" },
		"no limit":                    func(r *fetch.Request) { r.Limits.MaxBytes = 0 },
		"a negative reserve":          func(r *fetch.Request) { r.Limits.KeepFreeBytes = -1 },
		"a negative time":             func(r *fetch.Request) { r.Limits.IdleTimeout = -1 },
		"a sum of another kind":       func(r *fetch.Request) { r.Expect.SHA256 = "d41d8cd98f00b204e9800998ecf8427e" },
		"a sum in upper case":         func(r *fetch.Request) { r.Expect.SHA256 = strings.Repeat("A", 64) },
		"more bytes than are allowed": func(r *fetch.Request) { r.Expect.Size = 11 },
		"a root that is relative":     func(r *fetch.Request) { r.Roots = []string{"srv"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			change(&r)
			if err := r.Validate(); err == nil {
				t.Error("it was accepted")
			}
		})
	}
}
