package v1alpha1_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/testenv"
)

// wrongForms are what somebody may write, by mistake or on purpose, into a field of a type.
func wrongForms(s apiextensionsv1.JSONSchemaProps) []any {
	texts := []any{
		"", " ", "soon", "1ns", "-5m", "9999999h", "1.5.7", "NaN", "\x00", "\x1b[31mred", "\u202ereversed", "a\nb", "$(id)", "'; id; '", "../../etc/passwd",
		strings.Repeat("x", 70_000), int64(1), true, map[string]any{"a": "b"}, []any{"a"},
	}
	switch s.Type {
	case "string":
		return texts
	case "integer", "number":
		return []any{int64(-1), int64(-1 << 63), int64(1 << 31), int64(1<<63 - 1), 1.5, 1e300, "5", "", true}
	case "boolean":
		return []any{"yes", "true", int64(1), ""}
	}
	return nil
}

// testEveryWrongForm writes wrong forms into every scalar of every kind. The API refuses them, or else the program reads what is stored: a
// list with one object that cannot be read would stop the manager for everybody.
func testEveryWrongForm(t *testing.T, env *testenv.Env) {
	for _, kind := range []struct {
		name string
		list client.ObjectList
		base map[string]any
	}{
		{"Cluster", &v1alpha1.ClusterList{}, asUnstructured(t, env, cluster())},
		{"Host", &v1alpha1.HostList{}, asUnstructured(t, env, host())},
		{"ClusterOperation", &v1alpha1.ClusterOperationList{}, asUnstructured(t, env, operation())},
		{"OfflineManifest", &v1alpha1.OfflineManifestList{}, asUnstructured(t, env, offlineManifest())},
	} {
		crd := crds(t)[kind.name]
		version := crd.Spec.Versions[0]
		for _, section := range []string{"spec", "status"} {
			t.Run(kind.name+" "+section, func(t *testing.T) {
				stored, refused := 0, 0
				for _, f := range fieldsOf(section, version.Schema.OpenAPIV3Schema.Properties[section]) {
					for _, wrong := range wrongForms(f.schema) {
						object := newOf(kind.name, crd.Spec.Scope, kind.base)
						accepted := write(t, env, object, section, f.path, wrong)
						if accepted == nil {
							refused++
							continue
						}
						stored++
						if err := env.Client.List(t.Context(), kind.list); err != nil {
							t.Errorf("%s: %.40q is stored, and no object can be read any more: %v", f.path, fmt.Sprint(wrong), err)
						}
						if err := env.Client.Delete(t.Context(), accepted); err != nil {
							t.Fatal(err)
						}
					}
				}
				t.Logf("%d wrong forms were refused, %d stored and read", refused, stored)
				if refused == 0 {
					t.Error("nothing was refused, so nothing was tried")
				}
			})
		}
	}
}

// write stores an object with a value at a path; nil when that is refused.
func write(t *testing.T, env *testenv.Env, object *unstructured.Unstructured, section, path string, value any) *unstructured.Unstructured {
	t.Helper()
	if section == "spec" {
		set(object.Object, path, value)
		if err := env.Client.Create(t.Context(), object); err != nil {
			refusal(t, path, err)
			return nil
		}
		return object
	}
	if err := env.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	set(object.Object, path, value)
	if err := env.Client.Status().Update(t.Context(), object); err != nil {
		refusal(t, path, err)
		if err := env.Client.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	return object
}

// refusal fails when an error is not about what was written.
func refusal(t *testing.T, path string, err error) {
	t.Helper()
	if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && !apierrors.IsRequestEntityTooLargeError(err) {
		t.Errorf("%s: %v", path, err)
	}
}

// set puts a value at a path such as spec.workers[].labels{}, making what is above it.
func set(in map[string]any, path string, value any) {
	name, rest, more := strings.Cut(path, ".")
	plain := strings.TrimRight(name, "[]{}")
	marks := name[len(plain):]
	next := value
	if more {
		below := map[string]any{}
		if first := at(in[plain], marks); first != nil {
			below = first
		}
		set(below, rest, value)
		next = below
	}
	for ; marks != ""; marks = marks[:len(marks)-2] {
		if strings.HasSuffix(marks, "[]") {
			next = []any{next}
		} else {
			next = map[string]any{"key": next}
		}
	}
	in[plain] = next
}

// at is what is there already below a field, behind its lists.
func at(value any, marks string) map[string]any {
	for ; strings.HasPrefix(marks, "[]"); marks = marks[2:] {
		list, _ := value.([]any)
		if len(list) == 0 {
			return nil
		}
		value = list[0]
	}
	m, _ := value.(map[string]any)
	return maps.Clone(m)
}

func newOf(kind string, scope apiextensionsv1.ResourceScope, base map[string]any) *unstructured.Unstructured {
	u := (&unstructured.Unstructured{Object: base}).DeepCopy()
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetName("")
	u.SetGenerateName("wrong-")
	if scope == apiextensionsv1.NamespaceScoped {
		u.SetNamespace("default")
	}
	return u
}

// asUnstructured is an object as the API keeps it, defaults included.
func asUnstructured(t *testing.T, env *testenv.Env, object client.Object) map[string]any {
	t.Helper()
	if err := env.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	gvk, err := env.Client.GroupVersionKindFor(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(object), u); err != nil {
		t.Fatal(err)
	}
	if err := env.Client.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	for _, field := range slices.Collect(maps.Keys(u.Object)) {
		if field != "spec" {
			delete(u.Object, field)
		}
	}
	return u.Object
}

// testWhatWasStoredBefore stores what the API did not refuse in an earlier version. What cannot be read counts as left out, and keeps nobody
// from reading the others.
func testWhatWasStoredBefore(t *testing.T, env *testenv.Env) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	crd.SetName("clusters.kubewright.io")
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Fatal(err)
	}
	judged := crd.DeepCopy()
	drift := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["drift"].Properties
	interval := drift["interval"]
	interval.XValidations, interval.MaxLength = nil, nil
	drift["interval"] = interval
	if err := env.Client.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	old := raw("Cluster", "default", map[string]any{
		"version": "v1.36.3", "offlineManifestRef": map[string]any{"name": "m"}, "controlPlane": map[string]any{"hosts": []any{"cp-1"}}, "drift": map[string]any{"interval": "soon"},
	})
	for { // the API server takes a moment to use the changed schema
		err := env.Client.Create(t.Context(), old)
		if err == nil {
			break
		}
		if !apierrors.IsInvalid(err) || t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	judged.ResourceVersion = crd.ResourceVersion
	if err := env.Client.Update(t.Context(), judged); err != nil {
		t.Fatal(err)
	}
	list := &v1alpha1.ClusterList{}
	if err := env.Client.List(t.Context(), list, client.InNamespace("default")); err != nil {
		t.Fatalf("no Cluster can be read any more: %v", err)
	}
	read := &v1alpha1.Cluster{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(old), read); err != nil {
		t.Fatal(err)
	}
	if got := read.Spec.Drift.Interval; got.Invalid != "soon" || got.Or(7) != 7 {
		t.Errorf("it was read as %+v", got)
	}
	// A controller writes the object, its finalizer for example, and leaves alone what it could not read.
	after := read.DeepCopy()
	after.Finalizers = append(after.Finalizers, "kubewright.io/test")
	if err := env.Client.Patch(t.Context(), after, client.MergeFrom(read)); err != nil {
		t.Fatal(err)
	}
	if after.Spec.Drift.Interval.Invalid != "soon" || after.Generation != read.Generation {
		t.Errorf("writing something else changed the spec: %+v", after.Spec.Drift)
	}
	after.Finalizers = nil
	if err := env.Client.Update(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	if err := env.Client.Delete(t.Context(), after); err != nil {
		t.Fatal(err)
	}
}
