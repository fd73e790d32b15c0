package follow

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestAGoalIsJudgedByWhatHappenedSinceItWasSet(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	condition := func(kind string, status metav1.ConditionStatus, generation int64) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, ObservedGeneration: generation, Message: "because"}
	}
	cluster := func(conditions ...metav1.Condition) *v1alpha1.Cluster {
		c := &v1alpha1.Cluster{Status: v1alpha1.ClusterStatus{Conditions: conditions}}
		c.Generation = 2
		return c
	}
	operation := func(name string, phase v1alpha1.OperationPhase, generation int64) v1alpha1.ClusterOperation {
		o := v1alpha1.ClusterOperation{
			Spec:   v1alpha1.ClusterOperationSpec{Type: v1alpha1.InstallOperation, ClusterGeneration: generation},
			Status: v1alpha1.ClusterOperationStatus{Phase: phase},
		}
		o.Name = name
		if phase == v1alpha1.OperationFailed || phase == v1alpha1.OperationSucceeded {
			at := metav1.NewTime(start.Add(10 * time.Second))
			o.Status.CompletedAt = &at
		}
		return o
	}
	reset := operation("reset-1", v1alpha1.OperationFailed, 0)
	reset.Spec.Type = v1alpha1.ResetOperation
	plan := operation("plan", v1alpha1.OperationSucceeded, 2)
	plan.Spec.Mode = v1alpha1.PlanMode
	ready := condition(v1alpha1.ReadyCondition, metav1.ConditionTrue, 2)
	stalled := condition(v1alpha1.StalledCondition, metav1.ConditionTrue, 2)
	awaiting := operation("new-1", v1alpha1.OperationAwaitingApproval, 2)
	awaiting.Status.PlanDigest = "sha256:1"
	approved := awaiting
	approved.Annotations = map[string]string{v1alpha1.ApproveAnnotation: "sha256:1"}
	wrong := awaiting
	wrong.Annotations = map[string]string{v1alpha1.ApproveAnnotation: "sha256:2"}
	stuck := operation("new-1", v1alpha1.OperationPending, 2)
	stuck.Status.Conditions = []metav1.Condition{stalled}
	old := operation("old-1", v1alpha1.OperationFailed, 2)

	for name, test := range map[string]struct {
		cluster    *v1alpha1.Cluster
		operations []v1alpha1.ClusterOperation
		deletion   bool
		wanted     string
		end        bool
		after      time.Duration
		want       Standing
		again      bool
	}{
		"nothing is there yet":                              {want: Working},
		"the operation succeeded and the cluster is ready":  {cluster: cluster(ready), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationSucceeded, 2)}, want: Reached},
		"the cluster has not taken note of the success yet": {cluster: cluster(), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationSucceeded, 2)}, want: Working},
		"ready speaks of an older spec":                     {cluster: cluster(condition(v1alpha1.ReadyCondition, metav1.ConditionTrue, 1)), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationSucceeded, 2)}, want: Working},
		"the operation was for an older spec":               {cluster: cluster(ready), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationSucceeded, 1)}, want: Working},
		"only a plan was made":                              {cluster: cluster(ready), operations: []v1alpha1.ClusterOperation{plan}, want: Working},
		"only an operation of before ended":                 {cluster: cluster(ready), operations: []v1alpha1.ClusterOperation{old}, want: Working},
		"an operation runs while an old Stalled stands":     {cluster: cluster(stalled), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationRunning, 2)}, after: time.Hour, want: Working},
		"the operation failed and the cluster says so":      {cluster: cluster(stalled), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationFailed, 2)}, want: Failed},
		"the operation failed just now":                     {cluster: cluster(), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationFailed, 2)}, after: 11 * time.Second, want: Working, again: true},
		"the operation failed a while ago":                  {cluster: cluster(), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationFailed, 2)}, after: time.Minute, want: Failed},
		"a Stalled of the very start may be an old one":     {cluster: cluster(stalled), operations: []v1alpha1.ClusterOperation{old}, after: time.Second, want: Working, again: true},
		"a Stalled that lasts is believed":                  {cluster: cluster(stalled), operations: []v1alpha1.ClusterOperation{old}, after: 5 * time.Second, want: Failed},
		"a Stalled of an older spec is not believed":        {cluster: cluster(condition(v1alpha1.StalledCondition, metav1.ConditionTrue, 1)), after: time.Hour, want: Working},
		"the operation waits for approval":                  {cluster: cluster(), operations: []v1alpha1.ClusterOperation{awaiting}, want: Waiting},
		"the operation was approved just now":               {cluster: cluster(), operations: []v1alpha1.ClusterOperation{approved}, want: Working},
		"another plan was approved":                         {cluster: cluster(), operations: []v1alpha1.ClusterOperation{wrong}, want: Waiting},
		"the operation's bundle may be looked at yet":       {cluster: cluster(), operations: []v1alpha1.ClusterOperation{stuck}, after: 5 * time.Second, want: Working, again: true},
		"the operation's bundle cannot be used":             {cluster: cluster(), operations: []v1alpha1.ClusterOperation{stuck}, after: 11 * time.Second, want: Failed},
		"the operation was cancelled":                       {cluster: cluster(stalled), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationCancelled, 2)}, want: Failed},
		"a part of a chain succeeded":                       {cluster: cluster(), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationSucceeded, 2), operation("new-2", v1alpha1.OperationRunning, 2)}, want: Working},
		"a wanted operation is not there yet":               {cluster: cluster(ready), wanted: "by-hand", want: Working},
		"a wanted operation runs":                           {cluster: cluster(ready), wanted: "by-hand", operations: []v1alpha1.ClusterOperation{operation("by-hand", v1alpha1.OperationRunning, 0)}, want: Working},
		"a wanted operation succeeded in a broken cluster":  {cluster: cluster(stalled), wanted: "by-hand", operations: []v1alpha1.ClusterOperation{operation("by-hand", v1alpha1.OperationSucceeded, 0), operation("new-1", v1alpha1.OperationFailed, 2)}, want: Reached},
		"a wanted operation failed":                         {cluster: cluster(ready), wanted: "by-hand", operations: []v1alpha1.ClusterOperation{operation("by-hand", v1alpha1.OperationFailed, 0)}, want: Failed},
		"an operation to be ended waits for approval":       {cluster: cluster(ready), wanted: "new-1", end: true, operations: []v1alpha1.ClusterOperation{awaiting}, want: Working},
		"an operation to be ended was cancelled":            {cluster: cluster(stalled), wanted: "new-1", end: true, operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationCancelled, 2)}, want: Reached},
		"a cluster to be deleted is still there":            {cluster: cluster(ready), deletion: true, want: Working},
		"a cluster to be deleted is gone":                   {deletion: true, want: Reached},
		"a reset failed":                                    {cluster: cluster(stalled), operations: []v1alpha1.ClusterOperation{reset}, deletion: true, want: Failed},
		"an install says nothing about a deletion":          {cluster: cluster(), operations: []v1alpha1.ClusterOperation{operation("new-1", v1alpha1.OperationFailed, 2)}, deletion: true, after: time.Hour, want: Working},
	} {
		t.Run(name, func(t *testing.T) {
			before := &Snapshot{Operations: []v1alpha1.ClusterOperation{old, operation("running", v1alpha1.OperationRunning, 2)}}
			goal := NewGoal(before, start)
			goal.Deletion = test.deletion
			goal.Operation, goal.End = test.wanted, test.end
			v := goal.Judge(&Snapshot{Cluster: test.cluster, Operations: test.operations}, start.Add(test.after))
			if v.Standing != test.want || v.Again > 0 != test.again {
				t.Errorf("got %+v, want standing %v and to be asked again %v", v, test.want, test.again)
			}
		})
	}
}

func TestTheOperationThatRanWhenTheGoalWasSetCounts(t *testing.T) {
	o := v1alpha1.ClusterOperation{Spec: v1alpha1.ClusterOperationSpec{Type: v1alpha1.InstallOperation}, Status: v1alpha1.ClusterOperationStatus{Phase: v1alpha1.OperationRunning}}
	o.Name = "running"
	goal := NewGoal(&Snapshot{Operations: []v1alpha1.ClusterOperation{o}}, time.Now())
	o.Status.Phase = v1alpha1.OperationSucceeded
	c := &v1alpha1.Cluster{Status: v1alpha1.ClusterStatus{Conditions: []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue}}}}
	if v := goal.Judge(&Snapshot{Cluster: c, Operations: []v1alpha1.ClusterOperation{o}}, time.Now()); v.Standing != Reached {
		t.Errorf("got %+v, want it reached", v)
	}
}
