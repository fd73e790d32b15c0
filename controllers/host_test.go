package controllers_test

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/host"
	"github.com/kubewright/kubewright/pkg/capi"
)

func TestAHostHasAllConditionsFromTheFirstReconcile(t *testing.T) {
	w := newWorld(t)
	w.start(newRunner(nil))
	h := w.createHost("cp1", "192.0.2.11")
	w.ready(h)
	for kind, status := range map[string]metav1.ConditionStatus{
		v1alpha1.ReadyCondition: metav1.ConditionTrue, v1alpha1.ReconcilingCondition: metav1.ConditionFalse,
		v1alpha1.StalledCondition: metav1.ConditionFalse, v1alpha1.HostClaimedCondition: metav1.ConditionFalse,
		v1alpha1.HostReachableCondition: metav1.ConditionUnknown,
	} {
		condition := capi.Condition(h, kind)
		w.Expect(condition).NotTo(gomega.BeNil(), kind)
		w.Expect(condition.Status).To(gomega.Equal(status), kind)
		w.Expect(condition.ObservedGeneration).To(gomega.Equal(h.Generation), kind)
	}
	w.Expect(h.Status.ObservedGeneration).To(gomega.Equal(h.Generation))
}

func TestHostsWithOneAddressNameEachOther(t *testing.T) {
	w := newWorld(t)
	w.start(newRunner(nil))
	a := w.createHost("a", "192.0.2.11")
	w.ready(a)
	b := w.createHost("b", "192.0.2.11")
	for _, h := range []*v1alpha1.Host{a, b} {
		w.Expect(w.stalled(h, host.ReasonDuplicateAddress)).To(gomega.ContainSubstring("hosts a and b have the same address 192.0.2.11:22"))
	}
	w.edit(b, func() { b.Spec.Port = 2222 })
	w.ready(a)
	w.ready(b)
}

func TestAClaimedHostIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	h := w.createHost("cp1", "192.0.2.11")
	w.start(newRunner(nil))
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.delete(h)
	w.Expect(w.stalled(h, host.ReasonDeletionBlocked)).To(gomega.ContainSubstring("cluster demo"))
	w.Consistently(func() error {
		return env.Client.Get(t.Context(), client.ObjectKeyFromObject(h), h)
	}, time.Second/2, glance).Should(gomega.Succeed())
	w.delete(c)
	w.gone(c)
	w.gone(h)
}

func TestTheClaimOfAClusterThatVanishedEnds(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	stop := w.start(newRunner(nil))
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	stop()
	w.edit(c, func() { c.Finalizers = nil })
	w.delete(c)
	w.gone(c)
	w.Expect(w.host("cp1").Status.Claim).NotTo(gomega.BeNil())
	w.start(newRunner(nil))
	w.Eventually(func() *v1alpha1.HostClaim { return w.host("cp1").Status.Claim }).Should(gomega.BeNil())
}
