package staticpod

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/pkg/host/sys"
)

const (
	// endings is how often a pod may end while a command waits for it. What it needs may come a little later than it does itself.
	endings = 3
	// wordLines is how many of its last lines are kept of a pod that ends again and again.
	wordLines = 8
)

// Watch sees which of some static pods ends again and again from a moment on. The order counts: the program of a pod that runs needs those
// before it, so the endings of one say nothing while one before it does not run.
type Watch struct {
	sys  *sys.System
	pods []string
	// before is how often each pod had been begun again when it was seen first, by name and UID.
	before map[string]map[string]int
}

// NewWatch begins to watch.
func NewWatch(s *sys.System, pods []string) *Watch {
	w := &Watch{sys: s, pods: pods, before: map[string]map[string]int{}}
	for _, pod := range pods {
		w.before[pod] = Attempts(s, pod)
	}
	return w
}

// Ends is the first pod that ended again and again, with what it said last; "" when there is none.
func (w *Watch) Ends() (pod string, said []string) {
	needs := true // whether what the next one needs runs
	for _, pod := range w.pods {
		now := Attempts(w.sys, pod)
		if !needs {
			w.before[pod] = now
			continue
		}
		for uid, attempt := range now {
			if attempt-w.before[pod][uid] >= endings {
				said, _ = Said(w.sys, pod, wordLines)
				return pod, said
			}
		}
		needs = Running(w.sys, pod)
	}
	return "", nil
}

// LastWords is the line in which a program says why it ends: the last one about an error, or else the last. Components of Kubernetes give
// their errors as err=, those of their flags behind "Error: ".
func LastWords(lines []string) string {
	if len(lines) == 0 {
		return "it said nothing"
	}
	last := lines[len(lines)-1]
	for _, line := range slices.Backward(lines) {
		if strings.Contains(line, "err=") || strings.HasPrefix(line, "Error: ") {
			last = line
			break
		}
	}
	const most = 400
	if len(last) > most {
		// The cause is at the end of a wrapped error.
		last = "..." + strings.ToValidUTF8(last[len(last)-most:], "")
	}
	return last
}

// Describe says that a pod ends again and again, and why.
func Describe(pod string, said []string) string {
	return fmt.Sprintf("static pod %s ends again and again: %s", pod, LastWords(said))
}
