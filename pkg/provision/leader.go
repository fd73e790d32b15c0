package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// leaderLease is what the leading kube-controller-manager renews, in kube-system (k8s.io/kubernetes,
	// cmd/kube-controller-manager/app/options: leader-elect-resource-name).
	leaderLease = "kube-controller-manager"
	// leaderPatience is how long a controller manager that leads is waited for: a lease is good for 15 seconds by default, and who takes it
	// over afterwards has to begin its controllers.
	leaderPatience = time.Minute
	leaderGlance   = 500 * time.Millisecond
	// leaderSettles is how long a controller manager leads before its controllers know what there is and act on what changes.
	leaderSettles = 4 * time.Second
	// leaderWorthSaying is how long nothing is said of waiting: leases are renewed every 2 seconds by default.
	leaderWorthSaying = 3 * time.Second
)

// errNoLeader is that no controller manager was seen to lead.
var errNoLeader = errors.New("no kube-controller-manager leads")

// awaitLeader waits until a controller manager leads. Without one nobody takes a pod that ends out of the endpoints of its Service, and
// nobody replaces it; and since they all end one after the other while a control plane is changed, there are times without one.
func (k *kube) awaitLeader(ctx context.Context, report func(string)) error {
	clientset, err := k.typed()
	if err != nil {
		return err
	}
	var first *coordinationv1.Lease
	var last error
	began, said := time.Now(), false
	err = wait.PollUntilContextTimeout(ctx, leaderGlance, leaderPatience, true, func(ctx context.Context) (bool, error) {
		lease, err := clientset.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, leaderLease, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return true, nil // controller managers that do not elect have no lease to look at
		case err != nil:
			last = fmt.Errorf("read Lease %s/%s: %w", metav1.NamespaceSystem, leaderLease, err)
			return false, nil // while control planes are exchanged an answer may be missing
		}
		if first == nil {
			first = lease
		}
		last = leads(first, lease)
		if last != nil && !said && time.Since(began) >= leaderWorthSaying {
			report("waiting for a controller manager that leads, so that Services follow the pods that move")
			said = true
		}
		return last == nil, nil
	})
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", errNoLeader, last)
}

// leads says whether who holds the lease now has renewed it since the first look, and has led long enough to act. Only times that the same
// program wrote are compared, so that clocks need not agree.
func leads(first, now *coordinationv1.Lease) error {
	if now.Spec.HolderIdentity == nil || *now.Spec.HolderIdentity == "" || now.Spec.RenewTime == nil || now.Spec.AcquireTime == nil {
		return fmt.Errorf("nobody holds Lease %s/%s", metav1.NamespaceSystem, leaderLease)
	}
	holder := *now.Spec.HolderIdentity
	if first.Spec.RenewTime != nil && first.Spec.HolderIdentity != nil && *first.Spec.HolderIdentity == holder && first.Spec.RenewTime.Equal(now.Spec.RenewTime) {
		return fmt.Errorf("%s, which holds Lease %s/%s, does not renew it", holder, metav1.NamespaceSystem, leaderLease)
	}
	if led := now.Spec.RenewTime.Sub(now.Spec.AcquireTime.Time); led < leaderSettles {
		return fmt.Errorf("%s leads for %s only", holder, led.Round(time.Second))
	}
	return nil
}
