package cluster

import (
	"testing"

	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestAClaimJudgedOnAnOldViewIsRefused(t *testing.T) {
	g := gomega.NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(v1alpha1.AddToScheme(scheme)).To(gomega.Succeed())
	host := &v1alpha1.Host{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "cp1"}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(host).WithObjects(host).Build()
	key := client.ObjectKeyFromObject(host)
	scopeOf := func(name string) *scope {
		return &scope{Reconciler: &Reconciler{Client: c}, cluster: &v1alpha1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)},
		}}
	}
	seen := &v1alpha1.Host{}
	g.Expect(c.Get(t.Context(), key, seen)).To(gomega.Succeed())
	want := wantedHost{name: "cp1", role: v1alpha1.ControlPlaneRole}
	g.Expect(scopeOf("first").claim(t.Context(), seen.DeepCopy(), want)).To(gomega.Succeed())
	err := scopeOf("second").claim(t.Context(), seen.DeepCopy(), want)
	g.Expect(apierrors.IsConflict(err)).To(gomega.BeTrue(), "%v", err)
	g.Expect(c.Get(t.Context(), key, host)).To(gomega.Succeed())
	g.Expect(host.Status.Claim.ClusterName).To(gomega.Equal("first"))
}
