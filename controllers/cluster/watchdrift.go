package cluster

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

const (
	// correctsAnnotation on an operation names the Check whose differences it was created to end.
	correctsAnnotation = "kubewright.io/corrects"
	// defaultDriftInterval holds where the API's default is not filled in.
	defaultDriftInterval = time.Hour
)

// watchDrift has a cluster that is at rest compared with its spec from time to time, and corrected if the policy says so.
func watchDrift(ctx context.Context, s *scope) (phase.Next, error) {
	policy := s.cluster.Spec.Drift
	if !s.resting || policy.Mode == v1alpha1.IgnoreDrift || paused(s.cluster) || s.cluster.Status.InstalledGeneration == 0 || checking(s.cluster, s.operations) {
		return phase.Continue(), nil
	}
	check := uncorrected(s.cluster, s.operations)
	correct := policy.Mode == v1alpha1.CorrectDrift && check != nil
	if left := s.untilCheck().Sub(s.Now()); left > 0 && !correct {
		return phase.Later(left), nil
	}
	live, err := s.listOperationsLive(ctx)
	if err != nil {
		return phase.Stop(), err
	}
	if decide(s.cluster, live).act != rest || checking(s.cluster, live) {
		return phase.Continue(), nil // the cache will bring the cluster back
	}
	s.operations = live
	if check = uncorrected(s.cluster, live); correct && check != nil {
		return phase.Continue(), s.correct(ctx, check)
	}
	return phase.Later(intervalOf(policy)), s.compare(ctx)
}

// correct creates the operation that ends the differences a Check found.
func (s *scope) correct(ctx context.Context, check *v1alpha1.ClusterOperation) error {
	operation := s.newOperation(nextSuccessor(s.cluster, v1alpha1.ConfigureOperation, s.neighbours), v1alpha1.ConfigureOperation, s.cluster.Generation)
	setAnnotation(operation, correctsAnnotation, check.Name)
	if err := s.create(ctx, operation); err != nil {
		return err
	}
	s.standing = phase.Working(ReasonOperationRunning, progress(operation))
	return nil
}

// compare creates a Check. Nothing is said about it at the cluster: it is at rest.
func (s *scope) compare(ctx context.Context) error {
	check := s.newOperation(nextName(s.cluster.Name+"-check-", s.neighbours), v1alpha1.CheckOperation, s.cluster.Generation)
	if err := s.Client.Create(ctx, check); err != nil {
		return fmt.Errorf("create operation %s: %w", check.Name, err)
	}
	return nil
}

// untilCheck is when the next comparison is due.
func (s *scope) untilCheck() time.Time {
	var last time.Time
	for i := range s.operations {
		o := &s.operations[i]
		if at := o.Status.CompletedAt; at != nil && at.After(last) && (isCheck(s.cluster, o) || o.Spec.Type.BringsAbout()) {
			last = at.Time
		}
	}
	return nextCheck(s.cluster.UID, intervalOf(s.cluster.Spec.Drift), last, s.started)
}

// nextCheck is the first of a cluster's own moments that is at least half an interval after the last time its hosts were looked at,
// and not before this process started. A cluster's moments are an interval apart and lie where its UID puts them, so that many
// clusters are compared one after the other, also when all are overdue because no process was there.
func nextCheck(uid types.UID, interval time.Duration, last, started time.Time) time.Time {
	earliest := last.Add(interval / 2)
	if started.After(earliest) {
		earliest = started
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(uid)) // it never fails
	offset := time.Duration(hash.Sum64() % uint64(interval))
	into := (time.Duration(earliest.UnixNano()) - offset) % interval
	if into == 0 {
		return earliest
	}
	return earliest.Add(interval - into)
}

// leastDriftInterval bounds what was stored before the API judged it: anything shorter would have the manager do nothing else.
const leastDriftInterval = time.Minute

func intervalOf(policy v1alpha1.DriftPolicy) time.Duration {
	return max(leastDriftInterval, policy.Interval.Or(defaultDriftInterval))
}

// checking says whether a comparison is under way.
func checking(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) bool {
	for i := range operations {
		if isCheck(cluster, &operations[i]) && !operations[i].Status.Phase.Ended() {
			return true
		}
	}
	return false
}

// uncorrected is the Check whose differences nothing was done about yet and can be now; nil when there is none.
func uncorrected(cluster *v1alpha1.Cluster, operations []v1alpha1.ClusterOperation) *v1alpha1.ClusterOperation {
	check := newestComparison(cluster, operations)
	if check == nil || check.Status.Phase != v1alpha1.OperationSucceeded || len(check.Status.Plan) == 0 {
		return nil
	}
	// An operation that changes something does not go on without a host, so that it would only fail, and the cluster stall, until that is back.
	if len(leftOut(check)) > 0 {
		return nil
	}
	if last := newest(cluster, operations, v1alpha1.OperationType.BringsAbout); last != nil && outdated(check, last) {
		return nil
	}
	return check
}
