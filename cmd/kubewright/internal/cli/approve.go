package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
)

func newApprove(env Environment) *cobra.Command {
	o := &actOptions{}
	var yes, all bool
	cmd := &cobra.Command{
		Use:   "approve [OPERATION]",
		Short: "Let an operation do what its plan shows",
		Long: `Approve shows what an operation would do on which host, and why, and lets it do exactly that once you agree. When something has
changed since the plan was made, nothing is done, and the new plan waits for approval. Without a name it takes the only operation that
waits; the name of its cluster does as well.`,
		Example: `  kubewright approve
  kubewright approve demo-upgrade-g2-1 --yes`,
		Args: atMostOne("OPERATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.within(cmd.Context(), env, "approve", func(a *act) error { return a.approve(cmd.Context(), args, yes, all) })
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "approve without asking")
	cmd.Flags().BoolVarP(&all, "verbose", "v", false, "list also what is only counted otherwise")
	return cmd
}

func (a *act) approve(ctx context.Context, args []string, yes, all bool) error {
	operation, before, err := a.find(ctx, args, "waits for approval", func(o *v1alpha1.ClusterOperation) bool {
		return o.Status.Phase == v1alpha1.OperationAwaitingApproval
	})
	if err != nil {
		return err
	}
	if err := writePlan(a.env.Out, before, operation, all); err != nil {
		return err
	}
	if !yes {
		if err := confirm(ctx, a.env, "Do this?", "add --yes"); err != nil {
			return err
		}
	}
	a.began = time.Now()
	me := &authenticationv1.SelfSubjectReview{}
	if err := a.session.Client.Create(ctx, me); err != nil {
		return fmt.Errorf("ask the API server who approves: %w", err)
	}
	if err := a.annotate(ctx, operation, map[string]string{
		v1alpha1.ApproveAnnotation: operation.Status.PlanDigest, v1alpha1.ApprovedByAnnotation: me.Status.UserInfo.Username,
	}); err != nil {
		return err
	}
	goal := follow.NewGoal(before, a.began)
	if operation.Spec.Type.BringsAbout() && metav1.IsControlledBy(operation, before.Cluster) {
		return a.followToReady(ctx, before, goal)
	}
	goal.Operation = operation.Name
	return a.followOperation(ctx, before, goal)
}
