package offlinemanifest

import (
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestWhichClustersStillNeedABundle(t *testing.T) {
	ran := func(names ...string) []v1alpha1.InstalledBundle {
		var out []v1alpha1.InstalledBundle
		for _, name := range names {
			out = append(out, v1alpha1.InstalledBundle{UsedBundle: v1alpha1.UsedBundle{OfflineManifest: name, Digest: "sha256:" + name}})
		}
		return out
	}
	used, successor := []string{"team/demo"}, func(name string) []v1alpha1.FormerCluster {
		return []v1alpha1.FormerCluster{{Cluster: "team/demo", Successor: name}}
	}
	for name, test := range map[string]struct {
		// names is what the cluster's spec names, bundles what its status does.
		names   string
		bundles []v1alpha1.InstalledBundle
		// unsettled means that the spec was not brought about yet, new that nothing runs yet.
		unsettled, new bool
		// clusters and former are what OfflineManifest a knew.
		clusters []string
		former   []v1alpha1.FormerCluster
		want     string
	}{
		"it names it still":                                             {names: "a", bundles: ran("a"), clusters: used},
		"it was given another that is not installed":                    {names: "b", bundles: ran("a"), unsettled: true, clusters: used, want: "b"},
		"it ran from it before what it runs from":                       {names: "b", bundles: ran("b", "a"), former: successor("b"), want: "b"},
		"it ran from it before, and nobody wrote that down here":        {names: "b", bundles: ran("b", "a"), want: "b"},
		"it runs from it, and what it was given failed":                 {names: "c", bundles: ran("a"), unsettled: true, former: successor("b"), want: "b"},
		"what came between was never installed":                         {names: "c", bundles: ran("c", "a"), former: successor("b"), want: "b"},
		"it ran from two others since":                                  {names: "c", bundles: ran("c", "b"), former: successor("b")},
		"it ran from two others since, and is given a third":            {names: "d", bundles: ran("c", "b"), unsettled: true},
		"it was given it and then another, and neither is there":        {names: "d", bundles: ran("c", "b"), unsettled: true, clusters: used, want: "d"},
		"it was given it in vain, and runs from others":                 {names: "c", bundles: ran("c", "b"), former: successor("c")},
		"another bundle had its name":                                   {names: "b", bundles: append(ran("b"), v1alpha1.InstalledBundle{UsedBundle: v1alpha1.UsedBundle{OfflineManifest: "a", Digest: "sha256:old"}}), former: successor("b")},
		"nothing of it runs yet":                                        {names: "b", new: true, clusters: used},
		"it says nothing of before, and was given one other":            {names: "b", bundles: ran("b"), former: successor("b"), want: "b"},
		"it says nothing at all, and was given one other":               {names: "b", former: successor("b"), want: "b"},
		"it says nothing at all, and was given two others":              {names: "c", former: successor("b")},
		"it says nothing at all, and is being given two others":         {names: "c", unsettled: true, former: successor("b"), want: "b"},
		"it says nothing of before, and was never seen to use this one": {names: "b", bundles: ran("b")},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "demo", Generation: 7}}
			cluster.Spec.OfflineManifestRef.Name = test.names
			cluster.Status = v1alpha1.ClusterStatus{Initialized: !test.new, InstalledGeneration: 7, Bundles: test.bundles}
			if test.unsettled {
				cluster.Status.InstalledGeneration = 6
			}
			manifest := &v1alpha1.OfflineManifest{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.OfflineManifestSpec{Digest: "sha256:a"}}
			manifest.Status.Clusters, manifest.Status.FormerClusters = test.clusters, test.former
			var want []v1alpha1.FormerCluster
			if test.want != "" {
				want = successor(test.want)
			}
			gomega.NewWithT(t).Expect(formerClusters(manifest, []*v1alpha1.Cluster{cluster})).To(gomega.Equal(want))
		})
	}
}
