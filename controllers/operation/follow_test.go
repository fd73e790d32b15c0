package operation

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

func TestNodesThatTakeNoPodsAreNamedHoweverAnAttemptEnds(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"it was cancelled":                                {fmt.Errorf("stopped: %w", engine.ErrStopped), "stopped at a safe point after 0 of 0 steps"},
		"a host did not answer":                           {errors.New("n5 does not answer"), "n5 does not answer"},
		"it says so much that not all of it can be shown": {errors.New(strings.Repeat("x", 5000)), "xxx"},
		"it got through":                                  {nil, "nothing had to be changed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			s := &scope{Reconciler: &Reconciler{Now: time.Now}, operation: &v1alpha1.ClusterOperation{}}
			x := newExecution(provision.Request{Attempt: 1}, func(error) {}, time.Now)
			x.finish(&provision.Outcome{Cordoned: []string{"n4"}}, test.err)
			s.conclude(x)
			s.standing.Put(s.operation)
			message := capi.Condition(s.operation, v1alpha1.ReadyCondition).Message
			g.Expect(message).To(gomega.HavePrefix(test.want))
			g.Expect(message).To(gomega.HaveSuffix("; still taking no pods: n4; they do again when an operation gets through, or after kubectl uncordon"))
		})
	}
}
