package session

import (
	"context"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

// Tee is a Runner that lets somebody in this process watch the operations another Runner carries out, closer than their statuses do.
type Tee struct {
	// Runner carries operations out.
	Runner provision.Runner
	// Watched says which operations are watched; nil for all.
	Watched func(v1alpha1.ClusterOperation) bool
	// Sink gets every event of them besides the controllers.
	Sink engine.Sink
	// Ended is called when one of them has ended, with its outcome.
	Ended func(request provision.Request, outcome *provision.Outcome)
}

// Run has the operation carried out.
func (t *Tee) Run(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
	if t.Watched != nil && !t.Watched(request.Operation) {
		return t.Runner.Run(ctx, request)
	}
	original := request
	request.Sink = engine.Multi(request.Sink, t.Sink)
	outcome, err := t.Runner.Run(ctx, request)
	if t.Ended != nil && outcome != nil {
		t.Ended(original, outcome)
	}
	return outcome, err
}
