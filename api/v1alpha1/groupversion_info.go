// Package v1alpha1 holds the kubewright.io/v1alpha1 API: what a user asks for (Cluster, Host, OfflineManifest), the auditable
// acts that bring it about (ClusterOperation), and what is known of each. It holds no behaviour beyond small readers of its own
// fields, and knows nothing of SSH, bundles' insides or controllers.
//
// +kubebuilder:object:generate=true
// +groupName=kubewright.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "kubewright.io", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package with a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Cluster{}, &ClusterList{},
		&ClusterOperation{}, &ClusterOperationList{},
		&Host{}, &HostList{},
		&OfflineManifest{}, &OfflineManifestList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
