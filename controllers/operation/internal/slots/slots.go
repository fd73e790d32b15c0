// Package slots decides which operation is carried out next, where only so many may be at a time. It must not know what an operation is
// or does, starts nothing, and is not safe for use by several goroutines at once.
package slots

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// keptPart of all slots goes only to namespaces that hold none: what is under way is never cut off for others, so without it whoever
	// comes first with enough that takes long would keep everybody else waiting for as long as that takes.
	keptPart = 5
	// Shown is how many places of the queue are known exactly. To know them all, each that waits would have to be looked at whenever one ends.
	Shown = 10
)

// Claim asks for a slot.
type Claim struct {
	types.NamespacedName

	// Rank within the namespace: lower ones go first. Claims of one rank go by age.
	Rank int
	// Since is when what asks was created.
	Since time.Time
}

// Pool hands slots out. Each free one goes to the namespace that holds the fewest, of several to the one that was served longest ago, and
// within a namespace by rank and age. The last fifth of the slots goes only to namespaces that hold none.
type Pool struct {
	limit int

	// holds says of each claim that has a slot whether it has taken it; until then it is only offered.
	holds map[types.NamespacedName]bool
	// held counts slots by namespace, offered ones included.
	held map[string]int
	// waiting is sorted by turn within each namespace.
	waiting map[string][]Claim
	// served is when a namespace last got a slot or gave one back, counted by turns of all.
	served map[string]uint64
	turns  uint64
	// told is the place that was last told to each claim that waits.
	told map[types.NamespacedName]int
}

// New returns a pool with so many slots.
func New(limit int) *Pool {
	return &Pool{
		limit: limit, holds: map[types.NamespacedName]bool{}, held: map[string]int{}, waiting: map[string][]Claim{},
		served: map[string]uint64{}, told: map[types.NamespacedName]int{},
	}
}

// Limit is how many slots there are.
func (p *Pool) Limit() int { return p.limit }

// Ask takes the slot that is offered to the claim, or a free one, or lets it wait for one. A claim that waits is offered a slot by Withdraw
// or Free of another, and has to ask again to take it. A claim that has taken a slot must not ask before it was freed.
func (p *Pool) Ask(c Claim) bool {
	if _, offered := p.holds[c.NamespacedName]; !offered {
		p.enter(c)
		p.offer()
	}
	if _, offered := p.holds[c.NamespacedName]; !offered {
		return false
	}
	p.holds[c.NamespacedName] = true
	return true
}

// Withdraw ends the wait of a claim, also of one that was offered a slot, and returns to whom slots are offered instead. What has taken a
// slot keeps it.
func (p *Pool) Withdraw(name types.NamespacedName) []types.NamespacedName {
	p.leave(name)
	if taken, ok := p.holds[name]; ok && !taken {
		p.drop(name)
	}
	p.forget(name.Namespace)
	return p.offer()
}

// Free gives a slot back that was taken, and returns to whom it is offered.
func (p *Pool) Free(name types.NamespacedName) []types.NamespacedName {
	if p.holds[name] {
		p.drop(name)
		p.serve(name.Namespace)
	}
	p.forget(name.Namespace)
	return p.offer()
}

// Place is the place in the queue of a claim that waits, counted from 1; 0 when at least Shown others go before it.
func (p *Pool) Place(name types.NamespacedName) int {
	place := slices.Index(p.front(), name) + 1
	p.told[name] = place
	return place
}

// Moved lists the claims that have come to another place than they were told.
func (p *Pool) Moved() []types.NamespacedName {
	var moved []types.NamespacedName
	front := p.front()
	for i, name := range front {
		if told, ok := p.told[name]; ok && told != i+1 {
			moved = append(moved, name)
		}
	}
	for name, told := range p.told {
		if told > 0 && !slices.Contains(front, name) {
			moved = append(moved, name)
		}
	}
	return moved
}

// front is the order in which slots would be handed out if nobody else came and nobody who has one left, as far as it is shown.
func (p *Pool) front() []types.NamespacedName {
	next := map[string]int{}
	turns := map[string]uint64{}
	var order []types.NamespacedName
	for len(order) < Shown {
		best := ""
		for namespace, queue := range p.waiting {
			if next[namespace] == len(queue) {
				continue
			}
			if best == "" || cmp.Or(
				cmp.Compare(p.held[namespace]+next[namespace], p.held[best]+next[best]),
				cmp.Compare(max(p.served[namespace], turns[namespace]), max(p.served[best], turns[best])),
				strings.Compare(namespace, best),
			) < 0 {
				best = namespace
			}
		}
		if best == "" {
			break
		}
		order = append(order, p.waiting[best][next[best]].NamespacedName)
		next[best]++
		turns[best] = p.turns + uint64(len(order))
	}
	return order
}

// offer hands out every slot that is free.
func (p *Pool) offer() []types.NamespacedName {
	var offered []types.NamespacedName
	for len(p.holds) < p.limit {
		// The front holds the fewest slots, so that nobody behind it may have one that it may not.
		front := p.front()
		if len(front) == 0 || len(p.holds) >= p.limit-p.limit/keptPart && p.held[front[0].Namespace] > 0 {
			break
		}
		name := front[0]
		p.leave(name)
		p.holds[name] = false
		p.held[name.Namespace]++
		p.serve(name.Namespace)
		offered = append(offered, name)
	}
	return offered
}

// serve puts a namespace behind all others that hold as many slots.
func (p *Pool) serve(namespace string) {
	p.turns++
	p.served[namespace] = p.turns
}

// enter puts a claim into the queue, or to its present place in it. A namespace that was not known goes behind the others, as if it had
// just been served.
func (p *Pool) enter(c Claim) {
	if _, known := p.served[c.Namespace]; !known {
		p.serve(c.Namespace)
	}
	queue := slices.DeleteFunc(p.waiting[c.Namespace], is(c.NamespacedName))
	at, _ := slices.BinarySearchFunc(queue, c, byTurn)
	p.waiting[c.Namespace] = slices.Insert(queue, at, c)
}

// leave takes a claim out of the queue.
func (p *Pool) leave(name types.NamespacedName) {
	delete(p.told, name)
	p.waiting[name.Namespace] = slices.DeleteFunc(p.waiting[name.Namespace], is(name))
}

func is(name types.NamespacedName) func(Claim) bool {
	return func(c Claim) bool { return c.NamespacedName == name }
}

// drop takes a slot away from whom has it.
func (p *Pool) drop(name types.NamespacedName) {
	delete(p.holds, name)
	p.held[name.Namespace]--
}

// forget keeps nothing of a namespace of which nothing waits or has a slot, so that namespaces that come and go leave nothing behind.
func (p *Pool) forget(namespace string) {
	if len(p.waiting[namespace]) == 0 && p.held[namespace] == 0 {
		delete(p.waiting, namespace)
		delete(p.held, namespace)
		delete(p.served, namespace)
	}
}

// byTurn compares claims of one namespace.
func byTurn(a, b Claim) int {
	return cmp.Or(cmp.Compare(a.Rank, b.Rank), a.Since.Compare(b.Since), strings.Compare(a.Name, b.Name))
}
