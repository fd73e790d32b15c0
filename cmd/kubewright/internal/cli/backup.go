package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
)

func newBackup(env Environment) *cobra.Command {
	o := &actOptions{}
	cmd := &cobra.Command{
		Use:   "backup [CLUSTER]",
		Short: "Take a verified, encrypted snapshot of a cluster's etcd",
		Long: `Backup has a control plane take a snapshot of etcd, with what is needed to use it, checks it, and keeps it there encrypted for the
key in the Secret <cluster>-backup. Only who has that Secret can read it: keep a copy. Without a name it takes the only cluster there is.`,
		Example: `  kubewright backup
  kubewright backup demo --plain`,
		Args: atMostOne("CLUSTER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.within(cmd.Context(), env, "backup", func(a *act) error { return a.backup(cmd.Context(), args) })
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *act) backup(ctx context.Context, args []string) error {
	cluster, err := findCluster(ctx, a.session.Client, a.namespace, args)
	if err != nil {
		return err
	}
	before, err := follow.Take(ctx, a.session.Client, client.ObjectKeyFromObject(cluster))
	if err != nil {
		return err
	}
	operation := &v1alpha1.ClusterOperation{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cluster.Namespace, Name: fmt.Sprintf("%s-backup-%s", cluster.Name, strings.ToLower(a.began.UTC().Format("20060102T150405"))),
			Labels: map[string]string{v1alpha1.ClusterNameLabel: cluster.Name},
		},
		Spec: v1alpha1.ClusterOperationSpec{
			ClusterRef: v1alpha1.LocalReference{Name: cluster.Name}, Type: v1alpha1.BackupEtcdOperation,
		},
	}
	if err := a.session.Client.Create(ctx, operation); err != nil {
		return fmt.Errorf("create operation %s: %w", operation.Name, err)
	}
	goal := follow.NewGoal(before, a.began)
	goal.Operation = operation.Name
	return a.followOperation(ctx, before, goal)
}
