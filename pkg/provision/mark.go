package provision

import (
	"fmt"

	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/plan"
)

// advance is how many bytes more than ever before a try must bring to count as one that came further. It also bounds how often a host
// can be tried that always breaks off: once for each MiB of what it is to have.
const advance = 1 << 20

// mark is how much of each blob a host has had at most, over all tries of a step. It is used by one goroutine.
type mark struct {
	sizes   map[string]int64 // of the blobs, by resource
	reached map[string]int64
	gained  int64 // in this try
}

// markOf returns the mark of one step on one host, as the tries before left it.
func (b *hostSteps) markOf(s plan.Step, host string) *mark {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reached == nil {
		b.reached = map[string]map[string]int64{}
	}
	key := s.ID + " " + host
	if b.reached[key] == nil {
		b.reached[key] = map[string]int64{}
	}
	m := &mark{sizes: map[string]int64{}, reached: b.reached[key]}
	for _, r := range s.Resources[host] {
		if r.Blob != nil {
			m.sizes[r.ID] = r.Blob.Size
		}
	}
	return m
}

// raise takes a host's word for how much it has, within what there is to have, and reports whether that is more than ever before.
func (m *mark) raise(p hostapi.Progress) bool {
	done := min(p.Done, m.sizes[p.Resource])
	before := m.reached[p.Resource]
	if done <= before {
		return false
	}
	m.reached[p.Resource] = done
	m.gained += done - before
	return true
}

// advanced reports whether this try came further than all before it.
func (m *mark) advanced() bool { return m.gained >= advance }

// text says how far all content of the step has come, whichever blob moves just now. lacked is how much the host did not hold at the start;
// where nobody knows, it is all that there is.
func (m *mark) text(lacked int64) string {
	var done, all int64
	for _, n := range m.reached {
		done += n
	}
	for _, n := range m.sizes {
		all += n
	}
	if lacked > 0 {
		all = lacked
	}
	return fmt.Sprintf("%d of %d MiB", min(done, all)>>20, all>>20)
}

// lacked is how much content a host did not hold when it was asked for everything.
func (b *hostSteps) lacked(step, host string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sum int64
	for _, v := range b.first[step][host] {
		if n, ok := hostapi.MissingBytes(v.Why); ok {
			sum += n
		}
	}
	return sum
}
