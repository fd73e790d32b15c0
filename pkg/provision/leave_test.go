package provision

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestALeaderThatDoesNotHandOnKeepsNobodyWaiting(t *testing.T) {
	for name, test := range map[string]struct {
		move func(context.Context) error
		took time.Duration
		says string
	}{
		"it hands on":               {move: func(context.Context) error { return nil }},
		"it refuses":                {move: func(context.Context) error { return errors.New("not leader") }, says: "could not be handed on: not leader"},
		"it has just fallen silent": {move: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, took: changeTimeout, says: "could not be handed on"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said []string
				began := time.Now()
				handOn(t.Context(), "n2", func(line string) { said = append(said, line) }, test.move)
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				complained := slices.ContainsFunc(said[1:], func(line string) bool { return strings.Contains(line, test.says) })
				if complained != (test.says != "") {
					t.Errorf("it said %q, want %q", said, test.says)
				}
			})
		})
	}
}
