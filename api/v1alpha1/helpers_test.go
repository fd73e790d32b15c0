package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/testenv"
)

const (
	bundleDigest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	hostKey      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqyV3Rr8dXG0yBq0B6Yx0T1mRSnZ3vVtXb5F0m0wQ3n node1"
)

func cluster() *v1alpha1.Cluster {
	return &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "c-"},
		Spec: v1alpha1.ClusterSpec{
			Version:            "v1.36.3",
			OfflineManifestRef: v1alpha1.LocalReference{Name: "kubernetes-1.36"},
			ControlPlane:       v1alpha1.ControlPlane{Hosts: []string{"cp-1", "cp-2", "cp-3"}},
			Workers:            []v1alpha1.WorkerPool{{Name: "default", Hosts: []string{"worker-1"}}},
		},
	}
}

func host() *v1alpha1.Host {
	return &v1alpha1.Host{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "h-"},
		Spec: v1alpha1.HostSpec{
			Address:        "192.0.2.10",
			CredentialsRef: v1alpha1.LocalReference{Name: "ssh"},
		},
	}
}

func operation() *v1alpha1.ClusterOperation {
	return &v1alpha1.ClusterOperation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "o-"},
		Spec: v1alpha1.ClusterOperationSpec{
			ClusterRef: v1alpha1.LocalReference{Name: "demo"},
			Type:       v1alpha1.InstallOperation,
		},
	}
}

func offlineManifest() *v1alpha1.OfflineManifest {
	return &v1alpha1.OfflineManifest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "m-"},
		Spec: v1alpha1.OfflineManifestSpec{
			Source: "file:///srv/bundles/kubernetes-1.36.bundle",
			Digest: bundleDigest,
		},
	}
}

// expect fails unless err holds every wanted text, or is nil when nothing is wanted.
func expect(t *testing.T, err error, want ...string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Fatalf("it was refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("it was accepted, want an error with %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

// raw gives an object as a person would write it: without the empty values a typed client sends.
func raw(kind, namespace string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetGenerateName("raw-")
	return u
}

// overrides are those of the cluster, of its control plane, and of its pools.
func overrides(c *v1alpha1.Cluster) []any {
	all := []any{c.Spec.Overrides, c.Spec.ControlPlane.Overrides}
	for _, pool := range c.Spec.Workers {
		all = append(all, pool.Overrides)
	}
	return all
}

func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}

// changed returns a copy of obj after change.
func changed[T client.Object](obj T, change func(T)) T {
	c := obj.DeepCopyObject().(T)
	change(c)
	return c
}

func codecs(env *testenv.Env) runtime.NegotiatedSerializer {
	return serializer.NewCodecFactory(env.Scheme).WithoutConversion()
}
