package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAStepThatMovesContentMayTakeAsLongAsItGoesOn(t *testing.T) {
	const stall = 3 * time.Minute
	for _, tt := range []struct {
		name  string
		apply func(ctx context.Context, try int, report func(string)) error
		want  State
		tries int
		says  string
	}{
		{"an hour of progress is no reason to stop", func(ctx context.Context, _ int, report func(string)) error {
			for range 60 {
				report("so far")
				if err := pause(ctx, time.Minute); err != nil {
					return err
				}
			}
			return nil
		}, StateChanged, 1, ""},
		{"nothing for longer than it may stall ends a try", func(ctx context.Context, _ int, report func(string)) error {
			report("so far")
			return pause(ctx, time.Hour)
		}, StateFailed, 2, "cut off after 3m0s without progress"},
		{"silence from the start ends a try", func(ctx context.Context, _ int, _ func(string)) error { return pause(ctx, time.Hour) },
			StateFailed, 2, "cut off after 3m0s without progress"},
		{"a try that came further does not count", func(_ context.Context, try int, _ func(string)) error {
			if try < 50 {
				return Advanced(Retryable(errors.New("cut off")))
			}
			return nil
		}, StateChanged, 50, ""},
		{"tries that came no further count from the last that did", func(_ context.Context, try int, _ func(string)) error {
			if try <= 7 {
				return Advanced(Retryable(errors.New("cut off")))
			}
			return Retryable(errors.New("refused"))
		}, StateFailed, 8, "refused"},
		{"coming further does not make a permanent failure a passing one", func(context.Context, int, func(string)) error {
			return Advanced(Permanent(errors.New("the disk is full")))
		}, StateFailed, 1, "the disk is full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				tries := 0
				step := w.step("content", []string{"n1"}, func(s *Step) {
					done := s.Apply
					s.Stall, s.Timeout, s.Retry.Attempts = stall, time.Second, 2
					s.Apply = func(ctx context.Context, host string, report func(string)) error {
						tries++
						if err := tt.apply(ctx, tries, report); err != nil {
							return err
						}
						return done(ctx, host, report)
					}
				})
				result, err := Run(t.Context(), Graph{Steps: []Step{step}}, Options{})
				if got := states(result)["content@n1"]; got != tt.want || tries != tt.tries {
					t.Errorf("it ended as %s after %d tries, want %s after %d: %v", got, tries, tt.want, tt.tries, err)
				}
				if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
					t.Errorf("%v does not say %q", err, tt.says)
				}
			})
		})
	}
}

// pause waits as long as its context lasts.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
