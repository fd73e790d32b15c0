package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
	"github.com/kubewright/kubewright/pkg/capi"
)

// maxNamedHosts is how many hosts a message about differences names; the operation's plan has the others.
const maxNamedHosts = 3

// takeDrift tells in the condition InSync what is known about differences between the spec and the hosts.
func takeDrift(_ context.Context, s *scope) (phase.Next, error) {
	found := judgeDrift(s.cluster, s.operations)
	if found == nil {
		return phase.Continue(), nil
	}
	before := capi.Condition(s.cluster, v1alpha1.InSyncCondition)
	capi.SetCondition(s.cluster, v1alpha1.InSyncCondition, found.status, found.reason, found.message)
	if found.status == metav1.ConditionFalse && (before == nil || before.Status != metav1.ConditionFalse) {
		s.Events.Eventf(s.cluster, nil, "Warning", "Drifted", string(v1alpha1.CheckOperation), "%s", capi.Cut(found.message, maxNote))
	}
	return phase.Continue(), nil
}

// finding is what the condition InSync says.
type finding struct {
	status          metav1.ConditionStatus
	reason, message string
}

// judgeDrift works out what is known of differences; nil when nothing was learned since the condition was written.
func judgeDrift(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) *finding {
	if cluster.Spec.Drift.Mode == v1alpha1.IgnoreDrift {
		return &finding{metav1.ConditionUnknown, ReasonDriftIgnored, ""}
	}
	last := newest(cluster, operations, v1alpha1.OperationType.BringsAbout)
	brought := last != nil && last.Status.Phase == v1alpha1.OperationSucceeded && isLastHop(last)
	check := newestComparison(cluster, operations)
	switch {
	case check != nil && (last == nil || !outdated(check, last)):
		return fromCheck(check)
	case brought && last.Spec.ClusterGeneration == cluster.Generation:
		return &finding{metav1.ConditionTrue, ReasonObservedByOperation, ""}
	}
	return nil
}

// newestComparison is the last Check that came to a result for the present spec; nil when there is none.
func newestComparison(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) *v1alpha1.ClusterOperation {
	var found *v1alpha1.ClusterOperation
	for i := range operations {
		o := &operations[i]
		if !isCheck(cluster, o) || o.Spec.ClusterGeneration != cluster.Generation ||
			o.Status.Phase != v1alpha1.OperationSucceeded && o.Status.Phase != v1alpha1.OperationFailed {
			continue
		}
		if found == nil || later(o, found) {
			found = o
		}
	}
	return found
}

// outdated says whether an operation has changed what a Check found. Times are kept in seconds, so one that was created for the Check
// says so itself.
func outdated(check, by *v1alpha1.ClusterOperation) bool {
	return by.Status.Phase.Ended() && (by.Annotations[correctsAnnotation] == check.Name || check.Status.CompletedAt.Before(by.Status.CompletedAt))
}

// fromCheck is what a Check found out.
func fromCheck(check *v1alpha1.ClusterOperation) *finding {
	switch {
	case check.Status.Phase == v1alpha1.OperationFailed:
		return &finding{metav1.ConditionUnknown, ReasonNotCompared, "the hosts could not be compared with the spec: " + failure(check)}
	case len(check.Status.Plan) > 0:
		return &finding{metav1.ConditionFalse, ReasonDrifted, differences(check.Status.Plan, int(check.Status.PlanLeftOut)) + leftOutNote("; ", check)}
	case len(leftOut(check)) > 0:
		return &finding{metav1.ConditionUnknown, ReasonNotCompared, "the hosts that could be reached are as the spec says" + leftOutNote("; ", check)}
	}
	return &finding{metav1.ConditionTrue, ReasonCompared, ""}
}

// differences names hosts, the first step on each that would change something, and why.
func differences(plan []v1alpha1.PlannedChange, leftOut int) string {
	var named []string
	count := map[string]int{}
	for _, change := range plan {
		if count[change.Host]++; count[change.Host] > 1 || len(named) == maxNamedHosts {
			continue
		}
		why, _, _ := strings.Cut(strings.TrimSpace(change.Why), "\n")
		named = append(named, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", change.Host, change.Step, why), ": "))
	}
	if more := len(count) - len(named); more > 0 {
		named = append(named, fmt.Sprintf("and %d more hosts", more))
	}
	return fmt.Sprintf("%d differences on %d hosts: %s", len(plan)+leftOut, len(count), strings.Join(named, "; "))
}

// leftOut names the hosts that a Check which came to a result could not reach and so did not compare.
func leftOut(check *v1alpha1.ClusterOperation) []string {
	var hosts []string
	for _, problem := range check.Status.Problems {
		if check.Status.Phase == v1alpha1.OperationSucceeded && !slices.Contains(hosts, problem.Host) {
			hosts = append(hosts, problem.Host)
		}
	}
	return hosts
}

// leftOutNote names the first of them, and why, as the end of a sentence; empty when there are none.
func leftOutNote(before string, check *v1alpha1.ClusterOperation) string {
	hosts := leftOut(check)
	if len(hosts) == 0 {
		return ""
	}
	more := len(hosts) - min(maxNamedHosts, len(hosts)) + int(check.Status.ProblemsLeftOut)
	var named []string
	for _, host := range hosts[:min(maxNamedHosts, len(hosts))] {
		i := slices.IndexFunc(check.Status.Problems, func(p v1alpha1.HostProblem) bool { return p.Host == host })
		named = append(named, fmt.Sprintf("%s (%s)", host, check.Status.Problems[i].Reason))
	}
	if more > 0 {
		named = append(named, fmt.Sprintf("and %d more hosts", more))
	}
	return before + "not reached and not compared: " + strings.Join(named, ", ")
}
