package controllers_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/sign"
	"github.com/kubewright/kubewright/pkg/capi"
)

func TestSignaturesAreAskedForAsTheSpecSays(t *testing.T) {
	for name, test := range map[string]struct {
		policy          v1alpha1.SignatureDemand
		signed, trusted bool
		refused         bool
	}{
		"a signature by a trusted key is required and there":      {policy: v1alpha1.RequireSignature, signed: true, trusted: true},
		"a signature is required and not there":                   {policy: v1alpha1.RequireSignature, refused: true},
		"a signature is required and by another key":              {policy: v1alpha1.RequireSignature, signed: true, refused: true},
		"a signature by a trusted key is asked for and there":     {policy: v1alpha1.WarnOfSignature, signed: true, trusted: true},
		"a signature is asked for and not there":                  {policy: v1alpha1.WarnOfSignature},
		"a signature is asked for and by another key":             {policy: v1alpha1.WarnOfSignature, signed: true},
		"a signature is required when the policy does not say so": {refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.options.Sources.Namespace = w.namespace
			path, root := w.writeBundle(version)
			key, other := newKey(w), newKey(w)
			if test.signed {
				path = signed(w, path, key)
			}
			good := map[string]string{"site": string(key.Public().PEM())}
			keys := &corev1.ConfigMap{ObjectMeta: w.meta("keys"), Data: map[string]string{"other": string(other.Public().PEM())}}
			if test.trusted {
				keys.Data = good
			}
			w.create(keys)
			m := &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: w.manifest}, Spec: v1alpha1.OfflineManifestSpec{
				Source: "file://" + path, Digest: root.String(),
				Signature: &v1alpha1.SignaturePolicy{Policy: test.policy, KeysRef: v1alpha1.KeysReference{LocalReference: v1alpha1.LocalReference{Name: "keys"}}},
			}}
			w.create(m)
			w.start(newRunner(nil))
			if test.refused {
				w.stalled(m, offlinemanifest.ReasonNotSigned)
				w.Expect(capi.IsTrue(m, v1alpha1.AvailableCondition)).To(gomega.BeFalse())
				w.Expect(capi.Condition(m, v1alpha1.SignedCondition).Status).To(gomega.Equal(metav1.ConditionFalse))
			} else {
				w.ready(m)
				w.Expect(capi.IsTrue(m, v1alpha1.SignedCondition)).To(gomega.Equal(test.trusted))
			}
			if test.trusted {
				w.Expect(m.Status.Signature.KeyName).To(gomega.Equal("site"))
				w.Expect(m.Status.Signature.KeyID).To(gomega.Equal(key.Public().ID()))
			}
			if test.signed && !test.trusted {
				// The right key alone sets it right.
				w.edit(keys, func() { keys.Data = good })
				w.edit(m, func() { m.Labels = map[string]string{"look": "again"} })
				w.Eventually(func(g gomega.Gomega) {
					w.ready(m)
					g.Expect(capi.IsTrue(m, v1alpha1.SignedCondition)).To(gomega.BeTrue())
				}).Should(gomega.Succeed())
			}
		})
	}
}

func TestKeysThatAreNotThereAreSaidSo(t *testing.T) {
	w := newWorld(t)
	w.options.Sources.Namespace = w.namespace
	path, root := w.writeBundle(version)
	w.create(&v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: w.manifest}, Spec: v1alpha1.OfflineManifestSpec{
		Source: "file://" + path, Digest: root.String(), Signature: &v1alpha1.SignaturePolicy{KeysRef: v1alpha1.KeysReference{LocalReference: v1alpha1.LocalReference{Name: "none"}}},
	}})
	w.start(newRunner(nil))
	m := &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: w.manifest}}
	w.Expect(w.stalled(m, offlinemanifest.ReasonReferenceNotFound)).To(gomega.ContainSubstring("spec.signature.keysRef"))
}

func newKey(w *world) *sign.PrivateKey {
	w.t.Helper()
	key, err := sign.Generate(sign.Ed25519, "site")
	w.Expect(err).NotTo(gomega.HaveOccurred())
	return key
}

// signed writes a signed copy of a bundle beside it.
func signed(w *world, path string, key *sign.PrivateKey) string {
	w.t.Helper()
	b, err := bundle.Open(path)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	copied := filepath.Join(w.roots, "signed.bundle")
	w.Expect(sign.Sign(w.t.Context(), copied, b, key, time.Now())).To(gomega.Succeed())
	w.Expect(b.Close()).To(gomega.Succeed())
	return copied
}

func TestKeysMayBeInASecret(t *testing.T) {
	w := newWorld(t)
	w.options.Sources.Namespace = w.namespace
	path, root := w.writeBundle(version)
	key := newKey(w)
	private, err := key.PEM()
	w.Expect(err).NotTo(gomega.HaveOccurred())
	secret := &corev1.Secret{ObjectMeta: w.meta("keys"), Type: v1alpha1.CredentialsMark, Data: map[string][]byte{"site.key": private}}
	w.create(secret)
	// A ConfigMap of the same name must not be taken for it.
	w.create(&corev1.ConfigMap{ObjectMeta: w.meta("keys"), Data: map[string]string{"other": string(newKey(w).Public().PEM())}})
	m := &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: w.manifest}, Spec: v1alpha1.OfflineManifestSpec{
		Source: "file://" + signed(w, path, key), Digest: root.String(),
		Signature: &v1alpha1.SignaturePolicy{KeysRef: v1alpha1.KeysReference{Kind: v1alpha1.KeysInSecret, LocalReference: v1alpha1.LocalReference{Name: "keys"}}},
	}}
	w.create(m)
	w.start(newRunner(nil))
	says := w.stalled(m, offlinemanifest.ReasonReferenceNotFound)
	w.Expect(says).To(gomega.ContainSubstring("site.key is not a public key"))
	w.Expect(says).NotTo(gomega.ContainSubstring("PRIVATE"))

	w.edit(secret, func() { secret.Data = map[string][]byte{"site.pub": key.Public().PEM()} })
	w.edit(m, func() { m.Labels = map[string]string{"look": "again"} })
	w.Eventually(func(g gomega.Gomega) {
		w.ready(m)
		g.Expect(m.Status.Signature.KeyName).To(gomega.Equal("site.pub"))
	}).Should(gomega.Succeed())
	w.Expect(m.Status.Signature.CreatedAt.Time).To(gomega.BeTemporally("==", bundleCreated(w, path)))
}

// bundleCreated is the time a bundle says it was created at.
func bundleCreated(w *world, path string) time.Time {
	w.t.Helper()
	b, err := bundle.Open(path)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	defer b.Close() //nolint:errcheck // read only
	return b.Config().Created
}

func TestAnOlderSignedBundleIsRefusedOrWarnedOf(t *testing.T) {
	for name, test := range map[string]struct {
		policy v1alpha1.SignatureDemand
		later  time.Duration
		reason string
		ready  bool
	}{
		"created at the very time":              {v1alpha1.RequireSignature, 0, "", true},
		"created before it":                     {v1alpha1.RequireSignature, time.Second, offlinemanifest.ReasonReplayed, false},
		"created before it, which is warned of": {v1alpha1.WarnOfSignature, time.Second, offlinemanifest.ReasonReplayed, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.options.Sources.Namespace = w.namespace
			path, root := w.writeBundle(version)
			key := newKey(w)
			w.create(&corev1.ConfigMap{ObjectMeta: w.meta("keys"), Data: map[string]string{"site": string(key.Public().PEM())}})
			least := metav1.NewTime(bundleCreated(w, path).Add(test.later))
			m := &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: w.manifest}, Spec: v1alpha1.OfflineManifestSpec{
				Source: "file://" + signed(w, path, key), Digest: root.String(),
				Signature: &v1alpha1.SignaturePolicy{Policy: test.policy, KeysRef: v1alpha1.KeysReference{LocalReference: v1alpha1.LocalReference{Name: "keys"}}, MinCreated: &least},
			}}
			w.create(m)
			w.start(newRunner(nil))
			if test.ready {
				w.ready(m)
			} else {
				w.stalled(m, test.reason)
				w.Expect(capi.IsTrue(m, v1alpha1.AvailableCondition)).To(gomega.BeFalse())
			}
			condition := capi.Condition(m, v1alpha1.SignedCondition)
			if test.reason == "" {
				w.Expect(condition.Status).To(gomega.Equal(metav1.ConditionTrue))
				return
			}
			w.Expect(condition.Status).To(gomega.Equal(metav1.ConditionFalse))
			w.Expect(condition.Reason).To(gomega.Equal(test.reason))
			// The policy is judged anew when it changes.
			w.edit(m, func() { m.Spec.Signature.MinCreated = nil })
			w.Eventually(func(g gomega.Gomega) {
				w.ready(m)
				g.Expect(capi.IsTrue(m, v1alpha1.SignedCondition)).To(gomega.BeTrue())
			}).Should(gomega.Succeed())
		})
	}
}
