package provision

import (
	"fmt"
	"testing"
	"time"
)

func TestAListOfNodesIsSharedForLongerTheMoreThereAre(t *testing.T) {
	listed := time.Now()
	for _, test := range []struct {
		nodes int
		after time.Duration
		old   bool
	}{
		{nodes: 0, after: time.Millisecond, old: true},
		{nodes: 4, after: 20 * time.Millisecond},
		{nodes: 4, after: 100 * time.Millisecond, old: true},
		{nodes: 40, after: 300 * time.Millisecond},
		{nodes: 1000, after: 300 * time.Millisecond},
		{nodes: 1000, after: 500 * time.Millisecond, old: true},
	} {
		t.Run(fmt.Sprintf("%d nodes, %s after they were listed", test.nodes, test.after), func(t *testing.T) {
			list := nodeList{at: listed, count: test.nodes}
			if got := list.old(listed.Add(test.after)); got != test.old {
				t.Errorf("old: %t, want %t", got, test.old)
			}
		})
	}
}
