package ways_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster/ways"
	"github.com/kubewright/kubewright/pkg/addresses"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/capi"
	"github.com/kubewright/kubewright/pkg/ssh/sshtest"
)

func TestEveryControlPlaneIsTriedDirectlyAndThenThroughSSH(t *testing.T) {
	sshd := sshtest.Start(t, sshtest.Config{
		Users: map[string]sshtest.User{"root": {Password: "secret"}}, Handler: func(*sshtest.Exec) int { return 127 },
	})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "fleet", Name: name} }
	host := func(name string, spec v1alpha1.HostSpec, cluster string) *v1alpha1.Host {
		h := &v1alpha1.Host{ObjectMeta: meta(name), Spec: spec}
		h.Spec.CredentialsRef.Name = "ssh"
		if cluster != "" {
			h.Status.Claim = &v1alpha1.HostClaim{ClusterName: cluster, ClusterUID: "uid"}
		}
		return h
	}
	cluster := &v1alpha1.Cluster{ObjectMeta: meta("demo")}
	cluster.UID = "uid"
	cluster.Spec.ControlPlane.Hosts = []string{"cp-1", "cp-2", "cp-3"}
	objects := []client.Object{
		cluster,
		host("cp-1", v1alpha1.HostSpec{Address: "192.0.2.1", InternalAddress: "10.0.0.1"}, "demo"),
		host("cp-2", v1alpha1.HostSpec{Address: sshd.Host(), Port: int32(sshd.Port()), HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeyStrict, Keys: sshd.HostKeyLines()}}, "demo"),
		host("cp-3", v1alpha1.HostSpec{Address: "192.0.2.3"}, "another"),
	}
	cluster.Spec.OfflineManifestRef.Name = "named"
	cluster.Status.Bundles = []v1alpha1.InstalledBundle{{UsedBundle: v1alpha1.UsedBundle{OfflineManifest: "present"}}, {UsedBundle: v1alpha1.UsedBundle{OfflineManifest: "former"}}}
	var store bundles
	live := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	found, err := (&ways.Hosts{Live: live, Addresses: addresses.Local(), Bundles: &store}).Ways(t.Context(), client.ObjectKeyFromObject(cluster))
	if err != nil {
		t.Fatal(err)
	}
	var names [][]string
	for _, group := range found {
		var list []string
		for _, w := range group {
			list = append(list, w.Name)
		}
		names = append(names, list)
	}
	want := [][]string{
		{"control plane cp-1 at 10.0.0.1", "control plane cp-1 at 192.0.2.1", "control plane cp-2 at " + sshd.Host()},
		{"control plane cp-1 through SSH", "control plane cp-2 through SSH"},
	}
	if !slices.EqualFunc(names, want, slices.Equal) {
		t.Fatalf("the ways are %q, want %q", names, want)
	}
	t.Run("a host without credentials is named", func(t *testing.T) {
		if _, err := found[1][1].Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials of host cp-2") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("credentials are read when the way is taken, and an sshd that forbids forwarding is passed by the helpers of the cluster's bundles", func(t *testing.T) {
		secret := &corev1.Secret{ObjectMeta: meta("ssh"), Data: map[string][]byte{v1alpha1.SSHPasswordKey: []byte("secret")}}
		if err := live.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		unmeant := new(capi.NotCredentialsError)
		if _, err := found[1][1].Dial(t.Context()); !errors.As(err, &unmeant) {
			t.Errorf("a Secret that does not say what it is for: got %v", err)
		}
		capi.MarkCredentials(secret)
		if err := live.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if _, err := found[1][1].Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "cp-2") || !strings.Contains(err.Error(), "prohibited") || !strings.Contains(err.Error(), "the host has none") {
			t.Errorf("got %v", err)
		}
		if want := []string{"present", "former", "named"}; !slices.Equal(store.asked, want) {
			t.Errorf("helpers of %v were looked for, want %v", store.asked, want)
		}
	})
}

// bundles hold one helper, which no host has.
type bundles struct{ asked []string }

func (b *bundles) Helpers(manifests ...string) []*bundle.File {
	b.asked = manifests
	return []*bundle.File{{Name: "kubewright-host", Kind: bundle.FileHelper, Digest: digest.FromString("a helper")}}
}
