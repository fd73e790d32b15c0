// Package follow watches a Cluster with its operations and hosts, and judges whether what a user asked for has come about. It
// changes nothing and draws nothing.
package follow

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Snapshot is what stands in the API about one cluster.
type Snapshot struct {
	// Cluster is nil when it does not exist.
	Cluster *v1alpha1.Cluster
	// Manifest the Cluster names; nil when it does not exist.
	Manifest *v1alpha1.OfflineManifest
	// Bases are the OfflineManifests of what the Manifest is a delta to, as far as they exist; the next one first.
	Bases []*v1alpha1.OfflineManifest
	// Operations upon the cluster, oldest first.
	Operations []v1alpha1.ClusterOperation
	// Hosts of the namespace by name.
	Hosts map[string]*v1alpha1.Host
}

// Take reads a snapshot.
func Take(ctx context.Context, reader client.Reader, key client.ObjectKey) (*Snapshot, error) {
	s := &Snapshot{Hosts: map[string]*v1alpha1.Host{}}
	cluster := &v1alpha1.Cluster{}
	switch err := reader.Get(ctx, key, cluster); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("read Cluster %s: %w", key, err)
	default:
		s.Cluster = cluster
		var manifests v1alpha1.OfflineManifestList
		if err := reader.List(ctx, &manifests); err != nil {
			return nil, fmt.Errorf("list OfflineManifests: %w", err)
		}
		s.setManifests(manifests.Items)
	}
	var operations v1alpha1.ClusterOperationList
	if err := reader.List(ctx, &operations, client.InNamespace(key.Namespace)); err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	for _, operation := range operations.Items {
		if operation.Spec.ClusterRef.Name == key.Name {
			s.Operations = append(s.Operations, operation)
		}
	}
	slices.SortStableFunc(s.Operations, older)
	var hosts v1alpha1.HostList
	if err := reader.List(ctx, &hosts, client.InNamespace(key.Namespace)); err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	for i := range hosts.Items {
		s.Hosts[hosts.Items[i].Name] = &hosts.Items[i]
	}
	return s, nil
}

// setManifests picks the OfflineManifest that the Cluster names and the bases it needs.
func (s *Snapshot) setManifests(all []v1alpha1.OfflineManifest) {
	find := func(is func(m *v1alpha1.OfflineManifest) bool) *v1alpha1.OfflineManifest {
		for i := range all {
			if is(&all[i]) {
				return &all[i]
			}
		}
		return nil
	}
	s.Manifest = find(func(m *v1alpha1.OfflineManifest) bool { return m.Name == s.Cluster.Spec.OfflineManifestRef.Name })
	for at := s.Manifest; at != nil && at.Status.Base != "" && len(s.Bases) < len(all); {
		if at = find(func(m *v1alpha1.OfflineManifest) bool { return m.Spec.Digest == at.Status.Base }); at != nil {
			s.Bases = append(s.Bases, at)
		}
	}
}

// older orders operations by creation; within one second by the number at the end of their names.
func older(a, b v1alpha1.ClusterOperation) int {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c
	}
	return numberOf(a.Name) - numberOf(b.Name)
}

func numberOf(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return 0
	}
	return n
}

// Changes returns a channel on which something arrives after anything changed that a snapshot may hold; several changes may arrive
// as one. The cache must be running, or be started later.
func Changes(ctx context.Context, c cache.Cache) (<-chan struct{}, error) {
	changed := make(chan struct{}, 1)
	poke := func(any) {
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	}
	handler := toolscache.ResourceEventHandlerFuncs{AddFunc: poke, UpdateFunc: func(_, object any) { poke(object) }, DeleteFunc: poke}
	for _, object := range []client.Object{&v1alpha1.Cluster{}, &v1alpha1.ClusterOperation{}, &v1alpha1.Host{}, &v1alpha1.OfflineManifest{}} {
		informer, err := c.GetInformer(ctx, object)
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", object, err)
		}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return changed, nil
}
