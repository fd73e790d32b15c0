package follow

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// settle is how long a Stalled found at the start must last before it is believed: it may be of a time before what was changed
// since, and the controllers look at everything within this time of their start.
const settle = 3 * time.Second

// Standing is where a goal stands.
type Standing int

const (
	// Working means that it may still be reached.
	Working Standing = iota
	// Reached means that it was observed.
	Reached
	// Failed means that nothing more will be done towards it.
	Failed
)

// Verdict is a judgement over a snapshot.
type Verdict struct {
	Standing Standing
	// Operation that works, or worked, towards the goal; nil before there is one.
	Operation *v1alpha1.ClusterOperation
	// Message for people: what is waited for, or why it failed.
	Message string
}

// Goal is a Cluster's spec brought about, or with Deletion its end, by an operation of after the goal was set.
type Goal struct {
	// Before names the operations that had ended when the goal was set; they say nothing about it.
	Before map[string]bool
	// Since is when the controllers were started.
	Since time.Time
	// Deletion makes the end of the Cluster the goal.
	Deletion bool
}

// NewGoal sets a goal over what is there.
func NewGoal(s *Snapshot, since time.Time) Goal {
	g := Goal{Before: map[string]bool{}, Since: since}
	for i := range s.Operations {
		if Ended(&s.Operations[i]) {
			g.Before[s.Operations[i].Name] = true
		}
	}
	return g
}

// Judge says how a goal stands.
func (g Goal) Judge(s *Snapshot, now time.Time) Verdict {
	if s.Cluster == nil {
		if g.Deletion {
			return Verdict{Standing: Reached, Operation: g.operation(s)}
		}
		return Verdict{Message: "the Cluster does not exist yet"}
	}
	v := Verdict{Operation: g.operation(s)}
	ready := current(s.Cluster.Status.Conditions, v1alpha1.ReadyCondition, s.Cluster.Generation)
	if ready != nil {
		v.Message = ready.Message
	}
	if v.Operation != nil && Ended(v.Operation) {
		if why := meta.FindStatusCondition(v.Operation.Status.Conditions, v1alpha1.ReadyCondition); v.Operation.Status.Phase == v1alpha1.OperationFailed {
			v.Standing = Failed
			if why != nil && why.Message != "" {
				v.Message = why.Message
			}
			return v
		}
		if !g.Deletion && ready != nil && ready.Status == metav1.ConditionTrue {
			v.Standing = Reached
			return v
		}
	}
	if v.Operation != nil && !Ended(v.Operation) {
		return v
	}
	if stalled := current(s.Cluster.Status.Conditions, v1alpha1.StalledCondition, s.Cluster.Generation); isTrue(stalled) && now.Sub(g.Since) >= settle {
		v.Standing, v.Message = Failed, stalled.Message
	}
	return v
}

// Unsettled says when to judge again though nothing changes: a Stalled of the start is believed from then on.
func (g Goal) Unsettled(now time.Time) time.Duration { return max(g.Since.Add(settle).Sub(now), 0) }

// operation is the newest one that was not over when the goal was set, and is about the goal.
func (g Goal) operation(s *Snapshot) *v1alpha1.ClusterOperation {
	for i := len(s.Operations) - 1; i >= 0; i-- {
		o := &s.Operations[i]
		if g.Before[o.Name] || o.Spec.Mode == v1alpha1.PlanMode {
			continue
		}
		if g.Deletion {
			if o.Spec.Type == v1alpha1.ResetOperation {
				return o
			}
			continue
		}
		if o.Spec.Type == v1alpha1.InstallOperation && (s.Cluster == nil || o.Spec.ClusterGeneration == 0 || o.Spec.ClusterGeneration == s.Cluster.Generation) {
			return o
		}
	}
	return nil
}

// current is a condition if it speaks of the present generation.
func current(conditions []metav1.Condition, kind string, generation int64) *metav1.Condition {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil || c.ObservedGeneration != generation {
		return nil
	}
	return c
}

func isTrue(c *metav1.Condition) bool { return c != nil && c.Status == metav1.ConditionTrue }
