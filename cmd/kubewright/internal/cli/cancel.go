package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
)

func newCancel(env Environment) *cobra.Command {
	o := &actOptions{}
	cmd := &cobra.Command{
		Use:   "cancel [OPERATION]",
		Short: "Stop an operation at the next safe point",
		Long: `Cancel stops an operation: nothing new is begun, what is begun on a host is carried through until its node is back in service. One
that has not begun, or waits for approval, ends at once. Its cluster stays as it is until you run kubewright retry, which goes on from
there, or change its spec. Without a name it takes the only operation under way; the name of its cluster does as well.`,
		Example: `  kubewright cancel
  kubewright cancel demo-upgrade-g2-1`,
		Args: atMostOne("OPERATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.within(cmd.Context(), env, "cancel", func(a *act) error { return a.cancel(cmd.Context(), args) })
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *act) cancel(ctx context.Context, args []string) error {
	operation, before, err := a.find(ctx, args, "is under way", func(o *v1alpha1.ClusterOperation) bool { return !o.Status.Phase.Ended() })
	if err != nil {
		return err
	}
	if err := a.annotate(ctx, operation, map[string]string{v1alpha1.CancelAnnotation: a.began.UTC().Format(time.RFC3339)}); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.env.Out, "Operation %s is to stop at the next safe point.\n", operation.Name); err != nil {
		return err
	}
	goal := follow.NewGoal(before, a.began)
	goal.Operation, goal.End = operation.Name, true
	return a.followOperation(ctx, before, goal)
}
