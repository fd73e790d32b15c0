package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/progress"
)

// clusterJSON is one cluster of an overview, for programs. Fields are only ever added.
type clusterJSON struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Version it has, and the one that is wanted.
	Version string `json:"version,omitempty"`
	Wanted  string `json:"wanted"`
	Ready   bool   `json:"ready"`
	// Reason and Message say why it is not, or what it is waiting for.
	Reason   string              `json:"reason,omitempty"`
	Message  string              `json:"message,omitempty"`
	Nodes    v1alpha1.NodeCounts `json:"nodes"`
	Endpoint string              `json:"endpoint,omitempty"`
}

func newList() *cobra.Command {
	var dir, namespace, output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show all clusters of the state directory",
		Long: `List shows every cluster that the state directory holds, one in a line: version, nodes, and how it is. It reaches no host. Any number
of clusters can be kept in one state directory: give each a name of its own, and its Hosts.`,
		Example: `  kubewright list
  kubewright list -o json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			path, err := stateDir(dir)
			if err != nil {
				return badInput(err, "")
			}
			s, err := session.StartOrAttach(cmd.Context(), path, "list", nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			var list v1alpha1.ClusterList
			if err := s.Client.List(cmd.Context(), &list, client.InNamespace(namespace)); err != nil {
				return fmt.Errorf("list clusters: %w", err)
			}
			clusters := make([]clusterJSON, 0, len(list.Items))
			for i := range list.Items {
				clusters = append(clusters, overviewOf(&list.Items[i]))
			}
			if output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"clusters": clusters})
			}
			return writeClusters(cmd.OutOrStdout(), clusters)
		},
	}
	stateDirFlag(cmd, &dir)
	namespaceFlag(cmd, &namespace)
	outputFlag(cmd, &output)
	return cmd
}

func overviewOf(c *v1alpha1.Cluster) clusterJSON {
	out := clusterJSON{
		Namespace: c.Namespace, Name: c.Name, Version: c.Status.Version, Wanted: c.Spec.Version, Nodes: c.Status.Nodes, Endpoint: c.Status.Endpoint,
	}
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		out.Ready = ready.Status == metav1.ConditionTrue
		out.Reason, out.Message = ready.Reason, ready.Message
	}
	return out
}

func writeClusters(w io.Writer, clusters []clusterJSON) error {
	if len(clusters) == 0 {
		_, err := fmt.Fprintln(w, "There is no cluster in this state directory. Bring one up with `kubewright up`.")
		return err
	}
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "CLUSTER\tVERSION\tNODES\tREADY")
	for _, c := range clusters {
		version, ready := dash(c.Version), "yes"
		if c.Version != c.Wanted && c.Version != "" {
			version += " -> " + c.Wanted
		}
		if !c.Ready {
			ready = "no: " + dash(c.Reason)
		}
		fmt.Fprintf(t, "%s/%s\t%s\t%d of %d\t%s\n", c.Namespace, c.Name, version, c.Nodes.Ready, c.Nodes.Desired, ready)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	i := -1
	for row := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(progress.Clean(row), " ")); err != nil {
			return err
		}
		if i >= 0 && !clusters[i].Ready && clusters[i].Message != "" {
			if _, err := fmt.Fprintln(w, progress.Paragraph(clusters[i].Message, "    ")); err != nil {
				return err
			}
		}
		i++
	}
	return nil
}
