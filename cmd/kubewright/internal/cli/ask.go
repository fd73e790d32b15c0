package cli

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
)

// ask stores what the user wants. When an operation for it is under way, that one goes on; otherwise a new one is asked for, also
// when the last one reached its goal: the user wants to see that it still holds.
func (o *upOptions) ask(ctx context.Context, s *session.Session, w *wanted) (follow.Goal, *follow.Snapshot, error) {
	key := client.ObjectKeyFromObject(w.Cluster)
	if err := w.applyAll(ctx, s); err != nil {
		return follow.Goal{}, nil, err
	}
	before, err := follow.Take(ctx, s.Client, key)
	if err != nil {
		return follow.Goal{}, nil, err
	}
	if before.Cluster != nil && !before.Cluster.DeletionTimestamp.IsZero() {
		return follow.Goal{}, nil, failed(fmt.Errorf("the Cluster %s is being deleted", key), fmt.Sprintf("let `kubewright delete %s` end first", key.Name))
	}
	if err := w.apply(ctx, s, w.AsWritten(w.Cluster), false); err != nil {
		return follow.Goal{}, nil, err
	}
	goal := follow.NewGoal(before, time.Now())
	if before.Cluster != nil && len(goal.Before) == len(before.Operations) {
		if err := askAgain(ctx, s.Client, key); err != nil {
			return follow.Goal{}, nil, err
		}
	}
	return goal, before, nil
}

// askAgain gives the retry annotation a new value.
func askAgain(ctx context.Context, c client.Client, key client.ObjectKey) error {
	cluster := &v1alpha1.Cluster{}
	if err := c.Get(ctx, key, cluster); err != nil {
		return fmt.Errorf("read Cluster %s: %w", key, err)
	}
	change := client.MergeFrom(cluster.DeepCopy())
	if cluster.Annotations == nil {
		cluster.Annotations = map[string]string{}
	}
	cluster.Annotations[v1alpha1.RetryAnnotation] = time.Now().UTC().Format(time.RFC3339Nano)
	if err := c.Patch(ctx, cluster, change); err != nil {
		return fmt.Errorf("ask for a new operation upon Cluster %s: %w", key, err)
	}
	return nil
}
