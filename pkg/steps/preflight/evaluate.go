// Package preflight judges, from facts alone, whether hosts can become what the spec wants. It is pure: everything wrong on every
// host comes out at once, and nothing is touched to find it out.
package preflight

import (
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
	foreignOwner, foreignAuthority, lostCluster, leftovers, portsInUse, platform, systemd, rootRights, address, cgroups, swap, memory, cpus,
	kernelFeatures, kernelConfig, kernelParameters, cgroupControllers, programs, disk, dataMounts, danglingLinks, nameservers, endpointName, ranges, firewall, clock, machineID,
}

// Findings are what the checks say of one host.
type Findings struct {
	// Stopping are the problems that stop the operation, Ignored those that would if the user had not chosen to go on.
	Stopping, Ignored []Problem
	// Notes are no problems, but people should know them.
	Notes []Problem
}

type judge struct {
	cluster         *desired.Cluster
	host            desired.Host
	facts           *hostapi.Facts
	all             Snapshot
	problems, notes []Problem
}

func (j *judge) refuse(check, message string) {
	j.problems = append(j.problems, Problem{Host: j.host.Name, Check: check, Message: message})
}

func (j *judge) object(check, message string) {
	j.problems = append(j.problems, Problem{Host: j.host.Name, Check: check, Message: message, Ignorable: true})
}

func (j *judge) note(check, message string) {
	j.notes = append(j.notes, Problem{Host: j.host.Name, Check: check, Message: message, Ignorable: true})
}

// ours is true when the host's ledger says that it belongs to this cluster: an attempt began, or the node runs.
func (j *judge) ours() bool {
	return j.facts.Owner != nil && j.facts.Owner.ClusterUID == j.cluster.UID
}

// Evaluate judges one host.
func Evaluate(c *desired.Cluster, h desired.Host, all Snapshot) Findings {
	j := &judge{cluster: c, host: h, facts: all[h.Name], all: all}
	for _, check := range checks {
		check(j)
	}
	f := Findings{Notes: j.notes}
	for _, p := range j.problems {
		if p.Ignorable && h.Ignores(p.Check) {
			f.Ignored = append(f.Ignored, p)
		} else {
			f.Stopping = append(f.Stopping, p)
		}
	}
	return f
}
