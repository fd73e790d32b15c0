package operation

import (
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

func TestTheEndOfAnOutputIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		limit int
		want  string
	}{
		"a short one is kept as it is":           {"a\nb", 10, "a\nb"},
		"a long one begins at a line":            {"first line\nsecond\nthird", 14, "second\nthird"},
		"one long line is cut":                   {strings.Repeat("x", 20), 5, "xxxxx"},
		"a character is not cut in two":          {"äöü", 3, "ü"},
		"an output that is one line and its end": {strings.Repeat("x", 20) + "\n", 5, "xxxx\n"},
	} {
		t.Run(name, func(t *testing.T) {
			gomega.NewWithT(t).Expect(tail(test.text, test.limit)).To(gomega.Equal(test.want))
		})
	}
}

func TestAPlanInStatusIsBoundedAndSaysWhatItLeavesOut(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	for name, test := range map[string]struct {
		plan          []v1alpha1.PlannedChange
		kept, leftOut int
		ends          string
	}{
		"what there is room for is whole":                   {slices.Repeat([]v1alpha1.PlannedChange{{Step: "s", Host: "h", Why: "why"}}, 3), 3, 0, "why"},
		"many changes":                                      {slices.Repeat([]v1alpha1.PlannedChange{{Step: "s", Host: "h"}}, 510), 500, 10, ""},
		"long reasons":                                      {[]v1alpha1.PlannedChange{{Step: "s", Host: "h", Why: strings.Repeat(line, 200)}}, 1, 0, "... and 37 more lines"},
		"many changes with long reasons":                    {slices.Repeat([]v1alpha1.PlannedChange{{Step: "s", Host: "h", Why: strings.Repeat(line, 160)}}, 100), 32, 68, ""},
		"reasons that take more room where they are stored": {slices.Repeat([]v1alpha1.PlannedChange{{Step: "s", Host: "h", Why: strings.Repeat("<", 10_000)}}, 100), 8, 92, ""},
	} {
		t.Run(name, func(t *testing.T) {
			status := &v1alpha1.ClusterOperationStatus{}
			takePlan(status, &provision.Outcome{Plan: test.plan})
			g := gomega.NewWithT(t)
			g.Expect(status.Plan).To(gomega.HaveLen(test.kept))
			g.Expect(status.PlanLeftOut).To(gomega.BeEquivalentTo(test.leftOut))
			g.Expect(status.Plan[0].Why).To(gomega.HaveSuffix(test.ends))
		})
	}
}

func TestProblemsInStatusAreBoundedAsTheyAreStored(t *testing.T) {
	many := slices.Repeat([]engine.Problem{{Host: "h", Step: "s", Reason: strings.Repeat("R", 500), Message: strings.Repeat("<", 5000), Output: strings.Repeat("<", 5000)}}, 60)
	kept, leftOut := problemsOf(many)
	g := gomega.NewWithT(t)
	g.Expect(kept).To(gomega.HaveLen(14)) // of 18 KiB each
	g.Expect(leftOut).To(gomega.BeEquivalentTo(46))
	g.Expect(kept[0].Reason).To(gomega.HaveLen(128))
}

func TestWhoseTurnItIs(t *testing.T) {
	now := metav1.Now()
	earlier := metav1.NewTime(now.Add(-1e10))
	op := func(name string, at metav1.Time, phase v1alpha1.OperationPhase, cluster string) v1alpha1.ClusterOperation {
		return v1alpha1.ClusterOperation{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at},
			Spec:       v1alpha1.ClusterOperationSpec{ClusterRef: v1alpha1.LocalReference{Name: cluster}},
			Status:     v1alpha1.ClusterOperationStatus{Phase: phase},
		}
	}
	for name, test := range map[string]struct {
		operations []v1alpha1.ClusterOperation
		want       string
	}{
		"the oldest goes first":                        {[]v1alpha1.ClusterOperation{op("b", now, "", "demo"), op("a", earlier, "", "demo")}, "a"},
		"one that has begun goes before an older":      {[]v1alpha1.ClusterOperation{op("a", earlier, v1alpha1.OperationPending, "demo"), op("b", now, v1alpha1.OperationRunning, "demo")}, "b"},
		"of two of one age the name decides":           {[]v1alpha1.ClusterOperation{op("b", now, "", "demo"), op("a", now, "", "demo")}, "a"},
		"what has ended has no turn":                   {[]v1alpha1.ClusterOperation{op("a", earlier, v1alpha1.OperationFailed, "demo"), op("b", now, "", "demo")}, "b"},
		"operations upon other clusters do not count":  {[]v1alpha1.ClusterOperation{op("a", earlier, "", "other"), op("b", now, "", "demo")}, "b"},
		"what waits for approval lets others go first": {[]v1alpha1.ClusterOperation{op("a", earlier, v1alpha1.OperationAwaitingApproval, "demo"), op("b", now, "", "demo")}, "b"},
		"without operations there is no turn":          {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if waiting := queue("demo", test.operations); len(waiting) > 0 {
				got = waiting[0].Name
			}
			gomega.NewWithT(t).Expect(got).To(gomega.Equal(test.want))
		})
	}
}
