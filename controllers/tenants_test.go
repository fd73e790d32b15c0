package controllers_test

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/cluster"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/controllers/operation"
	"github.com/kubewright/kubewright/pkg/pki"
)

// A tenant who may write Clusters and Hosts, and no Secrets, must not get at Secrets of others in the namespace.

func TestAHostIsToldNoSecretThatDoesNotSayItIsMeantForThat(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	// Anybody's Secret: of an application, say.
	w.create(&corev1.Secret{ObjectMeta: w.meta("database"), Data: map[string][]byte{v1alpha1.SSHPasswordKey: []byte("hunter2")}})
	w.create(&v1alpha1.Host{ObjectMeta: w.meta("cp1"), Spec: v1alpha1.HostSpec{Address: "192.0.2.11", CredentialsRef: v1alpha1.LocalReference{Name: "database"}}})
	runner := newRunner(nil)
	w.start(runner)
	c := w.createCluster("demo", nil, "cp1")
	says := w.stalled(c, cluster.ReasonOperationFailed)
	w.Expect(says).To(gomega.ContainSubstring("kubectl label secret database --namespace " + w.namespace + " " + v1alpha1.CredentialsMark + "=true"))
	w.Expect(runner.calls()).To(gomega.BeEmpty(), "no execution was begun")
	w.Expect(w.operations()[0].Status.Problems[0].Reason).To(gomega.Equal(operation.ReasonNotCredentials))

	secret := &corev1.Secret{}
	w.get(secret, "database")
	w.edit(secret, func() { secret.Labels = map[string]string{v1alpha1.CredentialsMark: "true"} })
	w.retry("demo", "again")
	w.ready(c)
}

func TestASecretOfAnotherIsNoAuthorityOfACluster(t *testing.T) {
	for _, name := range []string{"demo-ca", "demo-etcd", "demo-proxy", "demo-sa", "demo-backup"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.createManifest(version)
			w.createHost("cp1", "192.0.2.11")
			authorities, err := pki.NewAuthorities(time.Now())
			w.Expect(err).NotTo(gomega.HaveOccurred())
			secret := &corev1.Secret{ObjectMeta: w.meta(name), Data: map[string][]byte{"tls.crt": authorities.Cluster.Cert, "tls.key": authorities.Cluster.Key}}
			secret.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "of-another-life"}},
				v1alpha1.GroupVersion.WithKind("Cluster"))}
			w.create(secret)
			runner := newRunner(nil)
			w.start(runner)
			c := w.createCluster("demo", nil, "cp1")
			says := w.stalled(c, cluster.ReasonSecretNotAdopted)
			w.Expect(says).To(gomega.ContainSubstring("kubectl annotate secret " + name + " --namespace " + w.namespace + " " + v1alpha1.AdoptAnnotation + "=demo"))
			w.Expect(runner.calls()).To(gomega.BeEmpty())
			if name == "demo-backup" {
				return // this one holds no key of that kind
			}
			w.edit(secret, func() { secret.Annotations = map[string]string{v1alpha1.AdoptAnnotation: "demo"} })
			w.retry("demo", "again")
			w.ready(c)
		})
	}
}

func TestAKubeconfigOfAnotherIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	w.createManifest(version)
	w.createHost("cp1", "192.0.2.11")
	secret := &corev1.Secret{ObjectMeta: w.meta("demo-kubeconfig"), Data: map[string][]byte{"value": []byte("somebody's")}}
	w.create(secret)
	w.start(newRunner(nil))
	c := w.createCluster("demo", nil, "cp1")
	w.Expect(w.stalled(c, cluster.ReasonSecretNotAdopted)).To(gomega.ContainSubstring("demo-kubeconfig"))
	w.get(secret, "demo-kubeconfig")
	w.Expect(string(secret.Data["value"])).To(gomega.Equal("somebody's"))
	w.edit(secret, func() { secret.Annotations = map[string]string{v1alpha1.AdoptAnnotation: "demo"} })
	w.retry("demo", "again")
	w.ready(c)
	w.get(secret, "demo-kubeconfig")
	w.Expect(string(secret.Data["value"])).To(gomega.ContainSubstring("current-context"))
}

func TestABundlesServerIsToldNoSecretThatDoesNotSayItIsMeantForThat(t *testing.T) {
	w := newWorld(t)
	w.options.Sources.Namespace = w.namespace
	path, root := w.writeBundle(version)
	w.create(&corev1.Secret{ObjectMeta: w.meta("token"), Data: map[string][]byte{"password": []byte("hunter2")}})
	m := &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: w.manifest}, Spec: v1alpha1.OfflineManifestSpec{
		Source: "file://" + path, Digest: root.String(),
		Signature: &v1alpha1.SignaturePolicy{KeysRef: v1alpha1.KeysReference{Kind: v1alpha1.KeysInSecret, LocalReference: v1alpha1.LocalReference{Name: "token"}}},
	}}
	w.create(m)
	w.start(newRunner(nil))
	says := w.stalled(m, offlinemanifest.ReasonReferenceNotFound)
	w.Expect(says).To(gomega.ContainSubstring("kubectl label secret token"))
	w.Expect(says).NotTo(gomega.ContainSubstring("password"), "not even the names of its keys are told")
}
