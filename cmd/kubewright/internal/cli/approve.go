package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
)

func newApprove(env Environment) *cobra.Command {
	o := &actOptions{}
	var yes bool
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
			return o.within(cmd.Context(), env, "approve", func(a *act) error { return a.approve(cmd.Context(), args, yes) })
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "approve without asking")
	return cmd
}

func (a *act) approve(ctx context.Context, args []string, yes bool) error {
	operation, before, err := a.find(ctx, args, "waits for approval", func(o *v1alpha1.ClusterOperation) bool {
		return o.Status.Phase == v1alpha1.OperationAwaitingApproval
	})
	if err != nil {
		return err
	}
	if err := writePlan(a.env.Out, operation); err != nil {
		return err
	}
	if !yes {
		if err := confirm(a.env, "Do this?"); err != nil {
			return err
		}
	}
	a.began = time.Now()
	if err := a.annotate(ctx, operation, v1alpha1.ApproveAnnotation, operation.Status.PlanDigest); err != nil {
		return err
	}
	goal := follow.NewGoal(before, a.began)
	if operation.Spec.Type.BringsAbout() && metav1.IsControlledBy(operation, before.Cluster) {
		return a.followToReady(ctx, before, goal)
	}
	goal.Operation = operation.Name
	return a.followOperation(ctx, before, goal)
}

// errNotConfirmed ends a command that the user did not want after all.
var errNotConfirmed = errors.New("it was not confirmed")

// confirm asks on a terminal; elsewhere nobody could answer.
func confirm(env Environment, question string) error {
	in, ok := env.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return badInput(errNotConfirmed, "add --yes")
	}
	return askYesNo(in, env.Out, question)
}

// askYesNo waits for a line that says yes.
func askYesNo(in io.Reader, out io.Writer, question string) error {
	if _, err := fmt.Fprintf(out, "\n%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return badInput(errNotConfirmed, "")
}
