package cluster

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestAClusterRemembersWhatItRunsFromAndRanFromBefore(t *testing.T) {
	use := func(name string) v1alpha1.UsedBundle {
		return v1alpha1.UsedBundle{OfflineManifest: name, Digest: "sha256:" + name}
	}
	installed := func(name, version string) v1alpha1.InstalledBundle {
		return v1alpha1.InstalledBundle{UsedBundle: use(name), Version: version}
	}
	a35, a36, b36, c36 := installed("a", "v1.35.4"), installed("a", "v1.36.3"), installed("b", "v1.36.3"), installed("c", "v1.36.3")
	for name, test := range map[string]struct {
		before     []v1alpha1.InstalledBundle
		version    string
		generation int64
		by         string
		want       []v1alpha1.InstalledBundle
	}{
		"the first":                                   {nil, "v1.35.4", 1, "a", []v1alpha1.InstalledBundle{a35}},
		"the same again":                              {[]v1alpha1.InstalledBundle{a35}, "v1.35.4", 2, "a", []v1alpha1.InstalledBundle{a35}},
		"another version of the same":                 {[]v1alpha1.InstalledBundle{a35}, "v1.36.3", 2, "a", []v1alpha1.InstalledBundle{a36, a35}},
		"another bundle":                              {[]v1alpha1.InstalledBundle{a35}, "v1.36.3", 2, "b", []v1alpha1.InstalledBundle{b36, a35}},
		"a third, which makes the first forgotten":    {[]v1alpha1.InstalledBundle{b36, a35}, "v1.36.3", 3, "c", []v1alpha1.InstalledBundle{c36, b36}},
		"the one before again":                        {[]v1alpha1.InstalledBundle{b36, a36}, "v1.36.3", 3, "a", []v1alpha1.InstalledBundle{a36, b36}},
		"an operation of an older generation":         {[]v1alpha1.InstalledBundle{b36, a35}, "v1.36.3", 1, "a", []v1alpha1.InstalledBundle{b36, a35}},
		"an operation that does not say from what":    {[]v1alpha1.InstalledBundle{a35}, "v1.36.3", 2, "", []v1alpha1.InstalledBundle{a35}},
		"a cluster of which the version is not known": {[]v1alpha1.InstalledBundle{a35}, "", 2, "b", []v1alpha1.InstalledBundle{a35}},
	} {
		t.Run(name, func(t *testing.T) {
			status := &v1alpha1.ClusterStatus{Bundles: test.before, Version: test.version, InstalledGeneration: min(2, int64(len(test.before)))}
			operation := &v1alpha1.ClusterOperation{Spec: v1alpha1.ClusterOperationSpec{ClusterGeneration: test.generation}}
			if test.by != "" {
				used := use(test.by)
				operation.Status.Bundle = &used
			}
			gomega.NewWithT(t).Expect(withInstalled(status, operation)).To(gomega.Equal(test.want))
		})
	}
}
