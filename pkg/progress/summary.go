package progress

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// slowestShown is how many of the slowest steps a summary names.
const slowestShown = 5

// HostCost is what an operation cost on one host.
type HostCost struct {
	Name string
	// Connections opened and Requests sent.
	Connections, Requests int64
}

// Summary is the end of an operation that reached its goal.
type Summary struct {
	Cluster   *v1alpha1.Cluster
	Operation *v1alpha1.ClusterOperation
	// Costs per host; empty when another process ran the operation.
	Costs []HostCost
	// Took is how long the user waited.
	Took time.Duration
	// Kubeconfig is where the way in was put; empty leaves it out.
	Kubeconfig string
}

// Render writes the summary.
func (s Summary) Render(w io.Writer) error {
	var b strings.Builder
	status := s.Cluster.Status
	fmt.Fprintf(&b, "\nCluster %s/%s is ready: %d of %d nodes at %s, %s, after %s.\n", s.Cluster.Namespace, s.Cluster.Name,
		status.Nodes.Ready, status.Nodes.Desired, orDash(status.Version), plural(int(status.EtcdMembers), "etcd member"), Duration(s.Took))
	t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "  Endpoint\t%s\n", orDash(status.Endpoint))
	if s.Operation != nil {
		fmt.Fprintf(t, "  Operation\t%s, attempt %d: %s\n", s.Operation.Name, s.Operation.Status.Attempt, StepCounts(s.Operation.Status.Steps))
		if slow := slowest(s.Operation.Status.Steps); slow != "" {
			fmt.Fprintf(t, "  Slowest steps\t%s\n", slow)
		}
		if traffic := s.Operation.Status.Traffic; traffic != nil {
			fmt.Fprintf(t, "  Traffic\t%d connections, %d requests (at most %d to one host), %s of content\n",
				traffic.Connections, traffic.Requests, traffic.MaxRequestsPerHost, Bytes(traffic.ContentBytes))
		}
	}
	if len(s.Costs) > 0 {
		parts := make([]string, 0, len(s.Costs))
		for _, c := range s.Costs {
			parts = append(parts, fmt.Sprintf("%s %d/%d", c.Name, c.Connections, c.Requests))
		}
		fmt.Fprintf(t, "  Connections/requests\t%s\n", strings.Join(parts, ", "))
	}
	if s.Kubeconfig != "" {
		fmt.Fprintf(t, "  Kubeconfig\t%s\n", s.Kubeconfig)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if s.Kubeconfig != "" {
		fmt.Fprintf(&b, "\nNext: kubectl --kubeconfig %s get nodes\n", s.Kubeconfig)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// StepCounts sums up steps in words: "12 steps, 3 changed something".
func StepCounts(steps []v1alpha1.OperationStep) string {
	changed, failed := 0, 0
	for _, step := range steps {
		switch step.State {
		case v1alpha1.StepChanged:
			changed++
		case v1alpha1.StepFailed, v1alpha1.StepBlocked:
			failed++
		}
	}
	text := plural(len(steps), "step")
	switch {
	case failed > 0:
		text += fmt.Sprintf(", %d failed or blocked", failed)
	case changed == 0:
		text += ", nothing had to be changed"
	default:
		text += fmt.Sprintf(", %d changed something", changed)
	}
	return text
}

func slowest(steps []v1alpha1.OperationStep) string {
	timed := make([]v1alpha1.OperationStep, 0, len(steps))
	for _, step := range steps {
		if step.Duration != nil && step.Duration.Duration > 0 {
			timed = append(timed, step)
		}
	}
	sort.SliceStable(timed, func(i, j int) bool { return timed[i].Duration.Duration > timed[j].Duration.Duration })
	parts := make([]string, 0, slowestShown)
	for _, step := range timed[:min(slowestShown, len(timed))] {
		parts = append(parts, step.ID+" "+Duration(step.Duration.Duration))
	}
	return strings.Join(parts, ", ")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return Clean(text)
}
