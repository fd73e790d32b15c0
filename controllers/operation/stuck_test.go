package operation

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

func TestAnOperationMayBeSilentForLongerThanItsLongestStep(t *testing.T) {
	g := gomega.NewWithT(t)
	cluster := &v1alpha1.Cluster{}
	g.Expect(patience(cluster)).To(gomega.Equal(15 * time.Minute))
	cluster.Spec.Rollout.Drain.Timeout = v1alpha1.Duration{Duration: time.Hour}
	g.Expect(patience(cluster)).To(gomega.Equal(2*time.Hour + 5*time.Minute))
	cluster.Spec.Rollout.StallTimeout = &metav1.Duration{Duration: 24 * time.Hour}
	g.Expect(patience(cluster)).To(gomega.Equal(24*time.Hour + 3*time.Minute))
}

func TestAnExecutionThatComesNoFurtherIsCutOff(t *testing.T) {
	g := gomega.NewWithT(t)
	var now time.Time
	ctx, cancel := context.WithCancelCause(t.Context())
	x := newExecution(provision.Request{}, cancel, func() time.Time { return now })
	at := func(minute int, events ...engine.Event) {
		now = time.Time{}.Add(time.Duration(minute) * time.Minute)
		for _, e := range events {
			x.Emit(e)
		}
		x.giveUpIfStuck(now)
	}
	on := func(host string, state engine.State, advances bool, message string) engine.Event {
		return engine.Event{Step: "host/compare", Host: host, State: state, Try: 1, Advances: advances, Message: message}
	}
	at(14, on("a", engine.StateRunning, true, ""), on("b", engine.StateRunning, true, ""), on("c", engine.StateDone, true, ""))
	at(28, on("a", engine.StateRetrying, false, "apply was cut off after 10m0s"))
	g.Expect(ctx.Err()).NotTo(gomega.HaveOccurred(), "14 minutes are no reason")
	at(29)
	stuck := context.Cause(ctx)
	g.Expect(stuck).To(gomega.MatchError("it came no further for 15m0s and was ended, so that others can be carried out; " +
		"step host/compare on host a said last: apply was cut off after 10m0s; step host/compare on host b; see why nothing comes from there, then try again"))
	g.Expect(failureReason(errors.Join(stuck, errors.New("not written")))).To(gomega.Equal(ReasonNoProgress))
	g.Expect(HostReason(stuck)).To(gomega.BeEmpty(), "it says nothing of a host")
}
