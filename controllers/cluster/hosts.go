package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/controllers/internal/claims"
	"github.com/kubewright/kubewright/controllers/internal/index"
	"github.com/kubewright/kubewright/controllers/internal/quarantine"
	"github.com/kubewright/kubewright/pkg/capi"
)

// wantedHost is one host of the spec and the part it plays.
type wantedHost struct {
	name string
	role v1alpha1.HostRole
	pool string
}

// wantedHosts lists the hosts of the spec in its order.
func wantedHosts(cluster *v1alpha1.Cluster) []wantedHost {
	var out []wantedHost
	for _, name := range cluster.Spec.ControlPlane.Hosts {
		out = append(out, wantedHost{name: name, role: v1alpha1.ControlPlaneRole})
	}
	for _, pool := range cluster.Spec.Workers {
		for _, name := range pool.Hosts {
			out = append(out, wantedHost{name: name, role: v1alpha1.WorkerRole, pool: pool.Name})
		}
	}
	return out
}

// obstacle is why hosts cannot be claimed.
type obstacle struct{ reason, message string }

// findObstacle says why the hosts of the spec cannot all be claimed, or nil. all are the Hosts of the namespace. It looks at every
// host before any is claimed, and names everything of the first kind of obstacle it meets.
func findObstacle(cluster *v1alpha1.Cluster, all []v1alpha1.Host) *obstacle {
	byName := make(map[string]*v1alpha1.Host, len(all))
	byAddress := make(map[string][]string, len(all))
	for i := range all {
		byName[all[i].Name] = &all[i]
		address := index.Address(&all[i])
		byAddress[address] = append(byAddress[address], all[i].Name)
	}
	found := map[string][]string{}
	seen := map[string]bool{}
	for _, want := range wantedHosts(cluster) {
		if seen[want.name] {
			found[ReasonHostListedTwice] = append(found[ReasonHostListedTwice],
				fmt.Sprintf("host %s stands in the spec twice: leave it in one place", want.name))
			continue
		}
		seen[want.name] = true
		host := byName[want.name]
		if host == nil {
			found[ReasonHostNotFound] = append(found[ReasonHostNotFound],
				fmt.Sprintf("host %s does not exist in namespace %s: create it, or take it out of the spec", want.name, cluster.Namespace))
			continue
		}
		reason, message := judge(cluster, want, host, byAddress[index.Address(host)])
		if reason != "" {
			found[reason] = append(found[reason], message)
		}
	}
	for _, reason := range []string{ReasonHostListedTwice, ReasonHostNotFound, ReasonDuplicateAddress, ReasonHostClaimedElsewhere,
		ReasonHostQuarantined, ReasonHostDeleting, ReasonRoleChangeUnsupported} {
		if messages := found[reason]; len(messages) > 0 {
			slices.Sort(messages)
			return &obstacle{reason: reason, message: strings.Join(slices.Compact(messages), "; ")}
		}
	}
	return nil
}

// judge says why one host cannot be claimed; no reason when it can.
func judge(cluster *v1alpha1.Cluster, want wantedHost, host *v1alpha1.Host, atAddress []string) (reason, message string) {
	if len(atAddress) > 1 {
		names := slices.Sorted(slices.Values(atAddress))
		return ReasonDuplicateAddress, fmt.Sprintf("hosts %s have the same address %s: correct or delete all but one",
			strings.Join(names, " and "), index.Address(host))
	}
	claim := host.Status.Claim
	switch {
	case claim == nil && !host.DeletionTimestamp.IsZero():
		return ReasonHostDeleting, fmt.Sprintf("host %s is being deleted: take it out of the spec, or create it again", want.name)
	case claim == nil && quarantine.Holds(host):
		return ReasonHostQuarantined, fmt.Sprintf("host %s is quarantined: %s", want.name, capi.Condition(host, v1alpha1.HostQuarantinedCondition).Message)
	case claim == nil:
		return "", ""
	case claim.ClusterName != cluster.Name:
		return ReasonHostClaimedElsewhere, fmt.Sprintf("host %s is claimed by cluster %s: take it out of one of the two", want.name, claim.ClusterName)
	case claim.ClusterUID != string(cluster.UID):
		return ReasonHostClaimedElsewhere, fmt.Sprintf("host %s is claimed by an earlier cluster %s (uid %s); the claim ends when that one is gone",
			want.name, claim.ClusterName, claim.ClusterUID)
	case claim.Role != want.role && claims.WasTouched(host):
		return ReasonRoleChangeUnsupported, fmt.Sprintf("host %s is a %s and cannot become a %s at once: put it back, or take it out of the spec, wait until it has left, and add it again",
			want.name, claim.Role, want.role)
	}
	return "", ""
}
