// Package access says what identities besides administrators may do in a cluster.
package access

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/pkg/servingcert"
)

// HealthGroup is the group of the certificate that a cluster at rest is looked at with.
const HealthGroup = "kubewright:health"

// Health grants the group what a look needs: /readyz, the list of nodes, and asking whether a Lease of kube-system could be written. It may also
// decide about the serving certificates that kubelets ask for, and about those of no other signer.
func Health() []*unstructured.Unstructured {
	const rbac, certificates, name = "rbac.authorization.k8s.io", "certificates.k8s.io", HealthGroup
	subjects := []any{map[string]any{"apiGroup": rbac, "kind": "Group", "name": HealthGroup}}
	object := func(kind, namespace string, fields map[string]any) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: fields}
		o.SetAPIVersion(rbac + "/v1")
		o.SetKind(kind)
		o.SetName(name)
		o.SetNamespace(namespace)
		return o
	}
	role := func(kind string) map[string]any { return map[string]any{"apiGroup": rbac, "kind": kind, "name": name} }
	return []*unstructured.Unstructured{
		object("ClusterRole", "", map[string]any{"rules": []any{
			map[string]any{"nonResourceURLs": []any{"/readyz"}, "verbs": []any{"get"}},
			map[string]any{"apiGroups": []any{""}, "resources": []any{"nodes"}, "verbs": []any{"list"}},
			map[string]any{"apiGroups": []any{certificates}, "resources": []any{"certificatesigningrequests"}, "verbs": []any{"list"}},
			map[string]any{"apiGroups": []any{certificates}, "resources": []any{"certificatesigningrequests/approval"}, "verbs": []any{"update"}},
			map[string]any{"apiGroups": []any{certificates}, "resources": []any{"signers"}, "resourceNames": []any{servingcert.Signer}, "verbs": []any{"approve"}},
		}}),
		object("ClusterRoleBinding", "", map[string]any{"roleRef": role("ClusterRole"), "subjects": subjects}),
		object("Role", "kube-system", map[string]any{"rules": []any{
			map[string]any{"apiGroups": []any{"coordination.k8s.io"}, "resources": []any{"leases"}, "verbs": []any{"create"}},
		}}),
		object("RoleBinding", "kube-system", map[string]any{"roleRef": role("Role"), "subjects": subjects}),
	}
}
