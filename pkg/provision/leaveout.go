package provision

import (
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
)

// leaveOut has a Check go on without the hosts that could not be reached: one machine that is off must not hide what has become of all
// others. Each is told by its failed step and in the outcome. An operation that changes something never goes on without a host, nor does a
// Check that reached no control plane: what is seen of the cluster is seen through one, and without any nobody could tell a cluster that is
// out of reach from one that does not exist. It says whether the operation goes on.
func (x *execution) leaveOut() bool {
	if x.request.Operation.Spec.Type != v1alpha1.CheckOperation {
		return false
	}
	reached := func(host string) bool { return x.facts[host] != nil }
	through := false
	for _, h := range x.desired.ControlPlanes() {
		through = through || reached(h.Name) && kubeadm.Joined(x.facts[h.Name].Receipts)
	}
	if !through {
		return false
	}
	scope := []string{}
	for _, h := range x.inScope() {
		if reached(h.Name) {
			scope = append(scope, h.Name)
		} else {
			x.leftOut = append(x.leftOut, h.Name)
		}
	}
	x.scope = scope
	x.leaving = slices.DeleteFunc(slices.Clone(x.leaving), func(l leavingHost) bool { return !l.Orphan && !reached(l.Name) })
	return true
}
