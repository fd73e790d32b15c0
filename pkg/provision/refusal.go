package provision

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/engine"
)

// A machine that left without being cleaned may come back, and its kubelet still has a client certificate that the cluster's authority
// signed. Kubernetes has no way to revoke one, but it can be made to refuse whatever such a kubelet writes: its node, its lease, the status of pods,
// requests for another certificate. Reading is beyond admission: until its certificate runs out it can read what the node authorizer lets
// every kubelet read.

// refusalPrefix begins the names of the policies that refuse a node.
const refusalPrefix = "kubewright-refused-node-"

// refusedLabel on them names the node.
const refusedLabel = "kubewright.io/refused-node"

// refusalOf makes the policy that refuses everything a node's kubelet writes, and its binding.
func refusalOf(node string) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	meta := metav1.ObjectMeta{Name: refusalPrefix + node, Labels: map[string]string{refusedLabel: node}}
	fail := admissionv1.Fail
	policy := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.OperationAll},
					Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
				},
			}}},
			// A node's name has no character that a string of CEL would take for more than itself (RFC 1123).
			MatchConditions: []admissionv1.MatchCondition{{Name: "that-kubelet", Expression: fmt.Sprintf("request.userInfo.username == 'system:node:%s'", node)}},
			Validations: []admissionv1.Validation{{
				Expression: "false",
				Message:    fmt.Sprintf("node %s left the cluster, and its machine was not cleaned: clean it and take the host into the cluster again", node),
			}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: meta,
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}
	return policy, binding
}

// refuseNode has the cluster refuse what the kubelet of a machine writes that left without being cleaned.
func (k *kube) refuseNode(ctx context.Context, node string) error {
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	policy, binding := refusalOf(node)
	for _, object := range []client.Object{policy, binding} {
		if err := objects.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
			return engine.Retryable(fmt.Errorf("refuse the kubelet of node %s: %w", node, err))
		}
	}
	return nil
}

// refused reports whether the cluster refuses a node. It asks for all at once, the first time.
func (k *kube) refused(ctx context.Context, node string) (bool, error) {
	objects, err := k.objects()
	if err != nil {
		return false, err
	}
	k.refusedMu.Lock()
	defer k.refusedMu.Unlock()
	if k.refusedNodes == nil {
		var bindings admissionv1.ValidatingAdmissionPolicyBindingList
		if err := objects.List(ctx, &bindings, client.HasLabels{refusedLabel}); err != nil {
			return false, fmt.Errorf("list the nodes that are refused: %w", err)
		}
		k.refusedNodes = map[string]bool{}
		for i := range bindings.Items {
			k.refusedNodes[bindings.Items[i].Labels[refusedLabel]] = true
		}
	}
	return k.refusedNodes[node], nil
}

// forgetRefused makes the next question which nodes are refused go to the API server.
func (k *kube) forgetRefused() {
	k.refusedMu.Lock()
	defer k.refusedMu.Unlock()
	k.refusedNodes = nil
}

// admitNode lets a machine of a node's name in again, right before it joins.
func (k *kube) admitNode(ctx context.Context, node string) error {
	is, err := k.refused(ctx, node)
	if err != nil {
		return engine.Retryable(err)
	}
	if !is {
		return nil
	}
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	policy, binding := refusalOf(node)
	for _, object := range []client.Object{binding, policy} {
		if err := objects.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
			return engine.Retryable(fmt.Errorf("let node %s in again: %w", node, err))
		}
	}
	return nil
}
