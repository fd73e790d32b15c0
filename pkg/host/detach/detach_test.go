package detach_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/detach"
	"github.com/kubewright/kubewright/pkg/host/hosttest"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func run(t *testing.T, h *hosttest.Host, c *api.Command, line func(string)) (*detach.Result, *detach.Manager) {
	t.Helper()
	m := &detach.Manager{Sys: h.Sys, Helper: "/helper"}
	if err := m.Start(t.Context(), "op", c); err != nil {
		t.Fatal(err)
	}
	r, err := m.Follow(t.Context(), c.Name, line)
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

func TestOutputIsBoundedOnTheHostWhileEveryLineIsFollowed(t *testing.T) {
	h := hosttest.New(t)
	const lines = 40_000
	n := 0
	r, m := run(t, h, &api.Command{Name: "loud", Key: "k", Argv: []string{"/bin/sh", "-c", fmt.Sprintf("seq -f 'line %%08.0f of a program that says too much' %d", lines)}}, func(string) { n++ })
	if r.ExitCode != 0 {
		t.Fatalf("%+v", r)
	}
	var kept int64
	for _, f := range []string{"output", "output.old"} {
		if fi, err := os.Stat(h.Sys.State("runs/loud", f)); err == nil {
			kept += fi.Size()
		}
	}
	if kept > 1200<<10 {
		t.Errorf("%d bytes are kept", kept)
	}
	last := m.LastLines("loud", 1)
	if len(last) != 1 || !strings.HasPrefix(last[0], fmt.Sprintf("line %08d", lines)) {
		t.Errorf("the last line is %q", last)
	}
	// A follower that is slower than two rotations misses the lines in between, never the last ones.
	if n < 10_000 {
		t.Errorf("only %d lines were followed", n)
	}
}

func TestARunThatLeavesNoResultIsLost(t *testing.T) {
	h := hosttest.New(t)
	h.System.Fail("systemd-run", sys.Output{})
	m := &detach.Manager{Sys: h.Sys, Helper: "/helper"}
	if err := m.Start(t.Context(), "op", &api.Command{Name: "lost", Key: "k", Argv: []string{"/bin/true"}}); err != nil {
		t.Fatal(err)
	}
	_, err := m.Follow(context.Background(), "lost", func(string) {})
	var lost *detach.LostError
	if !errors.As(err, &lost) {
		t.Fatalf("got %v", err)
	}
}

func TestNoSecretStandsInTheArgumentsOrTheRequest(t *testing.T) {
	h := hosttest.New(t)
	c := &api.Command{Name: "quiet", Key: "k", Argv: []string{"/bin/true"}, Files: []api.CommandFile{{Path: "f", Content: []byte("hunter2hunter2"), Secret: true}}}
	run(t, h, c, func(string) {})
	for _, call := range h.System.Calls("") {
		if strings.Contains(call, "hunter2") {
			t.Errorf("in the arguments: %s", call)
		}
	}
	if strings.Contains(h.Read("/var/lib/kubewright/runs/quiet/request.json"), "hunter2") {
		t.Error("in the request")
	}
}

func TestAFailedStartLeavesNoInputFiles(t *testing.T) {
	h := hosttest.New(t)
	h.System.Fail("systemd-run", sys.Output{ExitCode: 1, Stderr: "no\n"})
	m := &detach.Manager{Sys: h.Sys, Helper: "/helper"}
	c := &api.Command{Name: "x", Key: "k", Argv: []string{"/bin/true"}, Files: []api.CommandFile{{Path: "f", Content: []byte("secret"), Secret: true}}}
	if err := m.Start(t.Context(), "op", c); err == nil {
		t.Fatal("it started")
	}
	if sys.Exists(h.Path("/run/kubewright/x")) {
		t.Error("the input files are still there")
	}
}
