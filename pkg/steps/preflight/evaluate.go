// Package preflight judges, from facts alone, whether hosts can become what the spec wants. It is pure: everything wrong on every
// host comes out at once, and nothing is touched to find it out.
package preflight

import (
	"slices"

	"github.com/kubewright/kubewright/pkg/desired"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
)

// Problem is one thing that stands in the way on one host.
type Problem struct {
	Host string
	// Check names the rule, for ignorePreflightErrors.
	Check string
	// Message says what is wrong and what to do.
	Message string
	// Ignorable problems can be overridden by the user; the others protect data or could never work.
	Ignorable bool
}

// Snapshot is what is known of every host of the cluster.
type Snapshot map[string]*hostapi.Facts

// check judges one host; it reports through the judge.
type check func(*judge)

// checks in the order in which problems are listed.
var checks = []check{
	foreignOwner, foreignAuthority, lostCluster, leftovers, ports, platform, rootRights, address, cgroups, swap, memory, cpus,
	kernelFeatures, disk, loopbackNameserver, clock, machineID,
}

type judge struct {
	cluster  *desired.Cluster
	host     desired.Host
	facts    *hostapi.Facts
	all      Snapshot
	problems []Problem
}

func (j *judge) refuse(check, message string) {
	j.problems = append(j.problems, Problem{Host: j.host.Name, Check: check, Message: message})
}

func (j *judge) object(check, message string) {
	j.problems = append(j.problems, Problem{Host: j.host.Name, Check: check, Message: message, Ignorable: true})
}

// ours is true when the host's ledger says that it belongs to this cluster: an attempt began, or the node runs.
func (j *judge) ours() bool {
	return j.facts.Owner != nil && j.facts.Owner.ClusterUID == j.cluster.UID
}

// Evaluate judges one host. It returns the problems that stop the operation and those the user has chosen to ignore.
func Evaluate(c *desired.Cluster, h desired.Host, all Snapshot) (stopping, ignored []Problem) {
	j := &judge{cluster: c, host: h, facts: all[h.Name], all: all}
	for _, check := range checks {
		check(j)
	}
	for _, p := range j.problems {
		if p.Ignorable && slices.Contains(h.IgnorePreflightErrors, p.Check) {
			ignored = append(ignored, p)
		} else {
			stopping = append(stopping, p)
		}
	}
	return stopping, ignored
}
