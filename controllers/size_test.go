package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/provision"
)

func TestAPlanOverAThousandFreshHostsIsShownAndApproved(t *testing.T) {
	const workers = 999
	w := newWorld(t)
	w.createManifest(version)
	// A quote takes two bytes where it is stored, and these six.
	difference := strings.Repeat("<\"&\" is missing>\n", 100)
	runner := newRunner(func(ctx context.Context, request provision.Request) (*provision.Outcome, error) {
		if request.Operation.Spec.Mode != v1alpha1.PlanMode {
			for _, access := range request.Hosts {
				request.Sink.Emit(engine.Event{Step: "host/prepare", Host: access.Host.Name, State: engine.StateFailed, Try: 1,
					Reason: strings.Repeat("R", 5000), Message: difference, Output: difference + difference})
			}
			return &provision.Outcome{}, fmt.Errorf("nothing worked: %s", difference)
		}
		outcome, err := planned(difference)(ctx, request)
		outcome.Plan = nil
		for _, access := range request.Hosts {
			outcome.Plan = append(outcome.Plan, v1alpha1.PlannedChange{Step: "host/prepare", Host: access.Host.Name, Why: difference})
		}
		return outcome, err
	})
	w.start(runner)
	w.createHost("cp1", "192.0.2.11")
	var names []string
	for i := range workers {
		name := fmt.Sprintf("w%04d", i)
		names = append(names, name)
		w.createHost(name, fmt.Sprintf("10.1.%d.%d", i/250, 1+i%250))
	}
	w.createCluster("demo", func(c *v1alpha1.Cluster) {
		manual(c)
		c.Spec.Workers = []v1alpha1.WorkerPool{{Name: "pool", Hosts: names}}
	}, "cp1")
	const name = "demo-install-g1-1"
	w.Eventually(func() error {
		return env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &v1alpha1.ClusterOperation{})
	}).Should(gomega.Succeed())
	o := w.reaches(name, v1alpha1.OperationAwaitingApproval)
	shown := len(o.Status.Plan)
	w.Expect(shown).To(gomega.BeNumerically(">", 50))
	w.Expect(shown + int(o.Status.PlanLeftOut)).To(gomega.Equal(1 + workers))
	w.Expect(says(o)).To(gomega.ContainSubstring("the %d changes in status.plan, of which there are %d more than it has room for", shown, 1+workers-shown))
	whole, err := planned(difference)(t.Context(), runner.calls()[0])
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(o.Status.PlanDigest).To(gomega.Equal(whole.PlanDigest), "the digest is of the whole plan")

	w.annotate(name, v1alpha1.ApproveAnnotation, o.Status.PlanDigest)
	o = w.reaches(name, v1alpha1.OperationFailed)
	w.Expect(len(o.Status.Problems) + int(o.Status.ProblemsLeftOut)).To(gomega.Equal(1 + workers))
	stored, err := json.Marshal(o)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(len(stored)).To(gomega.BeNumerically("<", 1<<20))
}

func TestAStatusThatIsTooLargeForTheAPIServerSaysSo(t *testing.T) {
	for name, size := range map[string]int{"for etcd": 2 << 20, "for the API server itself": 4 << 20} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := &v1alpha1.ClusterOperation{ObjectMeta: w.meta("large"), Spec: v1alpha1.ClusterOperationSpec{
				ClusterRef: v1alpha1.LocalReference{Name: "demo"}, Type: v1alpha1.CheckOperation,
			}}
			w.create(o)
			patcher := capi.NewPatcher(o, env.Client)
			o.Status.Phase = v1alpha1.OperationRunning
			o.Status.Plan = []v1alpha1.PlannedChange{{Step: "s", Host: "h", Why: strings.Repeat("x", size)}}
			err := patcher.Patch(t.Context(), o)
			w.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("write the status")))
			o = w.operation("large")
			w.Expect(o.Status.Plan).To(gomega.BeEmpty())
			stalled := capi.Condition(o, v1alpha1.StalledCondition)
			w.Expect(stalled).NotTo(gomega.BeNil())
			w.Expect(stalled.Status).To(gomega.Equal(metav1.ConditionTrue))
			w.Expect(stalled.Reason).To(gomega.Equal(capi.ReasonStatusTooLarge))
			w.Expect(stalled.Message).To(gomega.ContainSubstring("too large"))

			// Seen again it is not written again.
			patcher, before := capi.NewPatcher(o, env.Client), o.ResourceVersion
			o.Status.Plan = []v1alpha1.PlannedChange{{Step: "s", Host: "h", Why: strings.Repeat("x", size)}}
			w.Expect(patcher.Patch(t.Context(), o)).NotTo(gomega.Succeed())
			w.Expect(w.operation("large").ResourceVersion).To(gomega.Equal(before))
		})
	}
}

func TestANameThatAnotherClustersOperationHasIsPassedOver(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	for _, name := range []string{"demo-install-g1-1", "demo-install-g1-9223372036854775807"} {
		w.create(&v1alpha1.ClusterOperation{ObjectMeta: w.meta(name), Spec: v1alpha1.ClusterOperationSpec{
			ClusterRef: v1alpha1.LocalReference{Name: "other"}, Type: v1alpha1.CheckOperation,
		}})
	}
	w.start(newRunner(nil))
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.Expect(c.Status.LastOperation).To(gomega.Equal("demo-install-g1-2"))
}
