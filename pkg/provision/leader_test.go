package provision

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/engine"
)

// leaseAt is the controller managers' Lease, held by holder; times are seconds by the holder's clock.
func leaseAt(holder string, acquired, renewed int64) *coordinationv1.Lease {
	a, r := metav1.NewMicroTime(time.Unix(acquired, 0)), metav1.NewMicroTime(time.Unix(renewed, 0))
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: leaderLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, AcquireTime: &a, RenewTime: &r},
	}
}

func TestAControllerManagerLeadsWhenItRenewsItsLeaseAndHasHadTimeToBegin(t *testing.T) {
	for name, test := range map[string]struct {
		first, now *coordinationv1.Lease
		says       string
	}{
		"it was renewed since the first look":         {first: leaseAt("n1", 100, 200), now: leaseAt("n1", 100, 202)},
		"it was not renewed":                          {first: leaseAt("n1", 100, 200), now: leaseAt("n1", 100, 200), says: "n1, which holds Lease kube-system/kube-controller-manager, does not renew it"},
		"another one has taken over just now":         {first: leaseAt("n1", 100, 200), now: leaseAt("n2", 215, 217), says: "n2 leads for 2s only"},
		"another one has taken over some time ago":    {first: leaseAt("n1", 100, 200), now: leaseAt("n2", 215, 219)},
		"another one whose clock is behind leads":     {first: leaseAt("n1", 100, 200), now: leaseAt("n2", 10, 16)},
		"it was given up":                             {first: leaseAt("n1", 100, 200), now: leaseAt("", 201, 201), says: "nobody holds Lease"},
		"it was given up before and is held now":      {first: leaseAt("", 201, 201), now: leaseAt("n2", 203, 208)},
		"a lease without times says nothing":          {first: &coordinationv1.Lease{}, now: &coordinationv1.Lease{}, says: "nobody holds Lease"},
		"the same one has only now renewed it at all": {first: leaseAt("n1", 200, 200), now: leaseAt("n1", 200, 202), says: "n1 leads for 2s only"},
	} {
		t.Run(name, func(t *testing.T) {
			err := leads(test.first, test.now)
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

// holdLease gives the cluster a Lease and returns what writes it anew.
func (d *drained) holdLease(t *testing.T, lease *coordinationv1.Lease) func(*coordinationv1.Lease) {
	t.Helper()
	leases := d.pods.CoordinationV1().Leases("kube-system")
	if _, err := leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return func(l *coordinationv1.Lease) {
		if _, err := leases.Update(t.Context(), l, metav1.UpdateOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func TestADrainMovesNoPodBeforeAControllerManagerLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrained(plainNode(), func(int) error { return nil })
		update := d.holdLease(t, leaseAt("n1", 0, 1000))
		began := time.Now()
		// n1's has ended; n2's takes over once the lease has run out, and renews it every two seconds.
		const takenOver = 15
		ended := make(chan struct{})
		go func() {
			for s := int64(takenOver); ; s += 2 {
				select {
				case <-ended:
					return
				case <-time.After(time.Until(began.Add(time.Duration(s) * time.Second))):
					update(leaseAt("n2", 5000+takenOver, 5000+s))
				}
			}
		}()
		defer close(ended)
		if err := d.drain(t, v1alpha1.AbortDrain); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < takenOver*time.Second+leaderSettles || took > 30*time.Second || d.podIsThere(t) {
			t.Errorf("it took %s, the pod is there: %t", took, d.podIsThere(t))
		}
		if !strings.Contains(strings.Join(d.said, "\n"), "waiting for a controller manager that leads") {
			t.Errorf("nobody was told: %q", d.said)
		}
	})
}

func TestADrainThatFindsNoLeaderLetsTheNodeTakePodsUnlessItIsForced(t *testing.T) {
	for name, test := range map[string]struct {
		policy v1alpha1.DrainTimeoutPolicy
		reason string
	}{
		"aborting": {policy: v1alpha1.AbortDrain, reason: "NoLeader"},
		"forced":   {policy: v1alpha1.ForceDrain},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrained(plainNode(), func(int) error { return nil })
				d.holdLease(t, leaseAt("n1", 0, 1000))
				err := d.drain(t, test.policy)
				forced := test.reason == ""
				if (err == nil) != forced || engine.DetailOf(err).Reason != test.reason {
					t.Fatalf("got %v", err)
				}
				if !forced && (engine.KindOf(err) != engine.KindNeedsHuman || !strings.Contains(err.Error(), "n1, which holds Lease kube-system/kube-controller-manager, does not renew it after 1m0s")) {
					t.Errorf("it says %v", err)
				}
				if d.node(t).Spec.Unschedulable != forced || d.podIsThere(t) == forced {
					t.Errorf("the node takes no pods: %t, the pod is there: %t", d.node(t).Spec.Unschedulable, d.podIsThere(t))
				}
			})
		})
	}
}

func TestANodeWithoutPodsToMoveWaitsForNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrained(plainNode(), func(int) error { return nil })
		d.holdLease(t, leaseAt("n1", 0, 1000))
		if err := d.pods.CoreV1().Pods("web").Delete(t.Context(), "web-1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := d.drain(t, v1alpha1.AbortDrain); err != nil || time.Since(began) > time.Second {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}
