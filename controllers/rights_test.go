package controllers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/operation"
)

// fromChart are the objects of a template of the chart, which has nothing but a condition around them.
func fromChart(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "charts", "kubewright", "templates", name))
	if err != nil {
		t.Fatal(err)
	}
	var plain []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "{{") {
			plain = append(plain, line)
		}
	}
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(strings.Join(plain, ""))), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, u)
	}
}

// aggregated fills in the rules of roles that are put together of others, as kube-controller-manager does, which does not run here.
func aggregated(t *testing.T, roles []*unstructured.Unstructured) []*unstructured.Unstructured {
	t.Helper()
	for _, role := range roles {
		selectors, _, _ := unstructured.NestedSlice(role.Object, "aggregationRule", "clusterRoleSelectors")
		if len(selectors) == 0 {
			continue
		}
		wanted, _, _ := unstructured.NestedStringMap(selectors[0].(map[string]any), "matchLabels")
		var rules []any
		for _, part := range roles {
			if labels.SelectorFromSet(wanted).Matches(labels.Set(part.GetLabels())) {
				more, _, _ := unstructured.NestedSlice(part.Object, "rules")
				rules = append(rules, more...)
			}
		}
		if len(rules) == 0 {
			t.Errorf("no role is part of %s", role.GetName())
		}
		role.Object["rules"] = rules
	}
	return roles
}

// as is a client of somebody who has one of the chart's roles in a namespace.
func (w *world) as(user, role string) client.Client {
	w.t.Helper()
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: w.meta(user), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	})
	config := rest.CopyConfig(env.Config)
	config.Impersonate.UserName = user
	c, err := client.New(config, client.Options{Scheme: env.Scheme})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TestWhoMayDoWhat has the chart's roles and policies judged by the API server.
func TestWhoMayDoWhat(t *testing.T) {
	w := newWorld(t)
	for _, o := range append(aggregated(t, fromChart(t, "roles.yaml")), fromChart(t, "admission.yaml")...) {
		if o.GetKind() == "ValidatingAdmissionPolicyBinding" {
			// The other tests, beside this one, approve without saying who.
			if err := unstructured.SetNestedField(o.Object, w.namespace, "spec", "matchResources", "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"); err != nil {
				t.Fatal(err)
			}
		}
		w.create(o)
		t.Cleanup(func() { _ = env.Client.Delete(context.WithoutCancel(t.Context()), o) })
	}
	users := map[string]client.Client{}
	for _, role := range []string{"viewer", "operator", "approver", "administrator"} {
		users[role] = w.as(role, "kubewright-"+role)
	}
	cluster := func(name string) *v1alpha1.Cluster {
		return &v1alpha1.Cluster{ObjectMeta: w.meta(name), Spec: v1alpha1.ClusterSpec{
			Version: version, OfflineManifestRef: v1alpha1.LocalReference{Name: "m"}, ControlPlane: v1alpha1.ControlPlane{Hosts: []string{"cp1"}},
			OperationPolicy: v1alpha1.ManualOperations,
		}}
	}
	w.create(cluster("c"))
	w.create(&v1alpha1.ClusterOperation{ObjectMeta: w.meta("o"), Spec: v1alpha1.ClusterOperationSpec{ClusterRef: v1alpha1.LocalReference{Name: "c"}, Type: v1alpha1.ConfigureOperation}})
	allowReset := func(c *v1alpha1.Cluster) {
		c.Annotations = map[string]string{v1alpha1.AllowResetAnnotation: fmt.Sprint("r", time.Now().UnixNano())}
	}
	resetOnDelete := func(c *v1alpha1.Cluster) { c.Spec.DeletionPolicy = v1alpha1.ResetOnDelete }
	automatic := func(c *v1alpha1.Cluster) { c.Spec.OperationPolicy = v1alpha1.AutomaticOperations }
	// Policies and aggregated roles take effect a moment after they are created.
	w.Eventually(func(g gomega.Gomega) {
		g.Expect(users["administrator"].List(t.Context(), &v1alpha1.ClusterList{}, client.InNamespace(w.namespace))).To(gomega.Succeed())
		g.Expect(users["operator"].List(t.Context(), &v1alpha1.HostList{}, client.InNamespace(w.namespace))).To(gomega.Succeed())
		o := &v1alpha1.ClusterOperation{}
		g.Expect(env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "o"}, o)).To(gomega.Succeed())
		err := patch(t, users["operator"], o, func() {
			o.Annotations = map[string]string{v1alpha1.ApproveAnnotation: fmt.Sprint("sha256:", time.Now().UnixNano())}
		})
		g.Expect(apierrors.IsForbidden(err)).To(gomega.BeTrue(), "%v", err)
		// Each policy by itself.
		for _, change := range []func(*v1alpha1.Cluster){allowReset, resetOnDelete, automatic} {
			c := w.cluster("c")
			before := client.MergeFrom(c.DeepCopy())
			change(c)
			err := users["operator"].Patch(t.Context(), c, before, client.DryRunAll)
			g.Expect(apierrors.IsForbidden(err)).To(gomega.BeTrue(), "%v", err)
		}
	}).WithTimeout(time.Minute).Should(gomega.Succeed())

	approve := func(by string) func(c client.Client) error {
		return func(c client.Client) error {
			o := w.operation("o")
			digest := fmt.Sprint("sha256:", time.Now().UnixNano())
			return patch(t, c, o, func() {
				o.Annotations = map[string]string{v1alpha1.ApproveAnnotation: digest, v1alpha1.ApprovedByAnnotation: by}
			})
		}
	}
	own := func(user string) func(c client.Client) error { return approve(user) }
	changing := func(change func(*v1alpha1.Cluster)) func(c client.Client) error {
		return func(c client.Client) error {
			o := w.cluster("c")
			return patch(t, c, o, func() { change(o) })
		}
	}
	create := func(c client.Client) error {
		o := cluster("")
		o.GenerateName = "new-"
		return c.Create(t.Context(), o)
	}
	see := func(c client.Client) error {
		return c.List(t.Context(), &v1alpha1.HostList{}, client.InNamespace(w.namespace))
	}
	manifest := func(c client.Client) error {
		return c.Create(t.Context(), &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{GenerateName: "m-"}, Spec: v1alpha1.OfflineManifestSpec{
			Source: "file:///x.bundle", Digest: "sha256:" + strings.Repeat("0", 64),
		}})
	}
	for _, line := range []struct {
		what string
		do   func(c client.Client) error
		// may lists the roles that may; all others are refused.
		may []string
		// says is in the refusal of an operator.
		says string
	}{
		{"look at hosts", see, []string{"viewer", "operator", "approver", "administrator"}, ""},
		{"create a Cluster", create, []string{"operator", "administrator"}, ""},
		{"create an OfflineManifest, which is nobody's who has a role in a namespace only", manifest, nil, ""},
		{"rename what was approved to somebody else", approve("root"), nil, "the verb approve on clusteroperations"},
		{"allow a Reset by hand", changing(allowReset), []string{"approver", "administrator"}, "the verb approve on clusters"},
		{"delete with Reset what is approved otherwise", changing(resetOnDelete),
			[]string{"approver", "administrator"}, "deletionPolicy Reset"},
		{"take approvals away", changing(automatic),
			[]string{"approver", "administrator"}, "operationPolicy Manual"},
	} {
		for role, user := range users {
			t.Run(role+": "+line.what, func(t *testing.T) {
				w.edit(w.cluster("c"), func() {}) // it is there
				w.restore()
				err := line.do(user)
				allowed := false
				for _, r := range line.may {
					allowed = allowed || r == role
				}
				switch {
				case allowed && err != nil:
					t.Errorf("it was refused: %v", err)
				case !allowed && err == nil:
					t.Error("it was done")
				case !allowed && role == "operator" && !strings.Contains(err.Error(), line.says):
					t.Errorf("the refusal does not say %q: %v", line.says, err)
				}
			})
		}
	}
	for role, may := range map[string]bool{"viewer": false, "operator": false, "approver": true, "administrator": true} {
		t.Run(role+": approve under the own name", func(t *testing.T) {
			if err := own(role)(users[role]); (err == nil) != may {
				t.Errorf("got %v, want that it is allowed: %t", err, may)
			}
		})
	}
}

// restore puts the Cluster back as the administrator of the API server would.
func (w *world) restore() {
	w.t.Helper()
	c := w.cluster("c")
	w.edit(c, func() {
		c.Annotations, c.Spec.OperationPolicy, c.Spec.DeletionPolicy = nil, v1alpha1.ManualOperations, v1alpha1.OrphanOnDelete
	})
}

func patch(t *testing.T, c client.Client, o client.Object, change func()) error {
	t.Helper()
	before := client.MergeFrom(o.DeepCopyObject().(client.Object))
	change()
	return c.Patch(t.Context(), o, before)
}

func TestAnOperationByHandIsApprovedWhereTheClusterWantsIt(t *testing.T) {
	runner := newRunner(planned("kubelet is missing"))
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	w.edit(c, func() { c.Spec.OperationPolicy = v1alpha1.ManualOperations })
	calls := len(runner.calls())
	w.byHand("sneaky", v1alpha1.ClusterOperationSpec{Type: v1alpha1.ConfigureOperation})
	w.reaches("sneaky", v1alpha1.OperationAwaitingApproval)
	for _, call := range runner.calls()[calls:] {
		if call.Operation.Name == "sneaky" && call.Operation.Spec.Mode != v1alpha1.PlanMode {
			t.Error("it was carried out without an approval")
		}
	}
	o := w.operation("sneaky")
	w.edit(o, func() {
		o.Annotations = map[string]string{v1alpha1.ApproveAnnotation: o.Status.PlanDigest, v1alpha1.ApprovedByAnnotation: "ada"}
	})
	w.Expect(w.reaches("sneaky", v1alpha1.OperationSucceeded).Status.ApprovedBy).To(gomega.Equal("ada"))
}

func TestAResetByHandNeedsTheClustersAllowance(t *testing.T) {
	runner := newRunner(nil)
	w, c, _ := oneHost(t, runner, nil)
	w.ready(c)
	w.byHand("wipe", v1alpha1.ClusterOperationSpec{Type: v1alpha1.ResetOperation})
	failed := w.reaches("wipe", v1alpha1.OperationFailed)
	w.Expect(says(failed)).To(gomega.ContainSubstring(v1alpha1.AllowResetAnnotation + "=NAME"))
	w.Expect(failed.Status.Conditions).To(gomega.ContainElement(gomega.HaveField("Reason", operation.ReasonResetNotAllowed)))
	// One that says it is the cluster's own is no better.
	forged := &v1alpha1.ClusterOperation{ObjectMeta: w.meta("demo-reset-9"), Spec: v1alpha1.ClusterOperationSpec{
		ClusterRef: v1alpha1.LocalReference{Name: "demo"}, Type: v1alpha1.ResetOperation,
	}}
	forged.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(w.cluster("demo"), v1alpha1.GroupVersion.WithKind("Cluster"))}
	w.create(forged)
	w.reaches("demo-reset-9", v1alpha1.OperationFailed)
	c = w.cluster("demo")
	w.edit(c, func() { metav1.SetMetaDataAnnotation(&c.ObjectMeta, v1alpha1.AllowResetAnnotation, "meant") })
	w.byHand("meant", v1alpha1.ClusterOperationSpec{Type: v1alpha1.ResetOperation})
	w.reaches("meant", v1alpha1.OperationSucceeded)
}
