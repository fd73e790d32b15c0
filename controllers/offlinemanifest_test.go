package controllers_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/pkg/capi"
)

func TestABundleIsVerifiedAndDescribed(t *testing.T) {
	w := newWorld(t)
	path, root := w.writeBundle(version)
	w.start(newRunner(nil))
	m := w.createManifestOf(path, root)
	w.ready(m)
	info, err := os.Stat(path)
	w.Expect(err).NotTo(gomega.HaveOccurred())
	w.Expect(m.Status.SizeBytes).To(gomega.Equal(info.Size()))
	w.Expect(m.Status.VerifiedAt).NotTo(gomega.BeNil())
	w.Expect(m.Status.Releases).To(gomega.Equal([]v1alpha1.OfflineRelease{{
		KubernetesVersion: version, Platforms: []string{"linux/amd64"}, Components: map[string]string{"kubewright": "v0.1.0"},
	}}))
	w.Expect(capi.IsTrue(m, v1alpha1.FetchedCondition)).To(gomega.BeTrue())
	w.Expect(capi.IsTrue(m, v1alpha1.VerifiedCondition)).To(gomega.BeTrue())
}

func TestABundleThatCannotBeUsedSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		spoil  func(w *world, path string, root digest.Digest) (string, digest.Digest)
		reason string
		says   string
	}{
		"another digest is trusted": {
			func(_ *world, path string, _ digest.Digest) (string, digest.Digest) {
				return path, digest.FromString("another")
			},
			offlinemanifest.ReasonDigestMismatch, "is the trusted one",
		},
		"there is no file": {
			func(_ *world, path string, root digest.Digest) (string, digest.Digest) { return path + "x", root },
			offlinemanifest.ReasonNotFound, ".bundlex",
		},
		"the file is not below an allowed directory": {
			func(_ *world, _ string, root digest.Digest) (string, digest.Digest) { return "/etc/hostname", root },
			offlinemanifest.ReasonSourceNotAllowed, "/etc/hostname",
		},
		"a link leads out of the allowed directory": {
			func(w *world, _ string, root digest.Digest) (string, digest.Digest) {
				link := filepath.Join(w.roots, "link.bundle")
				w.Expect(os.Symlink("/etc/hostname", link)).To(gomega.Succeed())
				return link, root
			},
			offlinemanifest.ReasonSourceNotAllowed, "is a link to",
		},
		"it is a directory": {
			func(w *world, _ string, root digest.Digest) (string, digest.Digest) {
				dir := filepath.Join(w.roots, "dir")
				w.Expect(os.Mkdir(dir, 0o700)).To(gomega.Succeed())
				return dir, root
			},
			offlinemanifest.ReasonNotFound, "is not a regular file",
		},
		"it was cut off": {
			func(w *world, path string, root digest.Digest) (string, digest.Digest) {
				info, err := os.Stat(path)
				w.Expect(err).NotTo(gomega.HaveOccurred())
				w.Expect(os.Truncate(path, info.Size()/2)).To(gomega.Succeed())
				return path, root
			},
			offlinemanifest.ReasonCorrupt, "truncated in entry",
		},
		"one byte of content is another": {
			func(w *world, path string, root digest.Digest) (string, digest.Digest) {
				content, err := os.ReadFile(path)
				w.Expect(err).NotTo(gomega.HaveOccurred())
				w.flip(path, int64(indexOf(content, "helper of ")))
				return path, root
			},
			offlinemanifest.ReasonCorrupt, "entry blobs/sha256/",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			path, root := w.writeBundle(version)
			path, root = test.spoil(w, path, root)
			w.start(newRunner(nil))
			m := w.createManifestOf(path, root)
			w.Expect(w.stalled(m, test.reason)).To(gomega.ContainSubstring(test.says))
			w.Expect(capi.IsTrue(m, v1alpha1.ReadyCondition)).To(gomega.BeFalse())
		})
	}
}

func indexOf(content []byte, text string) int {
	for i := range content {
		if string(content[i:min(len(content), i+len(text))]) == text {
			return i
		}
	}
	return -1
}

func TestAVerifiedFileIsNotHashedAgainUnlessItChanged(t *testing.T) {
	w := newWorld(t)
	path, root := w.writeBundle(version)
	before := time.Now().Add(-time.Hour)
	w.options.Now = func() time.Time { return before }
	stop := w.start(newRunner(nil))
	m := w.createManifestOf(path, root)
	w.ready(m)
	first := m.Status.VerifiedAt.Time
	stop()

	later := time.Now()
	w.options.Now = func() time.Time { return later }
	w.createHost("cp1", "192.0.2.11")
	stop = w.start(newRunner(nil))
	w.ready(w.createCluster("demo", nil, "cp1")) // so the bundle was opened
	w.ready(m)
	w.Expect(m.Status.VerifiedAt.Time).To(gomega.Equal(first))
	stop()

	w.Expect(os.Chtimes(path, later, later)).To(gomega.Succeed())
	w.start(newRunner(nil))
	w.Eventually(func(g gomega.Gomega) {
		w.ready(m)
		g.Expect(m.Status.VerifiedAt.Time).To(gomega.BeTemporally(">", first))
	}).Should(gomega.Succeed())
}

func TestABundleInUseIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.createHost("cp1", "192.0.2.11")
	path, root := w.writeBundle(version)
	w.start(newRunner(nil))
	m := w.createManifestOf(path, root)
	c := w.createCluster("demo", nil, "cp1")
	w.ready(c)
	w.Eventually(func() []string {
		w.ready(m)
		return m.Status.Clusters
	}).Should(gomega.Equal([]string{w.namespace + "/demo"}))
	w.delete(m)
	w.Expect(w.stalled(m, offlinemanifest.ReasonInUse)).To(gomega.ContainSubstring("demo"))
	w.delete(c)
	w.gone(m)
}

// What cannot be remembered is only warned of.
func TestABundleIsUsedAlsoWhenItsVerificationCannotBeRemembered(t *testing.T) {
	w := newWorld(t)
	w.state = filepath.Join(t.TempDir(), "file")
	w.Expect(os.WriteFile(w.state, nil, 0o600)).To(gomega.Succeed())
	path, root := w.writeBundle(version)
	w.start(newRunner(nil))
	m := w.createManifestOf(path, root)
	w.ready(m)
	verified := capi.Condition(m, v1alpha1.VerifiedCondition)
	w.Expect(verified.Status).To(gomega.Equal(metav1.ConditionTrue))
	w.Expect(verified.Message).To(gomega.ContainSubstring("--cache-dir"))
}
