package cli

import (
	"context"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
)

func newRetry(env Environment) *cobra.Command {
	o := &actOptions{}
	cmd := &cobra.Command{
		Use:     "retry [CLUSTER]",
		Aliases: []string{"resume"},
		Short:   "Go on after an operation failed or was cancelled",
		Long: `Retry asks for another operation towards the spec of a cluster. It goes on where the hosts are: what is done is only checked. Without
a name it takes the only cluster there is.`,
		Example: `  kubewright retry
  kubewright retry demo --plain`,
		Args: atMostOne("CLUSTER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.within(cmd.Context(), env, "retry", func(a *act) error { return a.retry(cmd.Context(), args) })
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *act) retry(ctx context.Context, args []string) error {
	cluster, err := findCluster(ctx, a.session.Client, a.namespace, args)
	if err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(cluster)
	before, err := follow.Take(ctx, a.session.Client, key)
	if err != nil {
		return err
	}
	goal := follow.NewGoal(before, a.began)
	if err := askAgain(ctx, a.session.Client, key); err != nil {
		return err
	}
	return a.followToReady(ctx, before, goal)
}
