package offlinemanifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestWhichSourcesAreAllowed(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(root, "a.bundle"), filepath.Join(outside, "b.bundle"), root + "-beside"} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Remove(root + "-beside") })
	for link, to := range map[string]string{"inside.bundle": filepath.Join(root, "a.bundle"), "outside.bundle": filepath.Join(outside, "b.bundle")} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		source, digest, reason string
	}{
		"a file below the root":                 {"file://" + root + "/a.bundle", digest, ""},
		"a link that stays below the root":      {"file://" + root + "/inside.bundle", digest, ""},
		"a link that leads out":                 {"file://" + root + "/outside.bundle", digest, ReasonSourceNotAllowed},
		"a file outside":                        {"file://" + outside + "/b.bundle", digest, ReasonSourceNotAllowed},
		"a path that climbs out":                {"file://" + root + "/../" + filepath.Base(outside) + "/b.bundle", digest, ReasonSourceNotAllowed},
		"a path that only begins like the root": {"file://" + root + "-beside", digest, ReasonSourceNotAllowed},
		"the root itself":                       {"file://" + root, digest, ReasonSourceNotAllowed},
		"a file that is not there":              {"file://" + root + "/c.bundle", digest, ReasonNotFound},
		"another scheme":                        {"https://example.com/a.bundle", digest, ReasonSourceNotAllowed},
		"another machine":                       {"file://server" + root + "/a.bundle", digest, ReasonSourceNotAllowed},
		"a query":                               {"file://" + root + "/a.bundle?archive=tar", digest, ReasonSourceNotAllowed},
		"no scheme":                             {root + "/a.bundle", digest, ReasonSourceNotAllowed},
		"a digest of another kind":              {"file://" + root + "/a.bundle", "sha512:" + strings.Repeat("a", 128), ReasonInvalidDigest},
		"a digest that is none":                 {"file://" + root + "/a.bundle", "abc", ReasonInvalidDigest},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			id, err := locate(v1alpha1.OfflineManifestSpec{Source: test.source, Digest: test.digest}, []string{root})
			if test.reason == "" {
				g.Expect(err).NotTo(gomega.HaveOccurred())
				g.Expect(id.Path).To(gomega.Equal(filepath.Join(root, "a.bundle")))
				g.Expect(id.Inode).NotTo(gomega.BeZero())
				return
			}
			refused, ok := errors.AsType[*refusal](err)
			g.Expect(ok).To(gomega.BeTrue(), "%v", err)
			g.Expect(refused.reason).To(gomega.Equal(test.reason), refused.message)
		})
	}
}
