package offlinemanifest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// followFormer keeps track of Clusters that were moved to another OfflineManifest. It runs before the list of users is made anew, whose
// old state says who they were.
func followFormer(ctx context.Context, s *scope) (phase.Next, error) {
	var installed v1alpha1.ClusterList
	if err := s.Client.List(ctx, &installed, client.MatchingFields{index.ClustersByInstalled: s.manifest.Name}); err != nil {
		return phase.Stop(), fmt.Errorf("list clusters: %w", err)
	}
	known := map[string]*v1alpha1.Cluster{}
	for i := range installed.Items {
		known[client.ObjectKeyFromObject(&installed.Items[i]).String()] = &installed.Items[i]
	}
	for name := range successors(&s.manifest.Status) {
		if known[name] != nil {
			continue
		}
		cluster := &v1alpha1.Cluster{}
		namespace, short, _ := strings.Cut(name, "/")
		err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: short}, cluster)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return phase.Stop(), fmt.Errorf("look at Cluster %s: %w", name, err)
		}
		known[name] = cluster
	}
	s.manifest.Status.FormerClusters = formerClusters(s.manifest, slices.Collect(maps.Values(known)))
	return phase.Continue(), nil
}

// successors are the Clusters that were seen to use an OfflineManifest, with what they were given after it as far as that is known.
func successors(status *v1alpha1.OfflineManifestStatus) map[string]string {
	known := map[string]string{}
	for _, name := range status.Clusters {
		known[name] = ""
	}
	for _, f := range status.FormerClusters {
		known[f.Cluster] = f.Successor
	}
	return known
}

// formerClusters are those of the clusters that do not name an OfflineManifest any more, and may still need it, sorted.
func formerClusters(manifest *v1alpha1.OfflineManifest, clusters []*v1alpha1.Cluster) []v1alpha1.FormerCluster {
	seen := successors(&manifest.Status)
	var former []v1alpha1.FormerCluster
	for _, cluster := range clusters {
		successor, used := seen[client.ObjectKeyFromObject(cluster).String()]
		if entry, needed := formerUse(manifest, used, successor, cluster); needed {
			former = append(former, entry)
		}
	}
	slices.SortFunc(former, func(a, b v1alpha1.FormerCluster) int { return strings.Compare(a.Cluster, b.Cluster) })
	return former
}

// formerUse says whether a Cluster that names another OfflineManifest may still need this one: because its status says that it runs from
// it, or ran from it before what it runs from now; or because it was seen to use it, and has not settled since, so that some of its hosts
// may be as this one left them. Of a Cluster that does not say what it ran from before, the OfflineManifest it was seen to use is kept
// until it was given, and has installed, yet another one.
func formerUse(manifest *v1alpha1.OfflineManifest, used bool, successor string, cluster *v1alpha1.Cluster) (v1alpha1.FormerCluster, bool) {
	now := cluster.Spec.OfflineManifestRef.Name
	if now == manifest.Name || !cluster.Status.Initialized {
		return v1alpha1.FormerCluster{}, false // named anyway, or nothing of it runs anywhere
	}
	if successor == "" {
		successor = now
	}
	entry := v1alpha1.FormerCluster{Cluster: client.ObjectKeyFromObject(cluster).String(), Successor: successor}
	installed := cluster.Status.Bundles
	if slices.ContainsFunc(installed, func(b v1alpha1.InstalledBundle) bool {
		return b.OfflineManifest == manifest.Name && b.Digest == manifest.Spec.Digest
	}) {
		return entry, true
	}
	settled := cluster.Status.InstalledGeneration == cluster.Generation
	saysBoth := len(installed) > 1
	return entry, used && (!settled || !saysBoth && now == successor)
}

// manifestsOfCluster are the OfflineManifests that a Cluster names or named.
func (r *Reconciler) manifestsOfCluster(ctx context.Context, object client.Object) []reconcile.Request {
	cluster := object.(*v1alpha1.Cluster)
	name := client.ObjectKeyFromObject(cluster).String()
	requests := []reconcile.Request{{NamespacedName: client.ObjectKey{Name: cluster.Spec.OfflineManifestRef.Name}}}
	for _, b := range cluster.Status.Bundles {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: b.OfflineManifest}})
	}
	var list v1alpha1.OfflineManifestList
	if r.Client.List(ctx, &list) != nil {
		return requests // the cache does not know the kind yet; every object is looked at when it does
	}
	for i := range list.Items {
		m := &list.Items[i]
		isFormer := slices.ContainsFunc(m.Status.FormerClusters, func(f v1alpha1.FormerCluster) bool { return f.Cluster == name })
		if isFormer || slices.Contains(m.Status.Clusters, name) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: m.Name}})
		}
	}
	return requests
}
