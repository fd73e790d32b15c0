package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/follow"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/input"
	"github.com/kubewright/kubewright/cmd/kubewright/internal/session"
	"github.com/kubewright/kubewright/pkg/progress"
)

func newStatus() *cobra.Command {
	var dir, namespace, output string
	cmd := &cobra.Command{
		Use:   "status [CLUSTER]",
		Short: "Show a cluster, its last operation with all steps, and its hosts",
		Long: `Status shows what is known of a cluster: its conditions, the last operation with every step and how long it took, its hosts,
and what went wrong. It reaches no host. Without a name it takes the only cluster there is.`,
		Example: `  kubewright status
  kubewright status demo -o json`,
		Args: atMostOne("CLUSTER"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			path, err := stateDir(dir)
			if err != nil {
				return badInput(err, "")
			}
			s, err := session.StartOrAttach(cmd.Context(), path, "status", nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			cluster, err := findCluster(cmd.Context(), s.Client, namespace, args)
			if err != nil {
				return err
			}
			snapshot, err := follow.Take(cmd.Context(), s.Client, client.ObjectKeyFromObject(cluster))
			if err != nil {
				return err
			}
			if output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), statusOf(snapshot))
			}
			return writeStatus(cmd.OutOrStdout(), snapshot, time.Now())
		},
	}
	stateDirFlag(cmd, &dir)
	namespaceFlag(cmd, &namespace)
	outputFlag(cmd, &output)
	return cmd
}

// statusJSON is what is known of a cluster, for programs: the objects as the API has them, without what is only the API server's.
type statusJSON struct {
	Cluster *v1alpha1.Cluster `json:"cluster"`
	// OfflineManifest that the Cluster names; absent when it does not exist.
	OfflineManifest *v1alpha1.OfflineManifest `json:"offlineManifest,omitempty"`
	// Hosts of the spec, and those that are still the cluster's.
	Hosts []*v1alpha1.Host `json:"hosts"`
	// Operation is the last one; absent when there was none.
	Operation *v1alpha1.ClusterOperation `json:"operation,omitempty"`
}

func statusOf(s *follow.Snapshot) statusJSON {
	out := statusJSON{Cluster: s.Cluster, OfflineManifest: s.Manifest, Hosts: []*v1alpha1.Host{}, Operation: lastOperation(s)}
	for _, name := range slices.Sorted(maps.Keys(s.Hosts)) {
		host := s.Hosts[name]
		named := slices.ContainsFunc(input.HostsOf(s.Cluster), func(h input.NamedHost) bool { return h.Name == name })
		if claim := host.Status.Claim; named || claim != nil && claim.ClusterUID == string(s.Cluster.UID) {
			host.ManagedFields = nil
			out.Hosts = append(out.Hosts, host)
		}
	}
	out.Cluster.ManagedFields = nil
	if out.OfflineManifest != nil {
		out.OfflineManifest.ManagedFields = nil
	}
	if out.Operation != nil {
		out.Operation.ManagedFields = nil
	}
	return out
}

func writeStatus(w io.Writer, s *follow.Snapshot, now time.Time) error {
	var b strings.Builder
	c := s.Cluster
	t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "Cluster\t%s/%s\n", c.Namespace, c.Name)
	fmt.Fprintf(t, "Version\t%s (wanted %s)\n", dash(c.Status.Version), c.Spec.Version)
	fmt.Fprintf(t, "Endpoint\t%s\n", dash(c.Status.Endpoint))
	fmt.Fprintf(t, "Nodes\t%d wanted, %d joined, %d ready; %d etcd members\n", c.Status.Nodes.Desired, c.Status.Nodes.Joined, c.Status.Nodes.Ready, c.Status.EtcdMembers)
	if m := s.Manifest; m != nil {
		fmt.Fprintf(t, "Bundle\t%s (%s)\n", m.Spec.Source, m.Spec.Digest)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\nConditions\n")
	writeConditions(&b, c.Status.Conditions, now)
	b.WriteString("\nHosts\n")
	writeHosts(&b, s)
	if operation := lastOperation(s); operation != nil {
		if err := writeOperation(&b, operation); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeConditions writes one line for each condition, and what it says below it.
func writeConditions(b *strings.Builder, conditions []metav1.Condition, now time.Time) {
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	for _, c := range conditions {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", c.Type, c.Status, c.Reason, progress.Duration(now.Sub(c.LastTransitionTime.Time))+" ago")
	}
	_ = t.Flush() // a strings.Builder does not fail
	i := 0
	for row := range strings.Lines(table.String()) {
		b.WriteString(strings.TrimRight(row, " \n") + "\n")
		if message := conditions[i].Message; message != "" {
			b.WriteString(progress.Paragraph(message, "      ") + "\n")
		}
		i++
	}
}

// writeHosts writes one line for each host, and what it says below it.
func writeHosts(b *strings.Builder, s *follow.Snapshot) {
	var table strings.Builder
	var messages []string
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	for _, named := range input.HostsOf(s.Cluster) {
		host := s.Hosts[named.Name]
		if host == nil {
			fmt.Fprintf(t, "  %s\t%s\tthere is no such Host\n", named.Name, named.Role)
			messages = append(messages, "")
			continue
		}
		reachable := "not tried"
		for _, c := range host.Status.Conditions {
			if c.Type == v1alpha1.HostReachableCondition && c.Reason != "" {
				reachable = c.Reason
			}
		}
		step, message := "-", ""
		if at := host.Status.Step; at != nil {
			step, message = fmt.Sprintf("%s %s", at.Step, at.State), at.Message
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", named.Name, named.Role, host.Spec.Address, reachable, step)
		messages = append(messages, message)
	}
	_ = t.Flush() // a strings.Builder does not fail
	i := 0
	for row := range strings.Lines(table.String()) {
		b.WriteString(strings.TrimRight(row, " \n") + "\n")
		if messages[i] != "" {
			b.WriteString(progress.Paragraph(messages[i], "      ") + "\n")
		}
		i++
	}
}

// lastOperation is the one under way, else the newest.
func lastOperation(s *follow.Snapshot) *v1alpha1.ClusterOperation {
	for i := range s.Operations {
		if s.Operations[i].Status.Phase == v1alpha1.OperationRunning {
			return &s.Operations[i]
		}
	}
	if n := len(s.Operations); n > 0 {
		return &s.Operations[n-1]
	}
	return nil
}

func writeOperation(b *strings.Builder, o *v1alpha1.ClusterOperation) error {
	fmt.Fprintf(b, "\nOperation %s: %s, %s, attempt %d", o.Name, o.Spec.Type, o.Status.Phase, o.Status.Attempt)
	if o.Status.Phase.Ended() {
		b.WriteString(": " + progress.StepCounts(o))
	}
	b.WriteString("\n")
	t := tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	changed := "CHANGED"
	if progress.OnlyLooked(o) {
		changed = "WOULD CHANGE"
	}
	fmt.Fprintf(t, "  STEP\tSTATE\tHOSTS\t%s\tFAILED\tTOOK\n", changed)
	for _, step := range o.Status.Steps {
		took := "-"
		if step.Duration != nil {
			took = progress.Duration(step.Duration.Duration)
		}
		state := string(step.State)
		if step.State == v1alpha1.StepChanged && progress.OnlyLooked(o) {
			state = "Planned"
		}
		fmt.Fprintf(t, "  %s\t%s\t%d\t%d\t%d\t%s\n", step.ID, state, step.Hosts, step.Changed, step.Failed, took)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if tr := o.Status.Traffic; tr != nil {
		fmt.Fprintf(b, "  %s\n  %s\n", progress.Traffic(tr), progress.Content(tr))
	}
	if len(o.Status.Problems) > 0 {
		b.WriteString("\nProblems\n")
		return progress.Problems(b, o.Status)
	}
	return nil
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
