package operation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

const (
	// leastPatience is how long an operation may come no further before it is ended, so that others can have its slot.
	leastPatience = 15 * time.Minute
	// patienceMargin is how much longer than its longest step it may come no further: that step says itself what is wrong.
	patienceMargin = 3 * time.Minute
	// maxStuckHosts are named of those on which nothing moves, each with so many bytes of what it said last.
	maxStuckHosts   = 3
	maxStuckMessage = 200
)

// patience is how long an operation upon a cluster may come no further.
func patience(cluster *v1alpha1.Cluster) time.Duration {
	return max(leastPatience, provision.LongestSilence(cluster)+patienceMargin)
}

// stuckError says that an execution was ended because it came no further.
type stuckError struct {
	after time.Duration
	hosts []engine.HostState
}

// Error names what was in hand.
func (e *stuckError) Error() string {
	text := fmt.Sprintf("it came no further for %s and was ended, so that others can be carried out", e.after)
	for i, at := range e.hosts {
		if i == maxStuckHosts {
			text += fmt.Sprintf("; and on %d more hosts", len(e.hosts)-i)
			break
		}
		text += fmt.Sprintf("; step %s on host %s", at.Step, at.Host)
		if at.Message != "" {
			text += " said last: " + capi.Cut(strings.TrimSpace(at.Message), maxStuckMessage)
		}
	}
	if len(e.hosts) == 0 {
		text += "; no step was in hand on any host"
	}
	return text + "; see why nothing comes from there, then try again"
}

// Unwrap says that what was in hand was cut off, and is not to blame itself.
func (e *stuckError) Unwrap() error { return context.Canceled }

// giveUpIfStuck cuts the execution off when it came no further for longer than it may.
func (x *execution) giveUpIfStuck(now time.Time) {
	x.mu.Lock()
	silent := now.Sub(x.advanced)
	x.mu.Unlock()
	if silent < x.patience {
		return
	}
	stuck := &stuckError{after: x.patience}
	for _, at := range x.recorder.HostStates() {
		if at.State == engine.StateRunning || at.State == engine.StateRetrying {
			stuck.hosts = append(stuck.hosts, at)
		}
	}
	x.cancel(stuck)
}
