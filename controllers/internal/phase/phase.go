// Package phase runs the ordered phases of a reconcile and puts their common verdict into the conditions Ready, Reconciling and
// Stalled. It must not know any kind.
package phase

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Next says how a reconcile goes on after a phase.
type Next struct {
	stop  bool
	after time.Duration
}

// Continue goes on to the next phase.
func Continue() Next { return Next{} }

// Stop leaves the later phases out; whatever this one waits for is watched and brings the object back.
func Stop() Next { return Next{stop: true} }

// Later goes on to the next phase, and looks at the object again after d at the latest.
func Later(d time.Duration) Next { return Next{after: d} }

// Last leaves the later phases out, and looks at the object again after d at the latest.
func Last(d time.Duration) Next { return Next{stop: true, after: d} }

// Phase is one step of a reconcile over a scope S that lives as long as the reconcile.
type Phase[S any] func(context.Context, S) (Next, error)

// Run runs phases in order until one stops or fails. A conflict is not a failure: somebody else wrote first, so the object is looked
// at again.
func Run[S any](ctx context.Context, scope S, phases ...Phase[S]) (reconcile.Result, error) {
	var result reconcile.Result
	for _, phase := range phases {
		next, err := phase(ctx, scope)
		if err != nil {
			return result, err
		}
		if next.after > 0 && (result.RequeueAfter == 0 || next.after < result.RequeueAfter) {
			result.RequeueAfter = next.after
		}
		if next.stop {
			return result, nil
		}
	}
	return result, nil
}

// conflictDelay is how long to wait for the cache to see what another writer wrote.
const conflictDelay = 100 * time.Millisecond

// Settle turns a conflict into an early second look, and leaves every other error to the work queue's backoff: also that something exists
// already, which may be somebody else's and then stays.
func Settle(result reconcile.Result, err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: conflictDelay}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	return result, nil
}
