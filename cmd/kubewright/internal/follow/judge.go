package follow

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// settle is how long the controllers need at most to take note of something. A Stalled found at the start must last that long to be
// believed: it may be of a time before what was changed since.
const settle = 3 * time.Second

// settleBundle is the same for an operation that waits for its bundle, which it looks at again every 2 seconds (controllers/operation).
const settleBundle = 10 * time.Second

// Standing is where a goal stands.
type Standing int

const (
	// Working means that it may still be reached.
	Working Standing = iota
	// Reached means that it was observed.
	Reached
	// Failed means that nothing more will be done towards it.
	Failed
	// Waiting means that nothing more will be done before somebody approves the operation's plan.
	Waiting
)

// Verdict is a judgement over a snapshot.
type Verdict struct {
	Standing Standing
	// Operation that works, or worked, towards the goal; nil before there is one.
	Operation *v1alpha1.ClusterOperation
	// Message for people: what is waited for, or why it failed.
	Message string
	// Again is when to judge again even though nothing changes; 0 when that would tell nothing new.
	Again time.Duration
}

// Goal is a Cluster's spec brought about by an operation of after the goal was set, the end of the Cluster, or what becomes of one
// operation.
type Goal struct {
	// Before names the operations that had ended when the goal was set; they say nothing about it.
	Before map[string]bool
	// Since is when the controllers were started.
	Since time.Time
	// Deletion makes the end of the Cluster the goal.
	Deletion bool
	// Operation makes the success of the operation of this name the goal; with End any end of it.
	Operation string
	End       bool
}

// NewGoal sets a goal over what is there.
func NewGoal(s *Snapshot, since time.Time) Goal {
	g := Goal{Before: map[string]bool{}, Since: since}
	for i := range s.Operations {
		if s.Operations[i].Status.Phase.Ended() {
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
	if g.Operation != "" {
		v = judgeOperation(v)
		switch {
		case !g.End:
		case v.Operation != nil && v.Operation.Status.Phase.Ended():
			v.Standing = Reached
		default:
			v.Standing = Working
		}
		return v
	}
	ready := current(s.Cluster.Status.Conditions, v1alpha1.ReadyCondition, s.Cluster.Generation)
	if ready != nil && ready.Status != metav1.ConditionUnknown {
		v.Message = ready.Message
	}
	stalled := isTrue(current(s.Cluster.Status.Conditions, v1alpha1.StalledCondition, s.Cluster.Generation))
	switch {
	case v.Operation != nil && v.Operation.Status.Phase == v1alpha1.OperationAwaitingApproval:
		return judgeOperation(v)
	case v.Operation != nil && !v.Operation.Status.Phase.Ended():
		if why := meta.FindStatusCondition(v.Operation.Status.Conditions, v1alpha1.StalledCondition); isTrue(why) {
			v.Message = why.Message
			if v.Again = g.Since.Add(settleBundle).Sub(now); v.Again <= 0 {
				v.Standing, v.Again = Failed, 0
			}
		}
	case v.Operation != nil && v.Operation.Status.Phase != v1alpha1.OperationSucceeded:
		return g.judgeFailure(v, stalled, now)
	case v.Operation != nil && !g.Deletion && ready != nil && ready.Status == metav1.ConditionTrue:
		v.Standing = Reached
	case stalled:
		if v.Again = g.Since.Add(settle).Sub(now); v.Again <= 0 {
			v.Standing, v.Again = Failed, 0
		}
	}
	return v
}

// judgeOperation says how one operation stands, whatever the Cluster says.
func judgeOperation(v Verdict) Verdict {
	if v.Operation == nil {
		return v
	}
	if why := meta.FindStatusCondition(v.Operation.Status.Conditions, v1alpha1.ReadyCondition); why != nil {
		v.Message = why.Message
	}
	switch v.Operation.Status.Phase {
	case v1alpha1.OperationSucceeded:
		v.Standing = Reached
	case v1alpha1.OperationFailed, v1alpha1.OperationCancelled:
		v.Standing = Failed
	case v1alpha1.OperationAwaitingApproval:
		// One that was approved already is begun in a moment.
		if given := v.Operation.Annotations[v1alpha1.ApproveAnnotation]; given == "" || given != v.Operation.Status.PlanDigest {
			v.Standing = Waiting
		}
	case v1alpha1.OperationPending, v1alpha1.OperationRunning:
	}
	return v
}

// judgeFailure waits, not for ever, until the Cluster has taken note that its operation failed, so that whoever looks at it
// afterwards finds it said there.
func (g Goal) judgeFailure(v Verdict, stalled bool, now time.Time) Verdict {
	if why := meta.FindStatusCondition(v.Operation.Status.Conditions, v1alpha1.ReadyCondition); why != nil && why.Message != "" {
		v.Message = why.Message
	}
	if at := v.Operation.Status.CompletedAt; !stalled && at != nil {
		if v.Again = at.Add(settle).Sub(now); v.Again > 0 {
			return v
		}
	}
	v.Standing, v.Again = Failed, 0
	return v
}

// operation is the newest one that was not over when the goal was set, and is about the goal.
func (g Goal) operation(s *Snapshot) *v1alpha1.ClusterOperation {
	for i := len(s.Operations) - 1; i >= 0; i-- {
		o := &s.Operations[i]
		if g.Operation != "" {
			if o.Name == g.Operation {
				return o
			}
			continue
		}
		if g.Before[o.Name] || o.Spec.Mode == v1alpha1.PlanMode {
			continue
		}
		if g.Deletion {
			if o.Spec.Type == v1alpha1.ResetOperation {
				return o
			}
			continue
		}
		if g.isAbout(s, o) {
			return o
		}
	}
	return nil
}

// Worked lists the operations of after the goal was set that brought the present spec about or worked towards it, oldest first.
func (g Goal) Worked(s *Snapshot) []v1alpha1.ClusterOperation {
	var out []v1alpha1.ClusterOperation
	for i := range s.Operations {
		if o := &s.Operations[i]; !g.Before[o.Name] && o.Spec.Mode != v1alpha1.PlanMode && g.isAbout(s, o) {
			out = append(out, *o)
		}
	}
	return out
}

// isAbout says whether an operation brings the present spec about.
func (g Goal) isAbout(s *Snapshot, o *v1alpha1.ClusterOperation) bool {
	return o.Spec.Type.BringsAbout() && (s.Cluster == nil || o.Spec.ClusterGeneration == 0 || o.Spec.ClusterGeneration == s.Cluster.Generation)
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
