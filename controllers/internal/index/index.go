// Package index names the cache indexes that several controllers look things up by, and installs each once. It must not know what a
// controller does with what it finds.
package index

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

const (
	// ClustersByHost finds Clusters by a name of a Host in their spec.
	ClustersByHost = "spec.hosts"
	// ClustersByManifest finds Clusters by the name of their OfflineManifest.
	ClustersByManifest = "spec.offlineManifestRef.name"
	// ClustersByInstalled finds Clusters by the names of the OfflineManifests that they run from or ran from before.
	ClustersByInstalled = "status.bundles.offlineManifest"
	// OperationsByCluster finds ClusterOperations by the name of their Cluster.
	OperationsByCluster = "spec.clusterRef.name"
	// HostsByAddress finds Hosts by address and port.
	HostsByAddress = "spec.address:port"
)

// Install adds the indexes to the cache. It must be called once per manager, before it starts.
func Install(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		kind  client.Object
		field string
		value client.IndexerFunc
	}{
		{&v1alpha1.Cluster{}, ClustersByHost, func(o client.Object) []string { return HostNames(o.(*v1alpha1.Cluster)) }},
		{&v1alpha1.Cluster{}, ClustersByManifest, func(o client.Object) []string {
			return []string{o.(*v1alpha1.Cluster).Spec.OfflineManifestRef.Name}
		}},
		{&v1alpha1.Cluster{}, ClustersByInstalled, func(o client.Object) []string {
			var names []string
			for _, b := range o.(*v1alpha1.Cluster).Status.Bundles {
				names = append(names, b.OfflineManifest)
			}
			return names
		}},
		{&v1alpha1.ClusterOperation{}, OperationsByCluster, func(o client.Object) []string {
			return []string{o.(*v1alpha1.ClusterOperation).Spec.ClusterRef.Name}
		}},
		{&v1alpha1.Host{}, HostsByAddress, func(o client.Object) []string { return []string{Address(o.(*v1alpha1.Host))} }},
	} {
		if err := indexer.IndexField(ctx, index.kind, index.field, index.value); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.kind, index.field, err)
		}
	}
	return nil
}

// HostNames returns the names of all Hosts in a Cluster's spec, each once, sorted.
func HostNames(cluster *v1alpha1.Cluster) []string {
	names := slices.Clone(cluster.Spec.ControlPlane.Hosts)
	for _, pool := range cluster.Spec.Workers {
		names = append(names, pool.Hosts...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Address is where a Host's sshd is looked for, as host:port.
func Address(host *v1alpha1.Host) string {
	return net.JoinHostPort(host.Spec.Address, strconv.Itoa(int(host.Spec.Port)))
}
