package operation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

// Bounds of a ClusterOperation's status: counts as in the API, sizes in bytes such that a full status stays far below etcd's limit of
// 1.5 MiB (etcd --max-request-bytes).
const (
	maxProblems       = 50
	maxPlan           = 500
	maxProblemReason  = 128
	maxProblemMessage = 1024
	maxProblemOutput  = 2048
	// maxPlanWhy bounds the reasons of one planned change.
	maxPlanWhy = 16 << 10
	// maxPlanBytes and maxProblemsBytes bound all planned changes and all problems together, as they are stored: in JSON, where a quote takes
	// two bytes and others up to six.
	maxPlanBytes     = 512 << 10
	maxProblemsBytes = 256 << 10
)

// connectStep is the step a host is said to be in when it could not even be reached.
const connectStep = "connect"

func stepsOf(summaries []engine.StepSummary) []v1alpha1.OperationStep {
	out := make([]v1alpha1.OperationStep, 0, len(summaries))
	for _, summary := range summaries {
		step := v1alpha1.OperationStep{
			ID:      summary.ID,
			State:   apiState(summary.State()),
			Hosts:   int32(summary.Hosts),
			Done:    int32(summary.Done),
			Changed: int32(summary.Changed),
			Failed:  int32(summary.Failed + summary.Blocked),
		}
		if !summary.StartedAt.IsZero() {
			started := metav1.NewMicroTime(summary.StartedAt.Truncate(time.Microsecond))
			step.StartedAt = &started
			step.Duration = &v1alpha1.Duration{Duration: summary.Took.Truncate(time.Millisecond)}
		}
		out = append(out, step)
	}
	return out
}

// problemsOf keeps the first problems and counts the others.
func problemsOf(problems []engine.Problem) (kept []v1alpha1.HostProblem, leftOut int32) {
	room := maxProblemsBytes
	for i, problem := range problems {
		reason := problem.Reason
		if reason == "" {
			reason = engine.ReasonError
		}
		entry := v1alpha1.HostProblem{
			Host: problem.Host, Step: problem.Step, Reason: capi.Cut(reason, maxProblemReason),
			Message:  capi.Cut(problem.Message, maxProblemMessage),
			Output:   tail(problem.Output, maxProblemOutput),
			Attempts: int32(problem.Tries),
		}
		if problem.ExitCode != nil {
			code := int32(*problem.ExitCode)
			entry.ExitCode = &code
		}
		if room -= stored(entry); i == maxProblems || room < 0 {
			return kept, int32(len(problems) - i)
		}
		kept = append(kept, entry)
	}
	return kept, 0
}

// takePlan keeps what would be done, within bounds.
func takePlan(status *v1alpha1.ClusterOperationStatus, outcome *provision.Outcome) {
	status.Plan, status.PlanLeftOut = nil, 0
	status.PlanDigest = outcome.PlanDigest
	room := maxPlanBytes
	for i, change := range outcome.Plan {
		change.Why = cutLines(change.Why, maxPlanWhy)
		if room -= stored(change); i == maxPlan || room < 0 {
			status.PlanLeftOut = int32(len(outcome.Plan) - i)
			return
		}
		status.Plan = append(status.Plan, change)
	}
}

// stored is how many bytes something takes in the API server's store.
func stored(entry any) int {
	text, err := json.Marshal(entry)
	if err != nil {
		panic(fmt.Sprintf("texts and numbers cannot be encoded: %v", err))
	}
	return len(text) + len(",")
}

// cutLines keeps the first lines of a text, and says how many there are more.
func cutLines(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	kept := text[:max(strings.LastIndexByte(text[:limit], '\n'), 0)]
	return fmt.Sprintf("%s\n... and %d more lines", kept, strings.Count(strings.TrimRight(text[len(kept):], "\n"), "\n"))
}

// addUnreached names hosts that could not be reached and that no step has named.
func addUnreached(status *v1alpha1.ClusterOperationStatus, outcome *provision.Outcome) {
	named := map[string]bool{}
	for _, problem := range status.Problems {
		named[problem.Host] = true
	}
	for _, name := range slices.Sorted(maps.Keys(outcome.Hosts)) {
		err := outcome.Hosts[name].Err
		reason := HostReason(err)
		if reason == "" || named[name] {
			continue
		}
		if len(status.Problems) >= maxProblems {
			status.ProblemsLeftOut++
			continue
		}
		status.Problems = append(status.Problems, v1alpha1.HostProblem{
			Host: name, Step: connectStep, Reason: reason, Message: capi.Cut(err.Error()+advice(reason), maxProblemMessage),
		})
	}
}

// tail keeps the end of a text, from a line's begin where there is one.
func tail(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	for i := range len(text) - 1 {
		if text[i] == '\n' {
			return text[i+1:]
		}
	}
	for len(text) > 0 && text[0]&0xC0 == 0x80 {
		text = text[1:]
	}
	return text
}
