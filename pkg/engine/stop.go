package engine

import "errors"

// ErrStopped is why a run ended that was asked to stop at a safe point. See Options.Stop.
var ErrStopped = errors.New("stopped at a safe point on request")
