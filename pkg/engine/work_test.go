package engine

import (
	"testing"
	"time"
)

func TestTheMoreHostsMayAskTheMoreRarelyEachDoes(t *testing.T) {
	for name, test := range map[string]struct {
		hosts int
		want  time.Duration
	}{
		"one that joins asks twice a second":  {1, 500 * time.Millisecond},
		"ten do so too":                       {10, 500 * time.Millisecond},
		"twenty ask once a second":            {20, time.Second},
		"hundreds ask every two seconds each": {400, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lastPoll(test.hosts); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
