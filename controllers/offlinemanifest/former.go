package offlinemanifest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/phase"
)

// followFormer keeps track of Clusters that were moved to another OfflineManifest. It runs before the list of users is made anew, whose
// old state says who they were.
func followFormer(ctx context.Context, s *scope) (phase.Next, error) {
	status := &s.manifest.Status
	known := map[string]string{}
	for _, name := range status.Clusters {
		known[name] = ""
	}
	for _, f := range status.FormerClusters {
		known[f.Cluster] = f.Successor
	}
	var former []v1alpha1.FormerCluster
	for name, successor := range known {
		cluster := &v1alpha1.Cluster{}
		namespace, short, _ := strings.Cut(name, "/")
		err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: short}, cluster)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return phase.Stop(), fmt.Errorf("look at Cluster %s: %w", name, err)
		}
		if entry, needed := formerUse(s.manifest.Name, successor, cluster); needed {
			former = append(former, entry)
		}
	}
	slices.SortFunc(former, func(a, b v1alpha1.FormerCluster) int { return strings.Compare(a.Cluster, b.Cluster) })
	status.FormerClusters = former
	return phase.Continue(), nil
}

// formerUse says whether a Cluster that named an OfflineManifest before may still need it: it is what the cluster runs until what
// came after is installed, and what was there before until the cluster is given, and has installed, yet another one.
func formerUse(manifest, successor string, cluster *v1alpha1.Cluster) (v1alpha1.FormerCluster, bool) {
	now := cluster.Spec.OfflineManifestRef.Name
	if now == manifest {
		return v1alpha1.FormerCluster{}, false
	}
	if successor == "" {
		successor = now
	}
	if !cluster.Status.Initialized {
		return v1alpha1.FormerCluster{}, false // nothing of it runs anywhere
	}
	settled := cluster.Status.InstalledGeneration == cluster.Generation
	if now != successor && settled {
		return v1alpha1.FormerCluster{}, false
	}
	return v1alpha1.FormerCluster{Cluster: client.ObjectKeyFromObject(cluster).String(), Successor: successor}, true
}

// manifestsOfCluster are the OfflineManifests that a Cluster names or named.
func (r *Reconciler) manifestsOfCluster(ctx context.Context, object client.Object) []reconcile.Request {
	cluster := object.(*v1alpha1.Cluster)
	name := client.ObjectKeyFromObject(cluster).String()
	requests := []reconcile.Request{{NamespacedName: client.ObjectKey{Name: cluster.Spec.OfflineManifestRef.Name}}}
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
