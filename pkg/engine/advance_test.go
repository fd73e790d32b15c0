package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnEventSaysWhetherTheRunCameFurther(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Step)
		want   string // the states, with ! where the run came further
	}{
		{"what is found as wanted", func(s *Step) {
			s.Check = func(context.Context, string) (Verdict, error) { return Verdict{State: Done}, nil }
		}, "Running! Done!"},
		{"what is applied", nil, "Running! Running! Running! Running! Changed!"},
		{"silence is none, however often it is tried", func(s *Step) {
			s.Apply = func(ctx context.Context, _ string, _ func(string)) error { return pause(ctx, time.Hour) }
		}, "Running! Running! Retrying Running Retrying Running Failed!"},
		{"nor is the same again", func(s *Step) {
			s.Apply = func(ctx context.Context, _ string, report func(string)) error {
				report("begun")
				return pause(ctx, time.Hour)
			}
		}, "Running! Running! Running! Retrying Running Running Retrying Running Running Failed!"},
		{"content that comes is, in every try", func(s *Step) {
			s.Stall = time.Minute
			s.Apply = func(ctx context.Context, _ string, report func(string)) error {
				report("12 of 900 MiB")
				return pause(ctx, time.Hour)
			}
		}, "Running! Running! Running! Retrying Running Running! Retrying Running Running! Failed!"},
		{"and a try that comes further is like the first", func(s *Step) {
			tries := 0
			s.Apply = func(ctx context.Context, _ string, _ func(string)) error {
				if tries++; tries == 2 {
					return Advanced(Retryable(errors.New("cut off")))
				}
				return pause(ctx, time.Hour)
			}
			s.Retry.Attempts = 2
		}, "Running! Running! Retrying Running Retrying Running! Failed!"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				step := newWorld().step("one", []string{"a"}, func(s *Step) {
					s.Timeout, s.Retry.Attempts, s.Mutates = 10*time.Minute, 3, true
					if tt.change == nil {
						apply := s.Apply
						s.Apply = func(ctx context.Context, host string, report func(string)) error {
							report("half of it")
							return apply(ctx, host, report)
						}
						return
					}
					tt.change(s)
				})
				ev := &events{}
				if result, _ := Run(t.Context(), Graph{Steps: []Step{step}}, Options{Sink: ev}); result == nil { //nolint:errcheck // the events say how it ended
					t.Fatal("nothing was run")
				}
				var seen []string
				for _, e := range ev.of("one", "a") {
					text := string(e.State)
					if e.Advances {
						text += "!"
					}
					seen = append(seen, text)
				}
				if got := strings.Join(seen, " "); got != tt.want {
					t.Errorf("events %s\nwant   %s", got, tt.want)
				}
			})
		})
	}
}
