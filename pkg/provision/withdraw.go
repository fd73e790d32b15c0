package provision

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubewright/kubewright/pkg/engine"
	"github.com/kubewright/kubewright/pkg/plan"
)

// checkWithdrawn is done when none of the bindings is there.
func (k *kube) checkWithdrawn(ctx context.Context, a plan.Withdraw) (engine.Verdict, error) {
	objects, err := k.objects()
	if err != nil {
		return unknown(err), nil
	}
	verdict := engine.Verdict{State: engine.Done}
	for _, name := range a.ClusterRoleBindings {
		err := objects.Get(ctx, client.ObjectKey{Name: name}, &rbacv1.ClusterRoleBinding{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return unknown(fmt.Errorf("read ClusterRoleBinding %s: %w", name, err)), nil
		default:
			verdict.State = engine.Needed
			verdict.Why = append(verdict.Why, "ClusterRoleBinding "+name+" is there")
		}
	}
	return verdict, nil
}

// withdraw deletes the bindings.
func (k *kube) withdraw(ctx context.Context, a plan.Withdraw) error {
	objects, err := k.objects()
	if err != nil {
		return engine.Retryable(err)
	}
	for _, name := range a.ClusterRoleBindings {
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := objects.Delete(ctx, binding); client.IgnoreNotFound(err) != nil {
			return engine.Retryable(fmt.Errorf("delete ClusterRoleBinding %s: %w", name, err))
		}
	}
	return nil
}
