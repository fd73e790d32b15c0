package kubewright

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAwaitFollowsAProgram(t *testing.T) {
	i := &Installation{}
	for _, c := range []struct {
		name, script, pattern, found string
		early                        bool
	}{
		{name: "what is printed is found", script: "echo one; echo two 2; exec cat", pattern: `two \d`, found: "two 2"},
		{name: "what was printed at the very end is found", script: "echo last", pattern: "last", found: "last"},
		{name: "an end without it is told with what was printed", script: "echo other", pattern: "never", early: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), "sh", "-c", c.script)
			in, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = in.Close() }()
			r, err := i.Start(command)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Kill()
			got, err := r.Await(t.Context(), regexp.MustCompile(c.pattern))
			var early *EndedEarlyError
			if got != c.found || errors.As(err, &early) != c.early || c.early && !strings.Contains(err.Error(), "other") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestAwaitEndsWithItsContext(t *testing.T) {
	r, err := (&Installation{}).Start(exec.CommandContext(t.Context(), "sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Await(ctx, regexp.MustCompile("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOutlivesTellsWhetherAProgramStillRuns(t *testing.T) {
	for _, c := range []struct {
		name  string
		argv  []string
		wait  time.Duration
		lives bool
	}{
		{name: "one that goes on does", argv: []string{"sleep", "60"}, wait: time.Millisecond, lives: true},
		{name: "one that ends does not, and nobody waits any longer", argv: []string{"true"}, wait: time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := (&Installation{}).Start(exec.CommandContext(t.Context(), c.argv[0], c.argv[1:]...))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Kill()
			if got := r.Outlives(c.wait); got != c.lives {
				t.Errorf("outlives %s: %v", c.wait, got)
			}
		})
	}
}
