package progress

import (
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

const (
	// slowestShown is how many of the slowest steps a summary names.
	slowestShown = 5
	// changedShown is how many of the steps that changed something it names.
	changedShown = 8
)

// HostCost is what an operation cost on one host.
type HostCost struct {
	Name string
	// Connections opened and Requests sent.
	Connections, Requests int64
}

// LeftHost is a host that is not part of the cluster any more.
type LeftHost struct {
	Name string
	// Quarantined says why no cluster takes it; empty when it is clean.
	Quarantined string
}

// Summary is the end of an operation, or a chain of them, that reached its goal.
type Summary struct {
	// Before is the Cluster as it was; nil when it is new.
	Before, Cluster *v1alpha1.Cluster
	// Operations that brought it about, oldest first.
	Operations []v1alpha1.ClusterOperation
	// Left lists the hosts that left.
	Left []LeftHost
	// Costs per host of the last operation; empty when another process ran it.
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
	fmt.Fprintf(&b, "\nCluster %s/%s is ready: %d of %d nodes at %s, after %s.\n", s.Cluster.Namespace, s.Cluster.Name,
		status.Nodes.Ready, status.Nodes.Desired, orDash(status.Version), Duration(s.Took))
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "  Endpoint\t%s\n", orDash(status.Endpoint))
	fmt.Fprintf(t, "  etcd\t%s\n", plural(int(status.EtcdMembers), "member"))
	s.differences(t)
	for i := range s.Operations {
		o := &s.Operations[i]
		fmt.Fprintf(t, "  Operation\t%s, attempt %d\n  \t%s\n", o.Name, o.Status.Attempt, StepCounts(o))
	}
	if len(s.Operations) > 0 {
		s.last(t, &s.Operations[len(s.Operations)-1])
	}
	if s.Kubeconfig != "" {
		fmt.Fprintf(t, "  Kubeconfig\t%s\n", s.Kubeconfig)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString(FoldTable(table.String()))
	if s.Kubeconfig != "" {
		fmt.Fprintf(&b, "\nNext: kubectl --kubeconfig %s get nodes\n", s.Kubeconfig)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// differences tells what is otherwise than before, of a cluster that was there.
func (s Summary) differences(t io.Writer) {
	if s.Before == nil || s.Before.Status.InstalledGeneration == 0 {
		return
	}
	before, after := s.Before.Status, s.Cluster.Status
	for _, d := range []struct{ what, was, is string }{
		{"Version", before.Version, after.Version},
		{"Nodes", strconv.Itoa(int(before.Nodes.Joined)), strconv.Itoa(int(after.Nodes.Joined))},
		{"etcd members", strconv.Itoa(int(before.EtcdMembers)), strconv.Itoa(int(after.EtcdMembers))},
	} {
		if d.was != d.is {
			fmt.Fprintf(t, "  %s\t%s -> %s\n", d.what, orDash(d.was), orDash(d.is))
		}
	}
	for _, host := range s.Left {
		how := "cleaned and free"
		if host.Quarantined != "" {
			how = "quarantined: " + host.Quarantined
		}
		fmt.Fprintf(t, "  Left\t%s: %s\n", Clean(host.Name), Clean(how))
	}
	if changed := changedSteps(s.Operations); changed != "" {
		fmt.Fprintf(t, "  Changed\t%s\n", changed)
	}
}

// last tells what the last operation cost.
func (s Summary) last(t io.Writer, operation *v1alpha1.ClusterOperation) {
	if slow := slowest(operation.Status.Steps); slow != "" {
		fmt.Fprintf(t, "  Slowest steps\t%s\n", slow)
	}
	if traffic := operation.Status.Traffic; traffic != nil {
		fmt.Fprintf(t, "  Traffic\t%s\n  Content\t%s\n", Traffic(traffic), Content(traffic))
	}
	if len(s.Costs) > 0 {
		parts := make([]string, 0, len(s.Costs))
		for _, c := range s.Costs {
			parts = append(parts, fmt.Sprintf("%s %d/%d", c.Name, c.Connections, c.Requests))
		}
		fmt.Fprintf(t, "  Connections/requests\t%s\n", strings.Join(parts, ", "))
	}
}

// Traffic says what an operation cost in connections and requests.
func Traffic(t *v1alpha1.OperationTraffic) string {
	return fmt.Sprintf("%d connections, %d requests, at most %d to one host", t.Connections, t.Requests, t.MaxRequestsPerHost)
}

// Content says how much content an operation moved.
func Content(t *v1alpha1.OperationTraffic) string {
	return fmt.Sprintf("%s of content, %s of it over SSH", Bytes(t.ContentBytes), Bytes(t.ContentBytesOverSSH))
}

// changedSteps names the steps that changed something and on how many hosts, those of the most hosts first.
func changedSteps(operations []v1alpha1.ClusterOperation) string {
	hosts := map[string]int32{}
	var order []string
	for i := range operations {
		for _, step := range operations[i].Status.Steps {
			if step.Changed == 0 {
				continue
			}
			if _, known := hosts[step.ID]; !known {
				order = append(order, step.ID)
			}
			hosts[step.ID] = max(hosts[step.ID], step.Changed)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return hosts[order[i]] > hosts[order[j]] })
	parts := make([]string, 0, changedShown+1)
	for _, id := range order[:min(changedShown, len(order))] {
		parts = append(parts, fmt.Sprintf("%s on %s", id, plural(int(hosts[id]), "host")))
	}
	if more := len(order) - changedShown; more > 0 {
		parts = append(parts, "and "+plural(more, "more step"))
	}
	return strings.Join(parts, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// OnlyLooked says whether an operation has found out what would be done and done nothing of it: its steps count what would change.
func OnlyLooked(o *v1alpha1.ClusterOperation) bool {
	return o.Spec.Mode == v1alpha1.PlanMode || o.Spec.Type == v1alpha1.CheckOperation || o.Status.StartedAt == nil
}

// StepCounts sums up an operation's steps in words: "12 steps, 3 changed something".
func StepCounts(o *v1alpha1.ClusterOperation) string {
	changed, failed := 0, 0
	for _, step := range o.Status.Steps {
		switch step.State {
		case v1alpha1.StepChanged:
			changed++
		case v1alpha1.StepFailed, v1alpha1.StepBlocked:
			failed++
		}
	}
	text := plural(len(o.Status.Steps), "step")
	switch {
	case failed > 0:
		text += fmt.Sprintf(", %d failed or blocked", failed)
	case changed == 0:
		text += ", nothing had to be changed"
	case OnlyLooked(o):
		text += fmt.Sprintf(", %d would change something", changed)
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
