package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestWhatIsKnownOfDifferences(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(minute int) func(*v1alpha1.ClusterOperation) {
		return func(o *v1alpha1.ClusterOperation) {
			ended := metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute))
			o.Status.CompletedAt = &ended
		}
	}
	check := func(o *v1alpha1.ClusterOperation) { o.Spec.Type = v1alpha1.CheckOperation }
	differs := func(o *v1alpha1.ClusterOperation) {
		o.Status.Plan = []v1alpha1.PlannedChange{{Host: "w1", Step: "kubelet/config", Why: "maxPods is 110, want 60"}}
	}
	unreached := func(hosts ...string) func(*v1alpha1.ClusterOperation) {
		return func(o *v1alpha1.ClusterOperation) {
			for _, h := range hosts {
				o.Status.Problems = append(o.Status.Problems, v1alpha1.HostProblem{Host: h, Step: "host/connect", Reason: "Unreachable"})
			}
		}
	}
	corrects := func(o *v1alpha1.ClusterOperation) { setAnnotation(o, correctsAnnotation, "demo-check-1") }
	hop := func(o *v1alpha1.ClusterOperation) { setAnnotation(o, v1alpha1.HopAnnotation, "1 of 2") }
	const succeeded, failed, running, cancelled = v1alpha1.OperationSucceeded, v1alpha1.OperationFailed, v1alpha1.OperationRunning, v1alpha1.OperationCancelled
	installed := op("demo-install-g1-1", 1, succeeded, at(0))
	drifted := op("demo-check-1", 1, succeeded, check, differs, at(10))
	for name, test := range map[string]struct {
		mode       v1alpha1.DriftMode
		operations []v1alpha1.ClusterOperation
		reason     string
		says       string
		correct    bool
	}{
		"nothing before the cluster was brought about":      {operations: nil},
		"an operation that succeeded has observed the spec": {operations: []v1alpha1.ClusterOperation{installed}, reason: ReasonObservedByOperation},
		"a part of a chain has not observed the spec":       {operations: []v1alpha1.ClusterOperation{op("demo-upgrade-g1-1", 1, succeeded, hop, at(0))}},
		"a comparison without differences":                  {operations: []v1alpha1.ClusterOperation{installed, op("demo-check-1", 1, succeeded, check, at(10))}, reason: ReasonCompared},
		"a comparison with differences":                     {operations: []v1alpha1.ClusterOperation{installed, drifted}, reason: ReasonDrifted, says: "1 differences on 1 hosts: w1: kubelet/config: maxPods is 110, want 60", correct: true},
		"a comparison without the records of before":        {operations: []v1alpha1.ClusterOperation{drifted}, reason: ReasonDrifted, correct: true},
		"a comparison that did not come about":              {operations: []v1alpha1.ClusterOperation{installed, op("demo-check-1", 1, failed, check, at(10))}, reason: ReasonNotCompared, says: "gave no reason"},
		"a comparison without hosts that were off does not say that all is well": {operations: []v1alpha1.ClusterOperation{installed, op("demo-check-1", 1, succeeded, check, unreached("w2"), at(10))},
			reason: ReasonNotCompared, says: "the hosts that could be reached are as the spec says; not reached and not compared: w2 (Unreachable)"},
		"differences are told though hosts were off, and corrected when those are back": {operations: []v1alpha1.ClusterOperation{installed, op("demo-check-1", 1, succeeded, check, differs, unreached("w2", "w3", "w4", "w5"), at(10))},
			reason: ReasonDrifted, says: "w1: kubelet/config: maxPods is 110, want 60; not reached and not compared: w2 (Unreachable), w3 (Unreachable), w4 (Unreachable), and 1 more hosts"},
		"a comparison under way says nothing":               {operations: []v1alpha1.ClusterOperation{installed, drifted, op("demo-check-2", 1, running, check)}, reason: ReasonDrifted, correct: true},
		"a comparison that gave way says nothing":           {operations: []v1alpha1.ClusterOperation{installed, drifted, op("demo-check-2", 1, cancelled, check, at(20))}, reason: ReasonDrifted, correct: true},
		"the tenth comparison is newer than the ninth":      {operations: []v1alpha1.ClusterOperation{installed, op("demo-check-10", 1, succeeded, check, at(20)), op("demo-check-9", 1, succeeded, check, differs, at(10))}, reason: ReasonCompared},
		"a comparison with an older spec says nothing":      {operations: []v1alpha1.ClusterOperation{installed, op("demo-check-1", 0, succeeded, check, differs, at(10))}, reason: ReasonObservedByOperation},
		"a later operation ends the differences":            {operations: []v1alpha1.ClusterOperation{drifted, op("demo-configure-g1-2", 1, succeeded, at(11))}, reason: ReasonObservedByOperation},
		"one of the same second too, when it was for them":  {operations: []v1alpha1.ClusterOperation{drifted, op("demo-configure-g1-2", 1, succeeded, corrects, at(10))}, reason: ReasonObservedByOperation},
		"differences are not corrected twice after failure": {operations: []v1alpha1.ClusterOperation{drifted, op("demo-configure-g1-2", 1, failed, corrects, at(10))}},
		"a comparison of somebody else is theirs":           {operations: []v1alpha1.ClusterOperation{installed, op("mine", 1, succeeded, check, differs, ofUID("else"), at(10))}, reason: ReasonObservedByOperation},
		"nobody looks when the policy says so":              {mode: v1alpha1.IgnoreDrift, operations: []v1alpha1.ClusterOperation{installed, drifted}, reason: ReasonDriftIgnored, correct: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			c := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now", Generation: 1}}
			c.Spec.Drift.Mode = test.mode
			found := judgeDrift(c, test.operations)
			g.Expect(uncorrected(c, test.operations) != nil).To(gomega.Equal(test.correct))
			if test.reason == "" {
				g.Expect(found).To(gomega.BeNil())
				return
			}
			g.Expect(found).NotTo(gomega.BeNil())
			g.Expect(found.reason).To(gomega.Equal(test.reason))
			g.Expect(found.message).To(gomega.ContainSubstring(test.says))
		})
	}
}

func TestDifferencesOnManyHostsAreSummedUp(t *testing.T) {
	var plan []v1alpha1.PlannedChange
	for i := range 5 {
		for _, step := range []string{"containerd/config", "kubelet/config"} {
			plan = append(plan, v1alpha1.PlannedChange{Host: fmt.Sprintf("w%d", i), Step: step, Why: "first line\nsecond line"})
		}
	}
	plan[0].Why = ""
	want := "510 differences on 5 hosts: w0: containerd/config; w1: containerd/config: first line; w2: containerd/config: first line; and 2 more hosts"
	if got := differences(plan, 500); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if strings.Contains(differences(plan[:2], 0), "more hosts") {
		t.Error("hosts are counted that are not there")
	}
}

func TestComparisonsAreSpreadOverTheInterval(t *testing.T) {
	const interval, clusters = time.Hour, 1000
	started := time.Date(2026, 11, 22, 12, 34, 56, 789, time.UTC)
	minutes := map[int]int{}
	for i := range clusters {
		uid := types.UID(fmt.Sprintf("3e0fbe0c-6b1f-4d4e-9c8e-%012d", i))
		overdue := nextCheck(uid, interval, started.Add(-100*interval), started)
		if overdue.Before(started) || !overdue.Before(started.Add(interval)) {
			t.Fatalf("the overdue comparison of cluster %d is at %s", i, overdue)
		}
		minutes[int(overdue.Sub(started)/time.Minute)]++
		next := nextCheck(uid, interval, overdue, started)
		if next != overdue.Add(interval) {
			t.Fatalf("cluster %d is compared at %s and then at %s", i, overdue, next)
		}
		late := nextCheck(uid, interval, overdue.Add(40*time.Minute), started)
		if gap := late.Sub(overdue.Add(40 * time.Minute)); gap < interval/2 || gap >= interval*3/2 {
			t.Fatalf("cluster %d is compared %s after something else looked at it", i, gap)
		}
	}
	for minute, n := range minutes {
		if n > 50 {
			t.Errorf("%d of %d comparisons fall into minute %d", n, clusters, minute)
		}
	}
}

func TestTheLastTwoComparisonsAreKept(t *testing.T) {
	g := gomega.NewWithT(t)
	c := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"}}
	check := func(o *v1alpha1.ClusterOperation) { o.Spec.Type = v1alpha1.CheckOperation }
	operations := []v1alpha1.ClusterOperation{op("demo-install-g1-1", 1, v1alpha1.OperationSucceeded)}
	for i := 8; i <= 11; i++ {
		operations = append(operations, op(fmt.Sprintf("demo-check-%d", i), 1, v1alpha1.OperationSucceeded, check))
	}
	old := surplus(c, operations)
	g.Expect(old).To(gomega.HaveLen(2))
	g.Expect(old[0].Name).To(gomega.Equal("demo-check-9"))
	g.Expect(old[1].Name).To(gomega.Equal("demo-check-8"))
}
