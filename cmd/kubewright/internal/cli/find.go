package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func namespaceFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "namespace", "n", "", "namespace of the cluster (default any)")
}

// findCluster finds the cluster that the arguments name, or the only one there is.
func findCluster(ctx context.Context, c client.Client, namespace string, args []string) (*v1alpha1.Cluster, error) {
	var list v1alpha1.ClusterList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var found []*v1alpha1.Cluster
	var names []string
	for i := range list.Items {
		cluster := &list.Items[i]
		names = append(names, cluster.Namespace+"/"+cluster.Name)
		if len(args) == 0 || args[0] == cluster.Name || args[0] == cluster.Namespace+"/"+cluster.Name {
			found = append(found, cluster)
		}
	}
	known := "there is none yet"
	if len(names) > 0 {
		known = "there are " + strings.Join(names, ", ")
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, badInput(fmt.Errorf("several clusters could be meant: %s", known), "name one, as CLUSTER or NAMESPACE/CLUSTER")
	case len(args) == 0:
		return nil, badInput(fmt.Errorf("there is no cluster in this state directory"), "bring one up with `kubewright up`")
	}
	return nil, badInput(fmt.Errorf("there is no cluster %s; %s", args[0], known), "")
}
