package operation

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/operation/internal/slots"
)

// Ranks of operations within their namespace.
const (
	rankBegun = iota
	rankWanted
	rankBackground
)

// claimOf is what an operation asks for a slot with.
func claimOf(operation *v1alpha1.ClusterOperation) slots.Claim {
	rank := rankWanted
	switch {
	case begun(operation) == 1:
		rank = rankBegun
	case inBackground(operation):
		rank = rankBackground
	}
	return slots.Claim{NamespacedName: client.ObjectKeyFromObject(operation), Rank: rank, Since: operation.CreationTimestamp.Time}
}

// looksOnly says whether the next attempt at an operation changes nothing. Such attempts have slots of their own, so that they never keep
// one waiting that does, and the other way round.
func looksOnly(operation *v1alpha1.ClusterOperation, cluster *v1alpha1.Cluster) bool {
	return operation.Spec.Mode == v1alpha1.PlanMode || operation.Spec.Type == v1alpha1.CheckOperation || mustPlan(operation, cluster)
}

// slot is the right to carry one operation out.
type slot struct {
	executor *executor
	pool     *slots.Pool
	key      client.ObjectKey
	once     sync.Once
}

// reserve takes a slot; nil when there is none for the claim now, and then what it waits for. The operation is looked at again when one is
// offered to it, and when it has come to another place of the queue.
func (e *executor) reserve(claim slots.Claim, looks bool) (taken *slot, waitsFor string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	pool, other, what := e.changes, e.looks, "operations"
	if looks {
		pool, other, what = e.looks, e.changes, "plans and comparisons"
	}
	e.passOn(other, other.Withdraw(claim.NamespacedName))
	if pool.Ask(claim) {
		taken = &slot{executor: e, pool: pool, key: claim.NamespacedName}
	} else if place := pool.Place(claim.NamespacedName); place > 0 {
		waitsFor = fmt.Sprintf("waiting at place %d of the queue: %d %s are carried out at a time, and namespaces take turns", place, pool.Limit(), what)
	} else {
		waitsFor = fmt.Sprintf("waiting behind more than %d others: %d %s are carried out at a time, and namespaces take turns", slots.Shown, pool.Limit(), what)
	}
	e.passOn(pool, nil)
	return taken, waitsFor
}

// withdraw ends the wait of an operation for a slot: there is something else in the way.
func (e *executor) withdraw(key client.ObjectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, pool := range []*slots.Pool{e.changes, e.looks} {
		e.passOn(pool, pool.Withdraw(key))
	}
}

// giveBack frees the slot; again does nothing.
func (s *slot) giveBack() {
	s.once.Do(func() {
		s.executor.mu.Lock()
		defer s.executor.mu.Unlock()
		s.executor.passOn(s.pool, s.pool.Free(s.key))
	})
}

// passOn has those looked at that a slot is offered to, and those that have come to another place. The lock must be held.
func (e *executor) passOn(pool *slots.Pool, offered []types.NamespacedName) {
	for _, key := range append(offered, pool.Moved()...) {
		e.waker.Wake(key)
	}
}
