// Package quarantine marks Hosts whose machine still has something of a cluster that they left, so that no other cluster takes them.
// It must not write to the API, nor decide which hosts are clean.
package quarantine

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/capi"
)

// Reasons of a Host's condition Quarantined.
const (
	// ReasonNotCleaned is given when the machine should have been reset and could not be.
	ReasonNotCleaned = "NotCleaned"
	// ReasonOrphaned is given when the host left its cluster with spec.onRemoval Orphan, so that nobody touched the machine.
	ReasonOrphaned = "Orphaned"
	// ReasonCleaned is given when the machine was reset.
	ReasonCleaned = "Cleaned"
	// ReasonEndedByHand is given when somebody said by annotation that the machine is clean.
	ReasonEndedByHand = "EndedByHand"
	// ReasonNeverNeeded is given to a host that never left a cluster.
	ReasonNeverNeeded = "NotQuarantined"
)

// Holds says whether a host is quarantined.
func Holds(host *v1alpha1.Host) bool { return capi.IsTrue(host, v1alpha1.HostQuarantinedCondition) }

// Begin quarantines a host that left a cluster without being cleaned. Problem is why that did not succeed; empty when it was not asked
// for. refused says that the cluster refuses what the machine's kubelet writes.
func Begin(host *v1alpha1.Host, cluster, problem string, refused bool) {
	reason, why := ReasonNotCleaned, "its machine could not be reset: "+problem
	if problem == "" {
		reason, why = ReasonOrphaned, "its machine was not touched, because spec.onRemoval is Orphan"
	}
	back := ""
	if refused {
		// Kubernetes checks no revocation list, so this is all that can be done short of another authority.
		back = "; should the machine come back, the cluster refuses whatever its kubelet writes, but the kubelet's certificate cannot be revoked: " +
			"until it runs out, within a year, its holder can read what every kubelet can, Nodes and Services among it"
	}
	capi.SetCondition(host, v1alpha1.HostQuarantinedCondition, metav1.ConditionTrue, reason, fmt.Sprintf(
		"the host left cluster %s, and %s%s; no cluster takes it until the machine was cleaned or exchanged by hand and you say so: "+
			"kubewright host end-quarantine %s, or kubectl annotate host %s -n %s %s=true",
		cluster, why, back, host.Name, host.Name, host.Namespace, v1alpha1.EndQuarantineAnnotation))
}

// End lets clusters take the host again.
func End(host *v1alpha1.Host, reason string) {
	capi.SetCondition(host, v1alpha1.HostQuarantinedCondition, metav1.ConditionFalse, reason, "")
}
